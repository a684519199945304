"""What the seam adds to ministack, seen from outside: who may come in, how functions run, what state machines can do."""

from __future__ import annotations

import hashlib
import http.client
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import httpx
import pytest
from botocore import UNSIGNED
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from localcloud.seam.retention import LAMBDA_STREAMS
from localcloud.state import REGION
from tests.functional.localcloud.conftest import Cloud, until

BUCKET = "aimatrix-objects"


def client(cloud: Cloud, name: str, key: str, secret: str = "test") -> Any:
    config = Config(retries={"max_attempts": 0})
    return boto3.Session(key, secret, region_name=REGION).client(
        name,  # type: ignore[call-overload]
        endpoint_url=cloud.settings.aws_url,
        config=config,
    )


def request(
    cloud: Cloud, method: str, path: str, body: str = "", headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", cloud.settings.aws_port, timeout=10)
    try:
        connection.request(method, path, body or None, headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


class TestGuard:
    @pytest.mark.parametrize("key", ["test", "000000000000", "123456789012", "AKIAUNKNOWNUNKNOWN00"])
    def test_refuses_keys_that_ministack_would_take_for_root(self, cloud: Cloud, key: str) -> None:
        with pytest.raises(ClientError) as refused:
            client(cloud, "dynamodb", key).list_tables()
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 403)
        with pytest.raises(ClientError):
            client(cloud, "s3", key).list_buckets()

    def test_checks_the_signature_of_root(self, cloud: Cloud) -> None:
        wrong = client(cloud, "dynamodb", cloud.settings.access_key_id, "not-the-secret")
        with pytest.raises(ClientError, match=r"[Ss]ignature"):
            wrong.list_tables()

    def test_refuses_unsigned_requests_for_objects(self, cloud: Cloud) -> None:
        cloud.s3.put_object(Bucket=BUCKET, Key="private", Body=b"x")
        assert request(cloud, "GET", f"/{BUCKET}/private")[0] == 403
        unsigned = boto3.client(
            "s3", endpoint_url=cloud.settings.aws_url, region_name=REGION, config=Config(signature_version=UNSIGNED)
        )
        with pytest.raises(ClientError):
            unsigned.get_object(Bucket=BUCKET, Key="private")

    def test_lets_presigned_requests_in(self, cloud: Cloud) -> None:
        url = cloud.s3.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "presigned"})
        assert httpx.put(url, content=b"by url").status_code == 200
        assert cloud.s3.get_object(Bucket=BUCKET, Key="presigned")["Body"].read() == b"by url"
        assert httpx.put(url[:-4] + "0000", content=b"forged").status_code == 403

    @pytest.mark.parametrize("path", ["/_ministack/reset", "/_ministack/config", "/_localstack/health", "/health", "/"])
    @pytest.mark.parametrize("host", ["127.0.0.1", "0badc0de.execute-api.localhost"])
    def test_keeps_administration_closed(self, cloud: Cloud, path: str, host: str) -> None:
        assert request(cloud, "POST", path, headers={"Host": host})[0] == 403
        assert request(cloud, "GET", path, headers={"Host": host})[0] == 403
        assert cloud.dynamodb.list_tables()["TableNames"]

    @pytest.mark.parametrize("secret", [None, "", "guess"])
    def test_keeps_the_control_endpoints_closed(self, cloud: Cloud, secret: str | None) -> None:
        headers = {} if secret is None else {"X-Aimatrix-Control": secret}
        body = json.dumps({"role_arn": cloud.outputs["TrainingRole"], "service": "sagemaker.amazonaws.com"})
        for name in ("credentials", "authorize", "events", "warm"):
            assert request(cloud, "POST", f"/_aimatrix/{name}", body, headers)[0] == 403


