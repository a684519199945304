"""Secret variables from the request to spec.json: where their values are, and where not."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import boto3
import pytest

from chalicelib.errors import Conflict, RefusedValue
from chalicelib.jobs import views
from chalicelib.jobs.job import Job, Report
from tests.functional.jobs.conftest import ALICE, BUCKET, Jobs

CANARY = "canary-5f0c9a528f6e"


def _submit(jobs: Jobs, key: str | None = None, **secrets: Any) -> Job:
    request = jobs.request(environment={"secret_variables": secrets or {"HF_TOKEN": CANARY}})
    return jobs.service.submit(ALICE, request, key)


def _everything(jobs: Jobs) -> str:
    """All that is recorded anywhere."""
    dynamodb, s3 = boto3.client("dynamodb"), boto3.client("s3")
    tables = [dynamodb.scan(TableName=name)["Items"] for name in ("jobs", "metrics")]
    listed = s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    objects = [s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read().decode() for entry in listed]
    return f"{tables}{objects}"


def _spec(jobs: Jobs, job: Job) -> Any:
    return jobs.objects.read_json(f"tenants/acme/jobs/{job.job_id}/attempt-1/spec.json")


class TestSecretVariables:
    def test_are_recorded_by_name_with_the_ciphertext_in_an_item_of_its_own(self, jobs: Jobs) -> None:
        job = _submit(jobs)
        record = jobs.store.get("acme", job.job_id)
        assert record is not None
        assert record.config["environment"]["secret_variables"] == ["HF_TOKEN"]
        assert list(jobs.store.secrets("acme", job.job_id)) == ["HF_TOKEN"]
        assert "ciphertext" not in json.dumps(record.config)

    def test_are_shown_by_name_only(self, jobs: Jobs) -> None:
        job = _submit(jobs)
        shown = [views.submitted(job), views.summary(job), views.full(job, Report(), (), (), jobs.clock())]
        assert shown[2]["config"]["environment"]["secret_variables"] == ["HF_TOKEN"]
        assert "ciphertext" not in json.dumps(shown)
        assert CANARY not in json.dumps(shown)

    def test_reach_the_agent_as_what_kms_opens_for_this_job_alone(self, jobs: Jobs) -> None:
        job = _submit(jobs)
        answer = jobs.lifecycle.plan("acme", job.job_id)
        spec = _spec(jobs, job)
        ciphertext = base64.b64decode(spec["secret_variables"]["HF_TOKEN"]["ciphertext"])
        context = {"aimatrix:tenant": "acme", "aimatrix:job-id": job.job_id, "aimatrix:variable": "HF_TOKEN"}
        kms = boto3.client("kms")
        opened = kms.decrypt(CiphertextBlob=ciphertext, EncryptionContext=context)["Plaintext"]
        assert opened.decode() == CANARY
        for change in ("aimatrix:tenant", "aimatrix:job-id", "aimatrix:variable"):
            with pytest.raises(kms.exceptions.InvalidCiphertextException):
                kms.decrypt(CiphertextBlob=ciphertext, EncryptionContext={**context, change: "another"})
        assert "secret" not in json.dumps(answer).lower()

    def test_are_nowhere_in_the_clear(self, jobs: Jobs) -> None:
        job = _submit(jobs, "key-1")
        jobs.lifecycle.plan("acme", job.job_id)
        recorded = _everything(jobs)
        assert "HF_TOKEN" in recorded
        assert CANARY not in recorded
        assert base64.b64encode(CANARY.encode()).decode() not in recorded

    def test_leave_no_trace_in_a_job_without_any(self, jobs: Jobs) -> None:
        job = jobs.service.submit(ALICE, jobs.request(), None)
        jobs.lifecycle.plan("acme", job.job_id)
        assert "secret_variables" not in job.config["environment"]
        assert jobs.store.table.get(f"acme#{job.job_id}", "secrets") is None
        spec = _spec(jobs, job)
        assert spec["secret_variables"] == {}

    def test_are_part_of_what_an_idempotency_key_stands_for(self, jobs: Jobs) -> None:
        first = _submit(jobs, "key-1")
        assert _submit(jobs, "key-1").job_id == first.job_id
        with pytest.raises(Conflict):
            _submit(jobs, "key-1", HF_TOKEN=CANARY + "2")
        with pytest.raises(Conflict):
            _submit(jobs, "key-1", OTHER=CANARY)

    def test_at_their_largest_fit_one_item(self, jobs: Jobs) -> None:
        job = _submit(jobs, **{f"SECRET_{number:02}": "ü" * 2048 for number in range(32)})
        assert len(jobs.store.secrets("acme", job.job_id)) == 32

    def test_that_kms_does_not_encrypt_leave_no_job_and_no_reservation(self, jobs: Jobs) -> None:
        def away() -> Any:
            raise ConnectionError("KMS is away")

        request = jobs.request(environment={"secret_variables": {"HF_TOKEN": CANARY}})
        without = replace(jobs.service, vault=replace(jobs.service.vault, kms=away))
        before = _everything(jobs)
        with pytest.raises(ConnectionError):
            without.submit(ALICE, request, "key-1")
        assert _everything(jobs) == before
        assert jobs.machine.started == []
        assert jobs.service.submit(ALICE, request, "key-1").config["environment"]["secret_variables"] == ["HF_TOKEN"]

    def test_of_another_tenant_are_refused_before_anything_is_recorded(self, jobs: Jobs) -> None:
        arn = f"arn:aws:secretsmanager:us-east-1:{jobs.service.vault.place.account}:secret:aimatrix/umbrella/db"
        with pytest.raises(RefusedValue, match="not a secret of yours"):
            _submit(jobs, DB={"secret_arn": arn})
        assert jobs.machine.started == []


class TestSuspicion:
    def test_is_said_when_the_job_is_submitted_and_when_it_is_read(self, jobs: Jobs) -> None:
        variables = {"HF_TOKEN": CANARY, "GREETING": "hello"}
        job = jobs.service.submit(ALICE, jobs.request(environment={"environment_variables": variables}), None)
        (notice,) = views.submitted(job)["notices"]
        assert "environment_variables.HF_TOKEN" in notice
        assert views.full(job, Report(), (), (), jobs.clock())["notices"] == [notice]
        assert "notices" not in views.summary(job)

    def test_of_a_parameter_that_must_be_a_credential_refuses_it(self, jobs: Jobs) -> None:
        token = "ghp_" + "a1B2" * 9
        with pytest.raises(RefusedValue, match=r"config\.parameters\.token: holds a token of GitHub"):
            jobs.service.submit(ALICE, jobs.request(parameters={"token": token}), None)
        assert token not in _everything(jobs)
