"""Canaries: two secrets that a script prints in every way it can, and one in the parameters of a job, searched for in
everything that is kept anywhere."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import boto3
import pytest

from aimatrix.client import ApiError, Client, Job, SecretReference
from tests.e2e import scripts
from tests.e2e.conftest import Cloud
from tests.faults import Shows

pytestmark = pytest.mark.e2e

SCRIPT = """
import base64, json, os, sys, time, urllib.parse
for name in ("GIVEN", "REFERRED"):
    secret = os.environ[name]
    print(name, "arrived with", len(secret), "characters")
    print("plain", secret)
    print("json", json.dumps({"token": secret}), "repr", repr([secret]))
    print("url", "https://host/?token=" + urllib.parse.quote(secret, safe=""))
    print("base64", base64.b64encode(secret.encode()).decode())
    print("basic", base64.b64encode(("user:" + secret).encode()).decode())
    print("progress: step 1/2", secret)
    print("stderr", secret, file=sys.stderr, flush=True)
    sys.stdout.write("split " + secret[:9]); sys.stdout.flush(); time.sleep(0.2); print(secret[9:])
    print("x" * 16310 + secret + "x" * 200)
import mlflow
mlflow.log_param("given", os.environ["GIVEN"])
mlflow.set_tag("referred", os.environ["REFERRED"])
raise ValueError("the servers did not like " + os.environ["GIVEN"] + " and " + os.environ["REFERRED"])
"""


class Canary:
    """A value that can't turn up by chance, with what makes programs write it differently."""

    def __init__(self, name: str) -> None:
        self.value = f"{name}+{uuid4().hex}=/{name}"
        self._core = self.value.split("+")[1].split("=")[0]

    def count(self, data: bytes) -> int:
        """How often it is in there, in any form."""
        forms = {self._core, self._core.encode().hex(), quote(self.value, safe="")}
        for before in ("", "x", "xy"):
            # Without what a neighbour may have changed.
            encoded = base64.b64encode((before + self.value).encode()).decode()
            forms.add(encoded[4:-4])
        return sum(data.count(form.encode()) for form in forms)


def _logs(cloud: Cloud) -> Iterator[tuple[str, bytes]]:
    logs = cloud.boto("logs")
    for group in logs.describe_log_groups()["logGroups"]:
        name = group["logGroupName"]
        pages = logs.get_paginator("describe_log_streams").paginate(logGroupName=name)
        for stream in (stream for page in pages for stream in page["logStreams"]):
            place = {"logGroupName": name, "logStreamName": stream["logStreamName"]}
            token: dict[str, str] = {}
            while True:
                answer = logs.get_log_events(**place, startFromHead=True, **token)
                if not answer["events"]:
                    break
                yield f"log {name}", json.dumps(answer["events"], ensure_ascii=False).encode()
                token = {"nextToken": answer["nextForwardToken"]}


def _tables(cloud: Cloud) -> Iterator[tuple[str, bytes]]:
    dynamodb = cloud.boto("dynamodb")
    for name in dynamodb.list_tables()["TableNames"]:
        for page in dynamodb.get_paginator("scan").paginate(TableName=name):
            yield f"table {name}", json.dumps(page["Items"], default=repr, ensure_ascii=False).encode()


def _objects(cloud: Cloud) -> Iterator[tuple[str, bytes]]:
    s3 = cloud.boto("s3")
    for bucket in (bucket["Name"] for bucket in s3.list_buckets()["Buckets"]):
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for version in page.get("Versions", []):
                key, number = version["Key"], version["VersionId"]
                if not key.endswith(".zip"):
                    body = s3.get_object(Bucket=bucket, Key=key, VersionId=number)["Body"].read()
                    yield f"object {key}", key.encode() + body


