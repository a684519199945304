"""Row 1: the same key many times at once makes one job, one execution, one reservation."""

from __future__ import annotations

import pytest

from benchmarks.idempotency import CLIENTS, hammer
from tests.e2e.conftest import Cloud
from tests.faults import Shows

pytestmark = pytest.mark.e2e
ROUNDS = 20


class TestHammer:
    @pytest.mark.timeout(600)
    def test_makes_one_job_for_all(self, cloud: Cloud, shows: Shows) -> None:
        user, tenant = "twice", "idempotent"
        cloud.raise_quota(user, tenant)
        with cloud.client(user, tenant=tenant) as client, cloud.client("root", "ADMIN", tenant=tenant) as admin:
            outcome = hammer(client, cloud.api, cloud.token(user, "USER", tenant=tenant), ROUNDS)
            for job_id in outcome.jobs:
                assert client.jobs.wait(job_id, timeout=120).status == "completed"
            listed = [job.job_id for job in client.jobs.list()]
            report = admin.quotas.check()
        shows(1, f"{outcome.rounds} rounds of {CLIENTS} at once, {len(outcome.violations)} violations")
        assert outcome.violations == ()
        assert sorted(listed) == sorted(outcome.jobs)
        assert not report.differences
