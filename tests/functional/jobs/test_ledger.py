"""The ledger: what the stream told of a record, replayed, is the record."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.jobs import views
from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.job import Job, JobStatus
from chalicelib.jobs.ledger import replay
from chalicelib.jobs.ledger_store import LedgerStore
from chalicelib.jobs.tasks import record_history
from tests.functional.jobs.conftest import ALICE, Jobs


class Stream:
    """The table's stream: every version of a job's record, as Lambda is called for it."""

    def __init__(self, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
        self.records: list[dict[str, Any]] = []
        self.ledger = LedgerStore(jobs.store.table)
        self._jobs = jobs
        client = jobs.store.table.client

        def note(model: Any, http_response: Any, **_: Any) -> None:
            if model.name in {"PutItem", "TransactWriteItems"}:
                self._look()

        client.meta.events.register("after-call.dynamodb", note)
        self._seen: dict[str, int] = {}

    def _look(self) -> None:
        if getattr(self, "_looking", False):
            return
        self._looking = True
        try:
            for item in self._jobs.store.table.client.scan(TableName="jobs")["Items"]:
                if item["sk"]["S"] == "job" and self._seen.get(item["pk"]["S"]) != int(item["version"]["N"]):
                    self._seen[item["pk"]["S"]] = int(item["version"]["N"])
                    self.records.append({"dynamodb": {"NewImage": item}})
        finally:
            self._looking = False

    def deliver(self, *, times: int = 1, backwards: bool = False) -> None:
        platform: Any = SimpleNamespace(ledger=self.ledger)
        for record in reversed(self.records) if backwards else self.records:
            for _ in range(times):
                record_history(platform, {"Records": [record]})


@pytest.fixture
def stream(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> Stream:
    return Stream(jobs, monkeypatch)


def lived(jobs: Jobs) -> Job:
    """A job that was retried and completed with a model."""
    job = jobs.service.submit(ALICE, jobs.request(), None)
    jobs.lifecycle.plan("acme", job.job_id)
    first, second = (f"aimatrix-{job.job_id}-{number}" for number in (1, 2))
    backend = jobs.backends.sagemaker
    backend.says(first, BackendState.STARTING, secondary_status="Downloading")
    jobs.lifecycle.observe("acme", job.job_id, 1)
    backend.says(first, BackendState.RUNNING, secondary_status="Training")
    jobs.lifecycle.observe("acme", job.job_id, 1)
    backend.says(first, BackendState.FAILED, reason="InternalServerError", billable_seconds=5)
    jobs.lifecycle.assess("acme", job.job_id, 1, None)
    backend.says(second, BackendState.COMPLETED, billable_seconds=7)
    jobs.lifecycle.set_model("acme", job.job_id, "m-1")
    jobs.clock.advance(60)
    return jobs.finishing.finish("acme", job.job_id, None)


class TestLedger:
    @pytest.mark.parametrize(("times", "backwards"), [(1, False), (5, False), (1, True)])
    def test_replayed_is_the_record_field_for_field(
        self, jobs: Jobs, stream: Stream, times: int, backwards: bool
    ) -> None:
        job = lived(jobs)
        stream.deliver(times=times, backwards=backwards)
        changes = stream.ledger.changes("acme", job.job_id)
        assert [change.version for change in changes] == list(range(1, job.version + 1))
        assert replay(changes, jobs.store.require("acme", job.job_id)).is_equal
        assert (job.status, job.model_id, job.attempts) == (JobStatus.COMPLETED, "m-1", 2)

    def test_tells_a_record_that_somebody_altered(self, jobs: Jobs, stream: Stream) -> None:
        job = lived(jobs)
        stream.deliver()
        found = replay(stream.ledger.changes("acme", job.job_id), replace(job, user="mallory", attempts=1))
        assert (found.is_equal, found.differences) == (False, ("user", "attempts"))

    def test_tells_a_row_that_somebody_took_away(self, jobs: Jobs, stream: Stream) -> None:
        job = lived(jobs)
        stream.deliver()
        jobs.store.table.delete_all([(f"acme#{job.job_id}", "change#0000000003")])
        assert replay(stream.ledger.changes("acme", job.job_id), job).missing == (3,)

    def test_that_is_behind_says_so(self, jobs: Jobs, stream: Stream) -> None:
        job = lived(jobs)
        del stream.records[-1]
        stream.deliver()
        found = replay(stream.ledger.changes("acme", job.job_id), job)
        assert (found.behind, found.differences, found.is_equal) == (1, (), False)

    def test_is_shown_as_a_document(self, jobs: Jobs, stream: Stream) -> None:
        job = lived(jobs)
        stream.deliver()
        changes = stream.ledger.changes("acme", job.job_id)
        shown = json.loads(json.dumps(views.history(job, changes, replay(changes, job))))
        assert [each["event"]["kind"] for each in shown["changes"]] == [
            "Submitted",
            "AttemptPlanned",
            "Observed",
            "Started",
            "AttemptPlanned",
            "ModelRegistered",
            "Ended",
        ]
        assert shown["replay"] == {"equal": True, "behind": 0, "missing": [], "differences": []}

    def test_goes_with_its_job(self, jobs: Jobs, stream: Stream) -> None:
        job = lived(jobs)
        stream.deliver()
        jobs.store.delete_details("acme", job.job_id)
        assert stream.ledger.changes("acme", job.job_id) == []
