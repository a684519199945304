"""What is too much for an item, and what a script may have put where the agent's manifest lies: every job ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.items import job_item
from chalicelib.jobs.job import JobStatus, attempt_prefix
from chalicelib.jobs.outcome import MAX_LISTED, MAX_LISTED_BYTES
from chalicelib.jobs.request import MAX_PARAMETER_BYTES
from chalicelib.table import encode
from tests.faults import Shows
from tests.functional.jobs.conftest import ALICE, BUCKET, Jobs

ITEM = 400 * 1024
BASE = "s3://artifacts/tenants/acme/jobs/j/attempt-1/output/"


def trained(jobs: Jobs, **config: Any) -> str:
    job_id = jobs.service.submit(ALICE, jobs.request(**config), None).job_id
    jobs.lifecycle.plan("acme", job_id)
    jobs.backends.sagemaker.says(f"aimatrix-{job_id}-1", BackendState.COMPLETED, billable_seconds=5)
    return job_id


def leave(jobs: Jobs, job_id: str, body: bytes) -> None:
    key = f"{attempt_prefix('acme', job_id, 1)}manifest.json"
    jobs.objects.client.put_object(Bucket=BUCKET, Key=key, Body=body)


def artifact(number: int, length: int = 10, kind: str = "output") -> dict[str, Any]:
    name = f"{number:06d}-{'x' * length}"
    return {"name": name, "type": kind, "path": BASE + name, "size_bytes": 7, "checksum": "a" * 64}


class TestManyArtifacts:
    @pytest.mark.parametrize(("count", "length"), [(99, 10), (100, 10), (101, 10), (5000, 10), (100, 1000)])
    def test_are_counted_and_named_as_far_as_there_is_room(self, jobs: Jobs, count: int, length: int) -> None:
        job_id = trained(jobs)
        artifacts = [artifact(number, length) for number in range(count)]
        leave(jobs, job_id, json.dumps({"artifacts": [*artifacts, artifact(count, kind="model")]}).encode())
        ended = jobs.finishing.finish("acme", job_id, None)
        assert ended.status is JobStatus.COMPLETED
        assert ended.artifacts_total == count + 1
        assert ended.artifacts[0]["type"] == "model"
        assert len(ended.artifacts) <= MAX_LISTED
        assert len(json.dumps(ended.artifacts)) <= MAX_LISTED_BYTES * 1.1
        assert ended.used is not None
        assert ended.used.storage_bytes == 7 * (count + 1)

    def test_beyond_what_the_manifest_names_count_too(self, jobs: Jobs) -> None:
        job_id = trained(jobs)
        manifest = {"artifacts": [artifact(1)], "artifacts_total": 70_000, "artifacts_bytes": 490_000}
        leave(jobs, job_id, json.dumps(manifest).encode())
        ended = jobs.finishing.finish("acme", job_id, None)
        assert ended.used is not None
        assert (ended.artifacts_total, ended.used.storage_bytes) == (70_000, 490_000)


class TestAManifestThatAScriptWrote:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"\xff",
            b"[]",
            b"7",
            b" " * (5 * 1024 * 1024),
            b'{"artifacts": 7}',
            b'{"artifacts": {"a": 1}}',
            b'{"artifacts": [7, null, [], "x"]}',
            b'{"artifacts": [{"size_bytes": "many"}]}',
            b'{"artifacts": [{"size_bytes": -1}, {"size_bytes": 1e400}, {"size_bytes": true}]}',
            b'{"artifacts": [{"size_bytes": 99999999999999999999999999}]}',
            b'{"artifacts": [{"name": {"deep": [[[[]]]]}, "path": 7, "type": null}]}',
            b'{"artifacts_total": -7, "artifacts_bytes": "x", "started_at": "yesterday"}',
            b'{"started_at": 7, "reason": {"a": 1}}',
            b'{"started_at": null, "artifacts": null}',
            b'{"artifacts": [' + b",".join([b'{"name": "' + b"n" * 900_000 + b'"}'] * 4) + b"]}",
        ],
    )
    def test_keeps_no_job_from_ending(self, jobs: Jobs, body: bytes) -> None:
        job_id = trained(jobs)
        leave(jobs, job_id, body)
        ended = jobs.finishing.finish("acme", job_id, None)
        assert ended.status is JobStatus.COMPLETED
        assert jobs.accounts.check(ALICE_AS_ADMIN)[0].differences == ()


STATE_DATA = 262_144
LARGEST: dict[str, Any] = {
    "parameters": {"blob": "é" * ((MAX_PARAMETER_BYTES - 100) // 6)},
    "environment": {"environment_variables": {f"V{number:03d}": "x" * 1000 for number in range(60)}},
    "metric_definitions": [{"name": f"m{number}" + "n" * 240, "regex": "(" + "a" * 490 + ")"} for number in range(40)],
}


class TestTheLargestJob:
    @pytest.mark.parametrize("backend", ["sagemaker", "batch"])
    def test_carries_little_through_its_machine(self, jobs: Jobs, backend: str, shows: Shows) -> None:
        environment = {**LARGEST["environment"], "backend": backend, "docker_image": "team/image:1"}
        job_id = jobs.service.submit(ALICE, jobs.request(**{**LARGEST, "environment": environment}), None).job_id
        plan = jobs.lifecycle.plan("acme", job_id)
        key = f"{attempt_prefix('acme', job_id, 1)}spec.json"
        claimed = jobs.objects.client.get_object(Bucket=BUCKET, Key=key)["ContentLength"]
        size = len(json.dumps(plan).encode())
        shows(20, f"{backend}: the plan of the largest job is {size:,} of {STATE_DATA:,} bytes; {claimed:,} lie in S3")
        # SageMaker's description of the training job, which the state gets as its result, says the same once more.
        assert size * 4 < STATE_DATA
        assert claimed > size

    def test_that_may_be_asked_for_fits_into_its_item(self, jobs: Jobs, shows: Shows) -> None:
        job_id = trained(jobs, **LARGEST)
        artifacts = [artifact(number, 500) for number in range(500)]
        leave(jobs, job_id, json.dumps({"artifacts": artifacts, "reason": "r" * 5000}).encode())
        ended = jobs.finishing.finish("acme", job_id, "e" * 5000)
        size = len(json.dumps(encode(job_item(ended)), ensure_ascii=False).encode())
        shows(19, f"the largest job and its end take {size:,} of {ITEM:,} bytes; an attempt with 5,001 artifacts ends")
        assert size < ITEM


ALICE_AS_ADMIN = type(ALICE)("acme", "root", frozenset({"ADMIN"}))
