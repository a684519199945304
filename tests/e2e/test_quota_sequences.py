"""Rows 12, 14 and 17: any order of steps, repeated, late, with clocks ten minutes apart; the counters stay right."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.clock import utc_now
from chalicelib.errors import ServiceError
from chalicelib.jobs.deletion import Deletion
from chalicelib.jobs.finishing import StillRunning
from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.job import Job, attempt_prefix
from chalicelib.quotas.quota import Limits, Owner, month_of
from tests.e2e.conftest import Cloud
from tests.e2e.sweeps.services import Services, World, services_on
from tests.faults import WHOLE, Shows

pytestmark = pytest.mark.e2e

EXAMPLES, LIMIT = 40 if WHOLE else 20, 2
ENDS = (BackendState.RUNNING, BackendState.COMPLETED, BackendState.FAILED, BackendState.STOPPED)
ENDED = ("completed", "failed", "cancelled")
REASONS = ("InternalServerError", "AlgorithmError: exit code 1")
STEPS = st.one_of(
    st.just(("submit", 0, 0)),
    st.tuples(
        st.sampled_from(["plan", "assess", "finish", "cancel", "delete", "observe"]), st.integers(0, 3), st.just(0)
    ),
    st.tuples(st.sampled_from(["backend"]), st.integers(0, 3), st.integers(0, 7)),
)
SKEW_SECONDS = st.integers(-600, 600)


@pytest.fixture(scope="module")
def services(cloud: Cloud) -> Services:
    return services_on(cloud)


class Sequence:
    """One tenant, driven step by step; remembers what each terminal record was."""

    def __init__(self, services: Services) -> None:
        self.on = services
        self.world: World = services.world()
        self.tenant = self.world.caller.tenant
        self.jobs: list[str] = []
        self.ended: dict[str, Job] = {}
        services.platform.accounts.set_limits(self.world.admin, "alice", Limits(max_concurrent_jobs=LIMIT))

    def take(self, step: str, which: int, what: int) -> None:
        platform = self.on.platform
        if step == "submit":
            self.jobs.append(platform.jobs.submit(self.world.caller, self.world.request, None).job_id)
            return
        if not self.jobs:
            return
        job_id = self.jobs[which % len(self.jobs)]
        job = platform.job_store.get(self.tenant, job_id)
        if job is None:
            return
        number = max(1, job.attempts)
        match step:
            case "plan":
                platform.lifecycle.plan(self.tenant, job_id)
            case "assess":
                platform.lifecycle.assess(self.tenant, job_id, number, None)
            case "finish":
                platform.finishing.finish(self.tenant, job_id, None)
            case "observe":
                platform.lifecycle.observe(self.tenant, job_id, number)
            case "cancel":
                platform.jobs.cancel(self.world.caller, job_id)
            case "delete":
                deletion: Deletion = platform.job_deletion
                deletion.delete(self.world.admin, job_id)
            case "backend":
                self._backend_says(job_id, number, what)

    def _backend_says(self, job_id: str, number: int, what: int) -> None:
        """A backend's job that has ended stays as it ended; until then it may say anything."""
        name = f"aimatrix-{job_id}-{number}"
        known = self.on.backends.sagemaker.jobs.get(name)
        if known is not None and known.state.is_finished:
            return
        state = ENDS[what % len(ENDS)]
        billed = 60 + what if state.is_finished else None
        self.on.backends.sagemaker.says(name, state, reason=REASONS[what % 2], billable_seconds=billed)
        key = f"{attempt_prefix(self.tenant, job_id, number)}manifest.json"
        self.on.platform.objects.write_json(key, {"schema": 1, "artifacts": [{"name": "m", "size_bytes": 100 + what}]})

    def look(self) -> None:
        """What must hold after every step."""
        account = self.on.platform.quotas.store.account(Owner(self.tenant, "alice"), month_of(utc_now()))
        assert 0 <= account.count("jobs") <= LIMIT
        assert account.count("storage_bytes") >= 0
        for job_id in self.jobs:
            job = self.on.platform.job_store.get(self.tenant, job_id)
            if job is not None and job.status.is_finished:
                assert self.ended.setdefault(job_id, job) == job, "a terminal record changed"

    def check_totals(self) -> None:
        """Of their framework each job is counted once, and each end, whether it is still there or not."""
        totals = self.on.totals(self.world)
        ends = Counter(job.status.value for job in self.ended.values())
        assert totals.jobs == len(self.jobs)
        assert {name: getattr(totals, name) for name in ENDED} == {name: ends[name] for name in ENDED}
        assert totals.gpu_seconds == sum(job.used.gpu_seconds for job in self.ended.values() if job.used)


class TestSequences:
    @pytest.mark.timeout(900)
    def test_keep_every_counter_and_every_terminal_record(self, services: Services, shows: Shows) -> None:
        taken = [0, 0]

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(st.lists(st.tuples(STEPS, SKEW_SECONDS), min_size=5, max_size=25))
        def run(steps: list[tuple[tuple[str, int, int], int]]) -> None:
            sequence = Sequence(services)
            for (step, which, what), skew in steps:
                services.clock.skew = timedelta(seconds=skew)
                with suppress(ServiceError, StillRunning):
                    sequence.take(step, which, what)
                sequence.look()
                taken[1] += 1
            services.clock.skew = timedelta()
            assert services.platform.quota_check.tenant(sequence.tenant).differences == ()
            sequence.check_totals()
            taken[0] += 1

        run()
        for row in (12, 14, 17):
            shows(row, f"{taken[0]} sequences, {taken[1]} steps, 0 differences")
