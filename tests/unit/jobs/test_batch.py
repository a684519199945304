"""Batch as jobs use it: the queue of each type of GPU, the definition of each image, finding what was submitted."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from chalicelib.jobs.definitions import JobDefinitions
from chalicelib.jobs.gateways import ABSENT, BackendState, BatchBackend
from chalicelib.jobs.instances import price_list
from chalicelib.jobs.job import Attempt, Backend
from chalicelib.settings import Settings

ROLE = "arn:aws:iam::0:role/aimatrix/s/training/acme"
PREFIX = "arn:aws:batch:us-east-1:000000000000:job-queue/aimatrix-training-"
PATTERN = "arn:aws:batch:us-east-1:000000000000:job-definition/aimatrix-aimatrix-base:1"
CONTAINER = {
    "image": "python:3.11",
    "command": ["python3"],
    "jobRoleArn": "role",
    "environment": [{"name": "AWS_REGION", "value": "us-east-1"}],
    "volumes": [],
}


@dataclass
class FakeBatch:
    """Batch's definitions and the jobs of its queues, by queue."""

    jobs: dict[str, dict[str, str]] = field(default_factory=dict)
    definitions: dict[str, dict[str, Any]] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)

    def describe_job_definitions(self, **wanted: Any) -> dict[str, Any]:
        if "jobDefinitions" in wanted:
            return {"jobDefinitions": [{"containerProperties": CONTAINER}]}
        name = wanted["jobDefinitionName"]
        return {"jobDefinitions": [{"jobDefinitionArn": name}] if name in self.definitions else []}

    def register_job_definition(self, **made: Any) -> dict[str, Any]:
        self.definitions[made["jobDefinitionName"]] = made
        return {"jobDefinitionArn": made["jobDefinitionName"]}

    def list_jobs(self, **wanted: Any) -> dict[str, Any]:
        (name,) = wanted["filters"][0]["values"]
        held = self.jobs.get(wanted["jobQueue"], {})
        return {"jobSummaryList": [{"jobId": held[name]}] if name in held else []}

    def describe_jobs(self, jobs: list[str]) -> dict[str, Any]:
        return {"jobs": [{"jobId": job_id, "status": "RUNNING", "container": {}} for job_id in jobs]}

    def terminate_job(self, **job: str) -> None:
        self.stopped.append(job["jobId"])


def definitions(batch: FakeBatch | None = None, **settings: str) -> JobDefinitions:
    values = {"STACK": "aimatrix", "BATCH_QUEUE_PREFIX": PREFIX, "BATCH_JOB_DEFINITION": PATTERN, **settings}
    return JobDefinitions(
        lambda: cast("Any", batch or FakeBatch()),
        Settings({f"AIMATRIX_{name}": value for name, value in values.items()}),
    )


def attempt(queue: str | None, backend_id: str | None = None) -> Attempt:
    planned_at = datetime(2026, 3, 1, tzinfo=UTC)
    return Attempt("acme", "j1", 1, "token", Backend.BATCH, planned_at, queue, backend_id)


class TestQueues:
    def test_are_one_for_each_type_of_gpu_and_one_for_none(self) -> None:
        types = {each.gpu_type for each in price_list("batch").types}
        assert {definitions().queue_of(each) for each in types} == {
            PREFIX + name for name in ("cpu", "t4", "v100", "a100", "h100")
        }

    def test_on_spot_are_others(self) -> None:
        given = definitions(BATCH_GPU_TYPES="t4,a100")
        assert given.queue_of("t4", spot=True) == PREFIX + "t4-spot"
        assert given.queues() == tuple(
            PREFIX + name for name in ("cpu", "a100", "t4", "cpu-spot", "a100-spot", "t4-spot")
        )

    def test_are_none_without_a_batch_part(self) -> None:
        with pytest.raises(LookupError, match="no Batch queues"):
            definitions(BATCH_QUEUE_PREFIX="").queue_of("t4")


class TestDefinitions:
    def test_keep_everything_of_the_stacks_own_but_image_and_role(self) -> None:
        batch = FakeBatch()
        name = definitions(batch).for_container("team/image:1", ROLE)
        made = batch.definitions[name]["containerProperties"]
        assert made == {
            "image": "team/image:1",
            "command": ["python3"],
            "jobRoleArn": ROLE,
            "environment": [{"name": "AWS_REGION", "value": "us-east-1"}],
        }

    def test_are_made_once_for_an_image_and_a_tenants_role(self) -> None:
        batch = FakeBatch()
        asked = [("a", ROLE), ("a", ROLE), ("b", ROLE), ("a", ROLE + "-of-another-tenant")]
        made = [definitions(batch).for_container(*each) for each in asked]
        assert made[0] == made[1]
        assert len(set(made)) == len(batch.definitions) == 3

    def test_are_made_again_when_the_stacks_own_has_changed(self) -> None:
        batch = FakeBatch()
        before = definitions(batch).for_container("a", ROLE)
        after = definitions(batch, BATCH_JOB_DEFINITION=PATTERN.replace(":1", ":2")).for_container("a", ROLE)
        assert before != after


class TestBackend:
    def test_finds_an_attempt_in_its_own_queue(self) -> None:
        batch = FakeBatch(jobs={PREFIX + "t4": {"aimatrix-j1-1": "id-1"}})
        found = BatchBackend(cast("Any", batch)).describe(attempt(PREFIX + "t4"))
        assert (found.state, found.backend_id) == (BackendState.RUNNING, "id-1")

    @pytest.mark.parametrize("queue", [PREFIX + "cpu", None])
    def test_finds_nothing_where_the_attempt_is_not(self, queue: str | None) -> None:
        batch = FakeBatch(jobs={PREFIX + "t4": {"aimatrix-j1-1": "id-1"}})
        backend = BatchBackend(cast("Any", batch))
        assert backend.describe(attempt(queue)) is ABSENT
        backend.stop(attempt(queue), "why")
        assert batch.stopped == []

    def test_stops_an_attempt_before_its_id_was_recorded(self) -> None:
        batch = FakeBatch(jobs={PREFIX + "a100": {"aimatrix-j1-1": "id-1"}})
        BatchBackend(cast("Any", batch)).stop(attempt(PREFIX + "a100"), "why")
        assert batch.stopped == ["id-1"]