class TestCredentials:
    def of(self, cloud: Cloud, role: str, service: str) -> tuple[int, dict[str, str]]:
        body = json.dumps({"role_arn": role, "service": service, "session_name": "job"})
        headers = {"X-Aimatrix-Control": cloud.settings.control_secret}
        status, answer = request(cloud, "POST", "/_aimatrix/credentials", body, headers)
        return status, json.loads(answer)

    def test_of_a_role_carry_its_permissions_and_no_others(self, cloud: Cloud) -> None:
        status, keys = self.of(cloud, cloud.outputs["TrainingRole"], "sagemaker.amazonaws.com")
        assert status == 200
        session = cloud.session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["Token"])
        s3 = session.client("s3", endpoint_url=cloud.settings.aws_url)
        s3.put_object(Bucket=BUCKET, Key="by-role", Body=b"x")
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.get_object(Bucket=BUCKET, Key="by-role")

    def test_are_refused_to_a_service_that_the_role_does_not_trust(self, cloud: Cloud) -> None:
        status, answer = self.of(cloud, cloud.outputs["TrainingRole"], "lambda.amazonaws.com")
        assert status == 403
        assert "does not trust" in answer["message"]

    def test_are_refused_for_a_role_that_is_not_there(self, cloud: Cloud) -> None:
        assert self.of(cloud, "arn:aws:iam::000000000000:role/none", "sagemaker.amazonaws.com")[0] == 403
        assert self.of(cloud, "nonsense", "sagemaker.amazonaws.com")[0] == 403

    def test_need_every_field(self, cloud: Cloud) -> None:
        headers = {"X-Aimatrix-Control": cloud.settings.control_secret}
        assert request(cloud, "POST", "/_aimatrix/credentials", "{}", headers)[0] == 400
        assert request(cloud, "POST", "/_aimatrix/credentials", "not json", headers)[0] == 400


class TestOneAddress:
    """What is signed for SageMaker and Batch is answered by the compute emulator, at the address of all of AWS."""

    def root(self, cloud: Cloud, name: str, secret: str | None = None) -> Any:
        settings = cloud.settings
        return client(cloud, name, settings.access_key_id, secret or settings.secret_access_key)

    def test_answers_for_sagemaker(self, cloud: Cloud) -> None:
        name = f"allowed-{uuid.uuid4()}"
        run(cloud, "Train", training(cloud, "pass", name=name))
        sagemaker = self.root(cloud, "sagemaker")
        assert sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "Completed"
        found = sagemaker.list_training_jobs(NameContains=name)["TrainingJobSummaries"]
        assert [job["TrainingJobName"] for job in found] == [name]
        with pytest.raises(ClientError, match="ResourceNotFound"):
            sagemaker.describe_training_job(TrainingJobName="none")

    def test_answers_for_batch(self, cloud: Cloud) -> None:
        batch = self.root(cloud, "batch")
        assert [queue["jobQueueName"] for queue in batch.describe_job_queues()["jobQueues"]] == ["tiny"]
        submitted = batch.submit_job(
            jobName="direct",
            jobQueue="tiny",
            jobDefinition="tiny",
            containerOverrides={"environment": [{"name": "WHO", "value": "the one address"}]},
        )
        jobs = [submitted["jobId"]]
        until(lambda: batch.describe_jobs(jobs=jobs)["jobs"][0]["status"] == "SUCCEEDED")
        # A GET whose path holds an ARN, encoded by the client and signed as it encoded it.
        assert batch.list_tags_for_resource(resourceArn=submitted["jobArn"])["tags"] == {}

    def test_takes_the_largest_payload_of_an_endpoint_and_no_larger_one(self, cloud: Cloud) -> None:
        runtime = self.root(cloud, "sagemaker-runtime")
        largest = 25 * 1024 * 1024
        with pytest.raises(ClientError, match=r"ValidationError.*none"):
            runtime.invoke_endpoint(EndpointName="none", Body=bytes(largest))
        with pytest.raises(ClientError) as refused:
            runtime.invoke_endpoint(EndpointName="none", Body=bytes(largest + 1))
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413

    @pytest.mark.parametrize(
        ("service", "operation"), [("sagemaker", "list_training_jobs"), ("batch", "describe_job_queues")]
    )
    def test_checks_signatures(self, cloud: Cloud, service: str, operation: str) -> None:
        with pytest.raises(ClientError, match=r"[Ss]ignature"):
            getattr(self.root(cloud, service, "not-the-secret"), operation)()
        with pytest.raises(ClientError) as refused:
            getattr(client(cloud, service, "test"), operation)()
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403

    @pytest.mark.parametrize("claims_its_digest", [False, True])
    def test_refuses_a_body_that_was_not_signed(self, cloud: Cloud, claims_its_digest: bool) -> None:
        body = b'{"NameContains":"signed"}'
        signed = AWSRequest("POST", f"{cloud.settings.aws_url}/", data=body)
        signed.headers["X-Amz-Target"] = "SageMaker.ListTrainingJobs"
        signed.headers["Content-Type"] = "application/x-amz-json-1.1"
        if claims_its_digest:
            signed.headers["X-Amz-Content-SHA256"] = hashlib.sha256(body).hexdigest()
        settings = cloud.settings
        SigV4Auth(Credentials(settings.access_key_id, settings.secret_access_key), "sagemaker", REGION).add_auth(signed)
        headers = dict(signed.headers.items())
        assert request(cloud, "POST", "/", body.decode(), headers)[0] == 200
        status, answer = request(cloud, "POST", "/", body.decode().replace("signed", "forged"), headers)
        assert status in (400, 403)
        assert b"signature" in answer.lower()

    def test_asks_policies(self, cloud: Cloud) -> None:
        control = {"X-Aimatrix-Control": cloud.settings.control_secret}
        body = {
            "role_arn": cloud.outputs["TrainingRole"],
            "service": "sagemaker.amazonaws.com",
            "session_name": "job",
        }
        keys = json.loads(request(cloud, "POST", "/_aimatrix/credentials", json.dumps(body), control)[1])
        session = cloud.session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["Token"])
        with pytest.raises(ClientError, match="sagemaker:ListTrainingJobs"):
            session.client("sagemaker", endpoint_url=cloud.settings.aws_url).list_training_jobs()


