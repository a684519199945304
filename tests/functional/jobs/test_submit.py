"""Submitting a job: what is checked, what is recorded, what is started."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chalicelib.errors import Conflict, Forbidden, InvalidRequest, RefusedValue
from chalicelib.jobs.job import Backend, JobFilter, JobStatus
from tests.functional.jobs.conftest import ALICE, BOB, BUCKET, STRANGER, VIEWER, Jobs


def _fields(error: pytest.ExceptionInfo[Any]) -> list[str]:
    return [problem.field for problem in error.value.problems]


class TestSubmit:
    def test_records_a_pending_job_and_starts_its_machine(self, jobs: Jobs) -> None:
        job = jobs.service.submit(ALICE, jobs.request(), None)
        assert jobs.store.get("acme", job.job_id) == job
        assert (job.status, job.user, job.allocation.backend) == (JobStatus.PENDING, "alice", Backend.SAGEMAKER)
        assert jobs.machine.started == [("acme", job.job_id)]

    def test_estimates_by_earlier_runs_of_the_same_name_and_by_the_limit_without_any(self, jobs: Jobs) -> None:
        first = jobs.service.submit(ALICE, jobs.request(max_runtime_seconds=7200), None)
        jobs.store.table.write(jobs.store.add_runtime(first, 90))
        jobs.store.table.write(jobs.store.add_runtime(first, 110))
        assert first.estimated_seconds == 7200
        assert jobs.service.submit(ALICE, jobs.request(), None).estimated_seconds == 100

    def test_needs_the_permission_to_submit(self, jobs: Jobs) -> None:
        with pytest.raises(Forbidden, match="jobs:submit"):
            jobs.service.submit(VIEWER, jobs.request(), None)

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"script_path": "missing.py"}, "config.script_path"),
            ({"script_path": "folder"}, "config.script_path"),
            ({"script_path": "train.txt"}, "config.script_path"),
            ({"script_path": "empty.py"}, "config.script_path"),
            ({"dataset_path": "missing.csv"}, "config.dataset_path"),
            ({"dataset_path": "empty.csv"}, "config.dataset_path"),
        ],
    )
    def test_names_the_artifact_that_can_not_be_used(self, jobs: Jobs, change: dict[str, str], field: str) -> None:
        for name, body in (("folder/inside.py", b"x"), ("train.txt", b"x"), ("empty.py", b""), ("empty.csv", b"")):
            jobs.upload(ALICE, name, body)
        place = f"s3://artifacts/{ALICE.prefix}uploads/u1/"
        with pytest.raises(InvalidRequest) as error:
            jobs.service.submit(
                ALICE, jobs.request(ALICE, **{name: place + value for name, value in change.items()}), None
            )
        assert _fields(error) == [field]
        assert jobs.machine.started == []
        assert jobs.store.search("acme", JobFilter(), 10, 0, None).jobs == ()

    def test_takes_a_folder_as_dataset(self, jobs: Jobs) -> None:
        jobs.upload(ALICE, "parts/1.csv", b"a\n1\n")
        job = jobs.service.submit(
            ALICE, jobs.request(dataset_path=f"s3://artifacts/{ALICE.prefix}uploads/u1/parts/"), None
        )
        assert job.config["dataset_path"].endswith("/parts/")

    @pytest.mark.parametrize("owner", [BOB, STRANGER])
    def test_refuses_an_artifact_of_somebody_else_without_looking_at_it(self, jobs: Jobs, owner: Any) -> None:
        theirs = jobs.upload(owner, "train.py")
        absent = theirs.replace("train.py", "absent.py")
        answers = []
        for path in (theirs, absent):
            with pytest.raises(RefusedValue) as error:
                jobs.service.submit(ALICE, jobs.request(script_path=path), None)
            answers.append(str(error.value))
        assert answers[0] == answers[1]

    def test_checks_artifacts_before_resources_and_resources_before_the_framework(self, jobs: Jobs) -> None:
        wrong: dict[str, Any] = {
            "resource_requirements": {"gpu_count": 9, "memory_gb": 513},
            "parameters": {"algorithm": "magic"},
        }
        missing = f"s3://artifacts/{ALICE.prefix}uploads/u1/missing.py"
        with pytest.raises(InvalidRequest) as first:
            jobs.service.submit(ALICE, jobs.request(ALICE, script_path=missing, **wrong), None)
        with pytest.raises(InvalidRequest) as second:
            jobs.service.submit(ALICE, jobs.request(ALICE, **wrong), None)
        with pytest.raises(InvalidRequest) as third:
            jobs.service.submit(ALICE, jobs.request(parameters={"algorithm": "magic"}), None)
        assert _fields(first) == ["config.script_path"]
        assert _fields(second) == ["config.resource_requirements.gpu_count", "config.resource_requirements.memory_gb"]
        assert _fields(third) == ["config.parameters.algorithm"]

    def test_refuses_a_disk_that_no_batch_machine_has(self, jobs: Jobs) -> None:
        wanted = {"gpu_count": 0, "cpu_cores": 2, "memory_gb": 4, "disk_gb": 451}
        with pytest.raises(InvalidRequest) as error:
            jobs.service.submit(
                ALICE, jobs.request(environment={"backend": "batch"}, resource_requirements=wanted), None
            )
        assert _fields(error) == ["config.resource_requirements.disk_gb"]
        assert jobs.machine.started == []

    def test_refuses_batch_where_it_is_not_installed(self, jobs: Jobs) -> None:
        without = replace(jobs.service, batch_machines=lambda: None)
        with pytest.raises(InvalidRequest) as error:
            without.submit(ALICE, jobs.request(environment={"backend": "batch"}), None)
        assert _fields(error) == ["config.environment.backend"]

    def test_names_the_image_that_aws_does_not_offer_in_this_region(self, jobs: Jobs) -> None:
        with pytest.raises(InvalidRequest) as error:
            replace(jobs.service, region="mars-north-1").submit(ALICE, jobs.request(), None)
        assert _fields(error) == ["config.environment.docker_image"]


class TestIdempotencyKey:
    def test_gives_the_same_job_for_the_same_request(self, jobs: Jobs) -> None:
        request = jobs.request()
        first, second = (jobs.service.submit(ALICE, request, "key-1") for _ in range(2))
        assert first.job_id == second.job_id
        assert len(jobs.store.search("acme", JobFilter(), 10, 0, None).jobs) == 1

    def test_starts_the_machine_that_a_lost_call_left_unstarted(self, jobs: Jobs) -> None:
        request = jobs.request()
        jobs.machine.lost = 1
        with pytest.raises(ConnectionError):
            jobs.service.submit(ALICE, request, "key-1")
        job = jobs.service.submit(ALICE, request, "key-1")
        assert jobs.machine.started == [("acme", job.job_id)]

    def test_refuses_another_request_under_the_same_key(self, jobs: Jobs) -> None:
        jobs.service.submit(ALICE, jobs.request(), "key-1")
        with pytest.raises(Conflict, match="another request"):
            jobs.service.submit(ALICE, jobs.request(max_runtime_seconds=61), "key-1")

    def test_keeps_its_answer_although_the_script_is_gone_by_now(self, jobs: Jobs) -> None:
        request = jobs.request()
        first = jobs.service.submit(ALICE, request, "key-1")
        key = request.config.script_path.removeprefix(f"s3://{BUCKET}/")
        jobs.service.objects.client.delete_object(Bucket=BUCKET, Key=key)
        assert jobs.service.submit(ALICE, request, "key-1").job_id == first.job_id
        with pytest.raises(InvalidRequest, match="does not exist"):
            jobs.service.submit(ALICE, request, "key-2")

    def test_belongs_to_one_user(self, jobs: Jobs) -> None:
        first = jobs.service.submit(ALICE, jobs.request(), "key-1")
        second = jobs.service.submit(BOB, jobs.request(BOB), "key-1")
        assert first.job_id != second.job_id

    def test_can_be_used_again_after_a_day(self, jobs: Jobs) -> None:
        first = jobs.service.submit(ALICE, jobs.request(), "key-1")
        item = jobs.store.table.get("acme#user#alice", "idempotency#key-1")
        assert item is not None
        assert item["expires_at"] == int(first.created_at.timestamp()) + 86400

    @pytest.mark.parametrize("key", ["", "with space", "ü", "x" * 256, "line\nbreak"])
    def test_must_be_visible_ascii(self, jobs: Jobs, key: str) -> None:
        with pytest.raises(InvalidRequest, match="Idempotency-Key"):
            jobs.service.submit(ALICE, jobs.request(), key)
