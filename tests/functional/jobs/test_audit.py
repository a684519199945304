"""What submitting and cancelling leave in the audit log."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest

from chalicelib.errors import Conflict, Forbidden
from chalicelib.identity.caller import Origin
from chalicelib.jobs.store import JobStore, Submission
from chalicelib.quotas.quota import Limits
from tests.functional.jobs.conftest import ADMIN, ALICE, VIEWER, Jobs


@dataclass(frozen=True)
class LateStore(JobStore):
    """Looked for the key before the other request had written it."""

    looks: list[int] = field(default_factory=list)

    def submission(self, tenant: str, user: str, key: str) -> Submission | None:
        self.looks.append(1)
        return super().submission(tenant, user, key) if len(self.looks) > 1 else None


class TestSubmission:
    def test_says_who_from_where_and_what(self, jobs: Jobs) -> None:
        caller = replace(ALICE, origin=Origin("r-1", "192.0.2.7", "k-1"))
        job = jobs.service.submit(caller, jobs.request(), None)
        (row,) = jobs.log.entries()
        assert row == {
            "id": "entry-000001",
            "at": "2026-03-01T12:00:00.000Z",
            "tenant": "acme",
            "user": "alice",
            "roles": ["USER"],
            "key_id": "k-1",
            "source_ip": "192.0.2.7",
            "request_id": "r-1",
            "action": "submit_job",
            "subject": f"job/{job.job_id}",
            "outcome": "done",
            "details": {"name": "churn"},
        }

    def test_repeated_with_its_key_is_said_once(self, jobs: Jobs) -> None:
        first = jobs.service.submit(ALICE, jobs.request(), "key-1")
        assert jobs.service.submit(ALICE, jobs.request(), "key-1") == first
        assert jobs.log.told() == [("alice", "submit_job", f"job/{first.job_id}")]

    def test_that_lost_a_race_for_its_key_is_not_said(self, jobs: Jobs) -> None:
        first = jobs.service.submit(ALICE, jobs.request(), "key-1")
        late = replace(jobs.service, store=LateStore(jobs.store.table))
        assert late.submit(ALICE, jobs.request(), "key-1") == first
        assert len(jobs.log.entries()) == 1

    def test_that_can_not_be_said_does_not_happen(self, jobs: Jobs) -> None:
        gone = replace(jobs.log.store, table=replace(jobs.log.store.table, name="gone"))
        service = replace(jobs.service, audit=replace(jobs.log.recorder, store=lambda: gone))
        with pytest.raises(jobs.store.table.client.exceptions.ClientError):
            service.submit(ALICE, jobs.request(), "key-1")
        assert jobs.machine.started == []
        assert jobs.store.submission("acme", "alice", "key-1") is None

    def test_that_is_refused_by_the_service_is_left_to_the_protocol(self, jobs: Jobs) -> None:
        with pytest.raises(Forbidden):
            jobs.service.submit(VIEWER, jobs.request(), None)
        assert jobs.log.entries() == []


class TestCancellation:
    def test_says_whose_job_it_was(self, jobs: Jobs) -> None:
        job = jobs.service.submit(ALICE, jobs.request(), None)
        jobs.service.cancel(ADMIN, job.job_id)
        row = jobs.log.entries()[-1]
        assert (row["user"], row["action"], row["details"]) == ("root", "cancel_job", {"owner": "alice"})

    def test_repeated_is_said_once(self, jobs: Jobs) -> None:
        job = jobs.service.submit(ALICE, jobs.request(), None)
        for _ in range(3):
            jobs.service.cancel(ALICE, job.job_id)
        assert [row["action"] for row in jobs.log.entries()] == ["submit_job", "cancel_job"]

    def test_of_a_finished_job_is_not_said(self, jobs: Jobs) -> None:
        job = jobs.service.submit(ALICE, jobs.request(), None)
        jobs.finishing.finish("acme", job.job_id, "over")
        with pytest.raises(Conflict):
            jobs.service.cancel(ALICE, job.job_id)
        assert len(jobs.log.entries()) == 1


class TestDeletion:
    def test_says_what_is_gone(self, jobs: Jobs) -> None:
        job = jobs.service.submit(ALICE, jobs.request(), None)
        jobs.finishing.finish("acme", job.job_id, "over")
        jobs.deletion.delete(ADMIN, job.job_id)
        row = jobs.log.entries()[-1]
        assert (row["user"], row["action"], row["subject"]) == ("root", "delete_job", f"job/{job.job_id}")
        assert row["details"] == {"owner": "alice", "name": "churn", "status": "failed"}


class TestLimits:
    def test_say_whose_and_what_they_are_now(self, jobs: Jobs) -> None:
        limits = Limits(max_concurrent_jobs=3, max_usd_per_month=Decimal("12.50"), max_gpus={"t4": 1})
        jobs.accounts.set_limits(ADMIN, "alice", limits)
        jobs.accounts.set_limits(ADMIN, None, Limits())
        assert jobs.log.told() == [("root", "set_user_quota", "user/alice"), ("root", "set_tenant_quota", "tenant")]
        assert jobs.log.entries()[0]["details"] == {
            "max_concurrent_jobs": "3",
            "max_usd_per_month": "12.50",
            "max_gpus": '{"t4":1}',
        }