def call(cloud: Cloud, function: str, payload: Any) -> dict[str, Any]:
    return run(cloud, "Call", {"function": f"aimatrix-{function}", "payload": payload})


def run(cloud: Cloud, machine: str, data: dict[str, Any]) -> dict[str, Any]:
    """Run a state machine to its end; the description of the execution."""
    states = cloud.stepfunctions
    arn = states.start_execution(stateMachineArn=cloud.outputs[machine], input=json.dumps(data))["executionArn"]
    until(lambda: states.describe_execution(executionArn=arn)["status"] != "RUNNING")
    return dict(states.describe_execution(executionArn=arn))


class TestFunctions:
    def test_see_their_zip_and_boto3_and_nothing_else_of_ours(self, cloud: Cloud) -> None:
        answer = httpx.post(f"{cloud.addresses.api}/items", json={"id": "from-a-function"})
        assert answer.status_code == 201
        seen = answer.json()
        assert seen["seen"] == []
        assert not [name for name in seen["environment"] if name.startswith(("AIMATRIX", "S3_", "AUTH", "GATEWAY"))]
        assert "Item" in cloud.dynamodb.get_item(TableName="aimatrix-items", Key={"id": {"S": "from-a-function"}})

    def test_may_do_what_their_role_allows_only(self, cloud: Cloud) -> None:
        failed = call(cloud, "forbidden", {})
        assert failed["status"] == "FAILED"
        assert "dynamodb:DeleteTable" in failed["cause"]

    def test_fail_with_the_name_of_their_exception(self, cloud: Cloud) -> None:
        failed = call(cloud, "fail", {})
        assert failed["error"] == "LookupError"
        cause = json.loads(failed["cause"])
        assert cause["errorMessage"] == "nothing there"
        assert "localcloud" not in "".join(cause["stackTrace"])

    def test_live_on_after_an_exception(self, cloud: Cloud) -> None:
        invoke = cloud.session().client("lambda", endpoint_url=cloud.settings.aws_url)
        aws = next(process for process in cloud.processes() if process.pid == cloud.part("aws").pid)

        def workers() -> set[int]:
            return {worker.pid for breeder in aws.children() for worker in breeder.children()}

        assert invoke.invoke(FunctionName="aimatrix-fail", Payload=b"{}")["FunctionError"] == "Unhandled"
        before = workers()
        for _ in range(5):
            assert invoke.invoke(FunctionName="aimatrix-fail", Payload=b"{}")["FunctionError"] == "Unhandled"
        assert workers() == before
        log = cloud.logs.filter_log_events(logGroupName="/aws/lambda/aimatrix-fail")["events"]
        assert [event for event in log if "LookupError: nothing there" in event["message"]]

    def test_answer_what_they_return_although_they_log_nothing(self, cloud: Cloud) -> None:
        assert call(cloud, "silent", {"n": 1})["output"] == '{"n": 1}'

    def test_share_a_few_workers_under_a_burst(self, cloud: Cloud) -> None:
        invoke = cloud.session().client("lambda", endpoint_url=cloud.settings.aws_url)
        aws = next(process for process in cloud.processes() if process.pid == cloud.part("aws").pid)
        with ThreadPoolExecutor(40) as threads:
            answers = list(
                threads.map(lambda _: invoke.invoke(FunctionName="aimatrix-silent", Payload=b"{}"), range(200))
            )
        assert {answer["StatusCode"] for answer in answers} == {200}
        assert not [answer for answer in answers if "FunctionError" in answer]
        breeders = aws.children()
        assert len([worker for breeder in breeders for worker in breeder.children()]) < 20

    def test_have_what_they_print_in_their_log(self, cloud: Cloud) -> None:
        marker = f"marker-{uuid.uuid4()}"
        httpx.post(f"{cloud.addresses.api}/items", json={"id": marker}).raise_for_status()
        events = cloud.logs.filter_log_events(logGroupName="/aws/lambda/aimatrix-put")["events"]
        assert [event for event in events if marker in event["message"]]

    def test_show_no_stack_trace_to_a_caller(self, cloud: Cloud) -> None:
        answer = httpx.post(f"{cloud.addresses.api}/items", content=b"not json")
        assert answer.status_code == 502
        assert answer.headers["content-type"] == "application/problem+json"
        assert "Traceback" not in answer.text
        assert "JSONDecodeError" not in answer.text