def _executions(cloud: Cloud) -> Iterator[tuple[str, bytes]]:
    machines = cloud.boto("stepfunctions")
    for machine in machines.list_state_machines()["stateMachines"]:
        for run in machines.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]:
            arn = run["executionArn"]
            try:
                described = machines.describe_execution(executionArn=arn)
                history = machines.get_execution_history(executionArn=arn)["events"]
            except machines.exceptions.ExecutionDoesNotExist:
                # Forgotten since it was listed, as ended ones are: nothing of it is kept.
                continue
            yield f"execution {arn}", json.dumps([described, history], default=str, ensure_ascii=False).encode()


def _jobs_of_sagemaker(cloud: Cloud, job: Job) -> Iterator[tuple[str, bytes]]:
    described = cloud.boto("sagemaker").describe_training_job(TrainingJobName=f"aimatrix-{job.job_id}-1")
    yield "training job", json.dumps(described, default=str, ensure_ascii=False).encode()


def _queues(cloud: Cloud) -> Iterator[tuple[str, bytes]]:
    sqs = cloud.boto("sqs")
    for url in sqs.list_queues().get("QueueUrls", []):
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        yield f"queue {url}", json.dumps(messages, default=str, ensure_ascii=False).encode()


def _answers(alice: Client, job: Job) -> Iterator[tuple[str, bytes]]:
    yield "job", json.dumps(alice.jobs.get(job.job_id).document, ensure_ascii=False).encode()
    yield "list", json.dumps([each.document for each in alice.jobs.list()], ensure_ascii=False).encode()
    yield "lines", "\n".join(entry.message for entry in alice.jobs.follow_logs(job.job_id)).encode()


def _files(cloud: Cloud) -> Iterator[tuple[str, bytes]]:
    """All that the embedded cloud keeps on disk: its journal, objects, MLflow's database, logs of its own parts."""
    for path in cloud.state.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield f"file {path.relative_to(cloud.state)}", path.read_bytes()


class TestCanaries:
    def test_a_script_that_prints_its_secrets_leaves_them_nowhere(
        self, cloud: Cloud, alice: Client, tmp_path: Path, shows: Shows
    ) -> None:
        given, referred = Canary("given"), Canary("referred")
        made = cloud.boto("secretsmanager").create_secret(
            Name=f"aimatrix/default/{uuid4()}", SecretString=json.dumps({"token": referred.value})
        )
        in_parameters = Canary("parameter")
        with pytest.raises(ApiError, match="api_key") as raised:
            scripts.submit(alice, tmp_path, SCRIPT, parameters={"deep": {"api_key": in_parameters.value}})
        assert raised.value.status == 422
        secrets = {"GIVEN": given.value, "REFERRED": SecretReference(made["ARN"], "token")}
        job = scripts.run(
            alice, tmp_path, SCRIPT, secret_variables=secrets, files={"requirements.txt": "mlflow-skinny\n"}
        )
        assert job.status == "failed"
        assert "the servers did not like *** and ***" in (job.failure_reason or "")
        printed = scripts.lines(alice, job)
        assert f"GIVEN arrived with {len(given.value)} characters" in printed
        assert f"REFERRED arrived with {len(referred.value)} characters" in printed
        assert alice.jobs.get(job.job_id).document["config"]["environment"]["secret_variables"] == sorted(secrets)

        found: list[str] = []
        searched = 0
        for places in (
            _logs(cloud), _tables(cloud), _objects(cloud), _executions(cloud), _jobs_of_sagemaker(cloud, job),
            _queues(cloud), _answers(alice, job), _files(cloud),
        ):  # fmt: skip
            for place, data in places:
                searched += len(data)
                # The embedded Secrets Manager keeps what it is given to keep, on disk as on AWS.
                kept = [] if place.startswith("file journal/") else [referred]
                canaries = [given, in_parameters, *kept]
                found += [place] * sum(canary.count(data) for canary in canaries)
        shows(29, f"{len(found)} occurrences of 3 canaries in {searched:,} bytes of everything that is kept")
        assert sorted(set(found)) == []

    def test_batch_opens_them_with_a_role_of_its_own(self, alice: Client, tmp_path: Path) -> None:
        script = "import os\nprint('-'.join(os.environ['TOKEN']), os.environ['TOKEN'])\n"
        job = scripts.run(alice, tmp_path, script, backend="batch", secret_variables={"TOKEN": "canary"})
        assert scripts.lines(alice, job) == ["c-a-n-a-r-y ***"]

    def test_a_secret_of_another_tenant_is_refused(self, alice: Client, tmp_path: Path) -> None:
        arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:aimatrix/umbrella/db-AbCdEf"
        with pytest.raises(ApiError) as raised:
            scripts.submit(alice, tmp_path, "pass", secret_variables={"DB": SecretReference(arn)})
        assert raised.value.status == 422
        assert raised.value.errors[0].field == "config.environment.secret_variables.DB.secret_arn"

    def test_a_secret_that_is_not_there_fails_the_job_with_its_name(
        self, cloud: Cloud, alice: Client, tmp_path: Path
    ) -> None:
        account = cloud.boto("sts").get_caller_identity()["Account"]
        arn = f"arn:aws:secretsmanager:us-east-1:{account}:secret:aimatrix/default/nothing-AbCdEf"
        job = scripts.run(alice, tmp_path, "print('it ran')", secret_variables={"DB": SecretReference(arn)})
        assert job.status == "failed"
        assert "the secret variable DB can't be had: ResourceNotFoundException" in (job.failure_reason or "")

    def test_an_ordinary_variable_that_looks_like_a_secret_is_warned_about(self, alice: Client, tmp_path: Path) -> None:
        job = scripts.submit(alice, tmp_path, "pass", environment_variables={"HF_TOKEN": "value-of-it"})
        (notice,) = job.document["notices"]
        assert notice.startswith("config.environment.environment_variables.HF_TOKEN looks like a secret")
        assert "value-of-it" not in notice


