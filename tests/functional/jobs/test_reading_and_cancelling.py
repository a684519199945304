"""Who sees which jobs, in what order, and what cancelling does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chalicelib.cursor import Cursor
from chalicelib.errors import Conflict, Forbidden, InvalidRequest, NotFound
from chalicelib.identity.caller import Auth, Caller
from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.job import JobFilter, JobStatus
from chalicelib.jobs.life import Observed
from tests.functional.jobs.conftest import ADMIN, ALICE, BOB, STRANGER, VIEWER, Jobs


def _submit(jobs: Jobs, caller: Caller = ALICE) -> str:
    jobs.clock.advance(1)
    return jobs.service.submit(caller, jobs.request(caller), None).job_id


class TestList:
    def test_shows_own_jobs_newest_first(self, jobs: Jobs) -> None:
        made = [_submit(jobs) for _ in range(3)]
        _submit(jobs, BOB)
        page = jobs.service.search(ALICE, JobFilter(), 10, 0, None)
        assert [job.job_id for job in page.jobs] == made[::-1]

    def test_shows_all_of_the_tenant_to_a_viewer_and_nothing_of_another_tenant(self, jobs: Jobs) -> None:
        mine, his = _submit(jobs), _submit(jobs, BOB)
        seen = {job.job_id for job in jobs.service.search(VIEWER, JobFilter(), 10, 0, None).jobs}
        assert seen == {mine, his}
        assert jobs.service.search(STRANGER, JobFilter(), 10, 0, None).jobs == ()

    def test_shows_nothing_when_a_user_asks_for_another_users_jobs(self, jobs: Jobs) -> None:
        _submit(jobs, BOB)
        assert jobs.service.search(ALICE, JobFilter(user="bob"), 10, 0, None).jobs == ()
        assert len(jobs.service.search(VIEWER, JobFilter(user="bob"), 10, 0, None).jobs) == 1

    def test_filters_by_status(self, jobs: Jobs) -> None:
        first, second = _submit(jobs), _submit(jobs)
        jobs.lifecycle.running("acme", first, jobs.clock(), "Training")
        for caller in (ALICE, VIEWER):
            running = jobs.service.search(caller, JobFilter(JobStatus.RUNNING), 10, 0, None).jobs
            pending = jobs.service.search(caller, JobFilter(JobStatus.PENDING), 10, 0, None).jobs
            assert ([job.job_id for job in running], [job.job_id for job in pending]) == ([first], [second])

    def test_walks_all_pages_by_cursor_and_by_offset(self, jobs: Jobs) -> None:
        made = [_submit(jobs) for _ in range(5)][::-1]
        first = jobs.service.search(ALICE, JobFilter(), 2, 0, None)
        assert first.cursor is not None
        second = jobs.service.search(ALICE, JobFilter(), 2, 0, first.cursor.encode())
        skipped = jobs.service.search(ALICE, JobFilter(), 2, 2, None)
        assert [job.job_id for job in (*first.jobs, *second.jobs)] == made[:4]
        assert skipped.jobs == second.jobs

    def test_a_cursor_can_not_lead_into_another_partition(self, jobs: Jobs) -> None:
        for _ in range(3):
            _submit(jobs, BOB)
        for _ in range(2):
            _submit(jobs)
        theirs = jobs.service.search(BOB, JobFilter(), 1, 0, None).cursor
        assert theirs is not None
        page = jobs.service.search(ALICE, JobFilter(), 10, 0, theirs.encode())
        assert {job.user for job in page.jobs} <= {"alice"}

    @pytest.mark.parametrize("text", ["garbage!", "e30", Cursor({"pk": "x"}).encode(), "a" * 5000])
    def test_refuses_what_is_not_a_cursor_of_this_list(self, jobs: Jobs, text: str) -> None:
        with pytest.raises(InvalidRequest, match="cursor"):
            jobs.service.search(ALICE, JobFilter(), 10, 0, text)


class TestGet:
    def test_is_for_the_owner_viewers_and_admins(self, jobs: Jobs) -> None:
        job_id = _submit(jobs)
        for caller in (ALICE, VIEWER, ADMIN):
            assert jobs.service.get(caller, job_id).job_id == job_id

    def test_answers_not_yours_and_not_there_alike(self, jobs: Jobs) -> None:
        job_id = _submit(jobs)
        answers = set()
        for caller, asked in ((BOB, job_id), (STRANGER, job_id), (ALICE, "no-such-job")):
            with pytest.raises(NotFound) as error:
                jobs.service.get(caller, asked)
            answers.add(str(error.value))
        assert len(answers) == 1


class TestCancel:
    def test_marks_the_intent_and_stops_the_running_attempt(self, jobs: Jobs) -> None:
        job_id = _submit(jobs)
        jobs.lifecycle.plan("acme", job_id)
        jobs.backends.sagemaker.says(f"aimatrix-{job_id}-1", BackendState.RUNNING)
        jobs.service.cancel(ALICE, job_id)
        jobs.service.cancel(ALICE, job_id)
        job = jobs.service.get(ALICE, job_id)
        assert job.cancel_requested_at == jobs.clock()
        assert not job.status.is_finished
        assert set(jobs.backends.sagemaker.stopped) == {f"aimatrix-{job_id}-1"}

    def test_of_a_finished_job_is_a_conflict(self, jobs: Jobs) -> None:
        job_id = _submit(jobs)
        jobs.finishing.finish("acme", job_id, "broken")
        with pytest.raises(Conflict, match="failed"):
            jobs.service.cancel(ALICE, job_id)

    def test_is_for_the_owner_and_admins_only(self, jobs: Jobs) -> None:
        job_id = _submit(jobs)
        for caller in (BOB, STRANGER):
            with pytest.raises(NotFound):
                jobs.service.cancel(caller, job_id)
        with pytest.raises(Forbidden, match="jobs:submit"):
            jobs.service.cancel(VIEWER, job_id)
        jobs.service.cancel(ADMIN, job_id)
        assert jobs.service.get(ALICE, job_id).cancel_requested_at is not None

    def test_wins_over_a_change_made_at_the_same_moment(self, jobs: Jobs) -> None:
        job_id = _submit(jobs)
        store, real = jobs.service.store, jobs.service.store.get

        class Racing:
            """Somebody changes the record right after it was first read."""

            raced = False

            def __getattr__(self, name: str) -> Any:
                return getattr(store, name)

            def get(self, tenant: str, asked: str) -> Any:
                job = real(tenant, asked)
                if not self.raced and job is not None:
                    self.raced = True
                    store.change(job, Observed("Starting"), jobs.clock())
                return job

        replace(jobs.service, store=Racing()).cancel(ALICE, job_id)  # type: ignore[arg-type]
        job = jobs.service.get(ALICE, job_id)
        assert job.secondary_status == "Starting"
        assert job.cancel_requested_at is not None


class TestSinglePermissions:
    """A caller who holds one permission by itself, as an API key does."""

    @staticmethod
    def holding(*names: str) -> Caller:
        return Caller(ALICE.tenant, ALICE.user, frozenset(), frozenset(names), Auth.KEY)

    def test_to_submit_is_enough_to_cancel(self, jobs: Jobs) -> None:
        job_id = _submit(jobs)
        jobs.service.cancel(self.holding("jobs:submit"), job_id)
        assert jobs.service.get(ALICE, job_id).cancel_requested_at is not None

    def test_to_read_is_not(self, jobs: Jobs) -> None:
        job_id = _submit(jobs)
        with pytest.raises(Forbidden, match="your API key"):
            jobs.service.cancel(self.holding("jobs:read"), job_id)

    @pytest.mark.parametrize("user", ["", "a#b", "x" * 3000])
    def test_a_list_of_a_user_that_nobody_can_be_is_empty(self, jobs: Jobs, user: str) -> None:
        _submit(jobs)
        assert jobs.service.search(ADMIN, JobFilter(user=user), 10, 0, None).jobs == ()