class TestRetention:
    def test_keeps_the_logs_of_the_last_invocations_and_of_every_job(self, cloud: Cloud) -> None:
        name = f"allowed-{uuid.uuid4()}"
        run(cloud, "Train", training(cloud, "print('kept')", name=name))
        for number in range(LAMBDA_STREAMS + 5):
            assert httpx.post(f"{cloud.addresses.api}/items", json={"id": f"retained-{number}"}).status_code == 201

        def messages(group: str, text: str) -> list[str]:
            pages = cloud.logs.get_paginator("filter_log_events").paginate(logGroupName=group, filterPattern=text)
            return [event["message"] for page in pages for event in page["events"]]

        put = [json.loads(line)["put"]["id"] for line in messages("/aws/lambda/aimatrix-put", '"retained-"')]
        assert put == [f"retained-{number}" for number in range(5, LAMBDA_STREAMS + 5)]
        assert "kept" in messages("/aws/sagemaker/TrainingJobs", "kept")


def training(cloud: Cloud, script: str, name: str | None = None) -> dict[str, str]:
    return {
        "name": name or f"allowed-{uuid.uuid4()}",
        "script": script,
        "role": cloud.outputs["TrainingRole"],
    }


class TestTrainingInAMachine:
    def test_answers_the_description_of_the_finished_job(self, cloud: Cloud) -> None:
        data = training(cloud, "print('trained')")
        done = run(cloud, "Train", data)
        assert done["status"] == "SUCCEEDED", done.get("cause")
        output = json.loads(done["output"])
        assert output["TrainingJobName"] == data["name"]
        assert output["TrainingJobStatus"] == "Completed"

    def test_fails_with_the_description_of_a_failed_job(self, cloud: Cloud) -> None:
        failed = run(cloud, "Train", training(cloud, "raise SystemExit(3)"))
        assert failed["error"] == "States.TaskFailed"
        assert json.loads(failed["cause"])["TrainingJobStatus"] == "Failed"

    def test_names_a_second_job_of_the_same_name(self, cloud: Cloud) -> None:
        data = training(cloud, "pass")
        run(cloud, "Train", data)
        assert run(cloud, "Train", data)["error"] == "SageMaker.ResourceInUseException"

    def test_asks_the_roles_of_the_machine(self, cloud: Cloud) -> None:
        refused = run(cloud, "Train", training(cloud, "pass", name=f"other-{uuid.uuid4()}"))
        assert refused["error"] == "SageMaker.AmazonSageMakerException"
        assert "sagemaker:CreateTrainingJob" in refused["cause"]

    def test_may_pass_only_the_role_it_is_allowed_to(self, cloud: Cloud) -> None:
        data = {**training(cloud, "pass"), "role": "arn:aws:iam::000000000000:role/another"}
        refused = run(cloud, "Train", data)
        assert "iam:PassRole" in refused["cause"]

    def test_stops_the_job_when_the_execution_is_aborted(self, cloud: Cloud) -> None:
        data = training(cloud, "import time; time.sleep(60)")
        states, sagemaker = cloud.stepfunctions, cloud.sagemaker
        machine = cloud.outputs["Train"]
        arn = states.start_execution(stateMachineArn=machine, input=json.dumps(data))["executionArn"]

        def status() -> str:
            try:
                return sagemaker.describe_training_job(TrainingJobName=data["name"])["TrainingJobStatus"]
            except ClientError:
                return "none"

        until(lambda: status() == "InProgress")
        states.stop_execution(executionArn=arn, error="Cancelled", cause="by the user")
        until(lambda: status() == "Stopped")
        assert states.describe_execution(executionArn=arn)["status"] == "ABORTED"