class TestKey:
    """Who may do what with the key, by the template's own policies."""

    def user(self, cloud: Cloud, statement: dict[str, Any]) -> Any:
        iam, name = cloud.boto("iam"), f"e2e-{uuid4()}"
        iam.create_user(UserName=name)
        document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(document))
        keys = iam.create_access_key(UserName=name)["AccessKey"]
        sdk: Any = boto3
        return sdk.client(
            "kms",
            endpoint_url=cloud.addresses["aws"],
            region_name="us-east-1",
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
        )

    def key(self, cloud: Cloud) -> str:
        kms = cloud.boto("kms")
        keys = [kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in kms.list_keys()["Keys"]]
        (found,) = [key["Arn"] for key in keys if key["Description"] == "Encrypts the secret variables of jobs"]
        return str(found)

    def test_decrypts_for_nobody_but_the_agent(self, cloud: Cloud) -> None:
        key = self.key(cloud)
        mighty = self.user(cloud, {"Action": "kms:*", "Resource": "*"})
        sealed = mighty.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"a": "b"})["CiphertextBlob"]
        with pytest.raises(mighty.exceptions.ClientError, match="AccessDenied"):
            mighty.decrypt(CiphertextBlob=sealed, EncryptionContext={"a": "b"})

    def test_is_used_by_the_service_only_for_a_variable_of_a_job_of_a_tenant(self, cloud: Cloud) -> None:
        key = self.key(cloud)
        policies = json.loads((Path(__file__).parents[2] / ".chalice" / "policy-api.json").read_text())["Statement"]
        (grant,) = [statement for statement in policies if statement.get("Sid") == "EncryptSecrets"]
        service = self.user(cloud, {"Action": grant["Action"], "Resource": key, "Condition": grant["Condition"]})
        whole = {"aimatrix:tenant": "t", "aimatrix:job-id": "j", "aimatrix:variable": "v"}
        assert service.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext=whole)["CiphertextBlob"]
        less = [{name: value for name, value in whole.items() if name != left_out} for left_out in whole]
        for context in ({}, *less, {**whole, "more": "m"}):
            with pytest.raises(service.exceptions.ClientError, match="AccessDenied"):
                service.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext=context)