class TestBatchInAMachine:
    def test_runs_a_job_on_the_queue_that_the_template_made(self, cloud: Cloud) -> None:
        name = f"batch-{uuid.uuid4()}"
        data = {"name": name, "queue": cloud.outputs["Queue"], "definition": cloud.outputs["Definition"]}
        done = run(cloud, "Submit", data)
        assert done["status"] == "SUCCEEDED", done.get("cause")
        job = json.loads(done["output"])
        assert job["JobName"] == name
        assert job["Status"] == "SUCCEEDED"
        assert job["Tags"] == {"some:Tag": "kept As It Is"}
        stream = job["Container"]["LogStreamName"]
        events = cloud.logs.get_log_events(logGroupName="/tiny/batch", logStreamName=stream)["events"]
        notice, *printed = [event["message"] for event in events]
        assert notice.startswith("aimatrix: the compute emulator runs")
        assert printed == [f"hello from {name}"]


class TestStateData:
    """262,144 bytes and no more: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"""

    @pytest.fixture
    def machine(self, cloud: Cloud) -> str:
        """Hands on its input, twice as long if it is asked to."""
        twice = "{% $states.input.twice ? {'text': $states.input.text & $states.input.text} : $states.input %}"
        definition = {"QueryLanguage": "JSONata", "StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}
        definition["States"]["P"]["Output"] = twice  # type: ignore[index]
        role = cloud.stepfunctions.describe_state_machine(stateMachineArn=cloud.outputs["Call"])["roleArn"]
        made = cloud.stepfunctions.create_state_machine(
            name=f"carry-{uuid.uuid4()}", definition=json.dumps(definition), roleArn=role
        )
        return str(made["stateMachineArn"])

    def ended(self, cloud: Cloud, machine: str, data: dict[str, Any]) -> dict[str, Any]:
        states = cloud.stepfunctions
        arn = states.start_execution(stateMachineArn=machine, input=json.dumps(data))["executionArn"]
        until(lambda: states.describe_execution(executionArn=arn)["status"] != "RUNNING")
        return dict(states.describe_execution(executionArn=arn))

    @pytest.mark.parametrize("spare", [1, 0])
    def test_of_just_so_many_bytes_is_taken(self, cloud: Cloud, machine: str, spare: int) -> None:
        data = {"twice": False, "text": ""}
        data["text"] = "x" * (262_144 - len(json.dumps(data)) - spare)
        assert self.ended(cloud, machine, data)["status"] == "SUCCEEDED"

    def test_of_one_more_is_refused_at_the_start(self, cloud: Cloud, machine: str) -> None:
        text = json.dumps("x" * (262_144 - 1))
        with pytest.raises(ClientError, match="less than or equal to 262144"):
            cloud.stepfunctions.start_execution(stateMachineArn=machine, input=text)

    def test_ends_an_execution_that_makes_more_on_its_way(self, cloud: Cloud, machine: str) -> None:
        ended = self.ended(cloud, machine, {"twice": True, "text": "x" * 140_000})
        assert (ended["status"], ended["error"]) == ("FAILED", "States.DataLimitExceeded")
