"""The emulator as boto3 sees it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.functional.compute.server import Served, served
from tests.unit.compute.fakes import ROLE
from tests.unit.compute.harness import program_request, training_request


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("state"), instance_limits={"ml.m5.xlarge": 0}) as emulated:
        yield emulated


@pytest.fixture
def sagemaker(running: Served) -> Any:
    return running.client("sagemaker")


@pytest.fixture
def batch(running: Served) -> Any:
    return running.client("batch")


def wait(running: Served, name: str, seconds: int = 15) -> dict[str, Any]:
    answer = running.internal("GET", f"/_compute/wait/training-jobs/{name}?timeout={seconds}")
    answer.raise_for_status()
    shown: dict[str, Any] = answer.json()
    return shown


def code_of(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


class TestTrainingJobs:
    def test_live_from_create_to_describe(self, running: Served, sagemaker: Any) -> None:
        tags = [{"Key": "aimatrix:tenant", "Value": "acme"}]
        made = sagemaker.create_training_job(**training_request("http-1", "print('hello')", Tags=tags))

        assert made["TrainingJobArn"] == "arn:aws:sagemaker:us-east-1:000000000000:training-job/http-1"
        assert wait(running, "http-1")["TrainingJobStatus"] == "Completed"
        shown = sagemaker.describe_training_job(TrainingJobName="http-1")
        assert shown["SecondaryStatus"] == "Completed"
        assert shown["CreationTime"] <= shown["TrainingEndTime"]
        assert "hello" in running.logs.lines()
        assert sagemaker.list_tags(ResourceArn=made["TrainingJobArn"])["Tags"] == tags

    def test_boto3_waiters_see_the_end(self, sagemaker: Any) -> None:
        sagemaker.create_training_job(**training_request("http-waited", "pass"))

        waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
        waiter.wait(TrainingJobName="http-waited", WaiterConfig={"Delay": 1, "MaxAttempts": 15})

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"TrainingJobName": "bad name"}, "ValidationException"),
            ({"RoleArn": "short"}, "ValidationException"),
            ({"Nonsense": 1}, "ValidationException"),
            (
                {"ResourceConfig": {"InstanceType": "ml.x", "InstanceCount": 0, "VolumeSizeInGB": 0}},
                "ValidationException",
            ),
            (
                {"ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1}},
                "ResourceLimitExceeded",
            ),
        ],
    )
    def test_a_wrong_request_leaves_nothing(
        self, running: Served, sagemaker: Any, changes: dict[str, Any], code: str
    ) -> None:
        request = {**training_request("http-wrong", "pass"), **changes}
        body = json.dumps(request)
        headers = {"X-Amz-Target": "SageMaker.CreateTrainingJob", "Content-Type": "application/x-amz-json-1.1"}

        answer = httpx.post(running.url, content=body, headers=headers, trust_env=False)

        assert (answer.status_code, answer.json()["__type"]) == (400, code)
        with pytest.raises(sagemaker.exceptions.ResourceNotFound):
            sagemaker.describe_training_job(TrainingJobName="http-wrong")

    def test_a_name_is_taken_by_one_of_many_at_once(self, running: Served) -> None:
        outcomes: list[str] = []

        def create() -> None:
            try:
                running.client("sagemaker").create_training_job(**training_request("http-race", "pass"))
                outcomes.append("created")
            except ClientError as error:
                outcomes.append(error.response["Error"]["Code"])

        threads = [threading.Thread(target=create) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(outcomes) == ["ResourceInUse"] * 7 + ["created"]

    def test_are_listed_with_filters_and_pages(self, running: Served, sagemaker: Any) -> None:
        for n in range(5):
            sagemaker.create_training_job(**training_request(f"http-list-{n}", "pass"))
            wait(running, f"http-list-{n}")

        pages = sagemaker.get_paginator("list_training_jobs").paginate(
            NameContains="http-list", SortBy="Name", SortOrder="Ascending", StatusEquals="Completed", MaxResults=2
        )

        names = [[job["TrainingJobName"] for job in page["TrainingJobSummaries"]] for page in pages]
        assert names == [["http-list-0", "http-list-1"], ["http-list-2", "http-list-3"], ["http-list-4"]]


class TestAuthorization:
    def test_asks_for_action_resource_and_passed_role(self, running: Served, sagemaker: Any) -> None:
        sagemaker.create_training_job(**training_request("http-asked", "pass"))

        asked = [question for question in running.control.asked if question.action == "sagemaker:CreateTrainingJob"][-1]

        assert asked.resources == ("arn:aws:sagemaker:us-east-1:000000000000:training-job/http-asked",)
        assert [(role.role_arn, role.service) for role in asked.pass_roles] == [(ROLE, "sagemaker.amazonaws.com")]

    def test_nothing_happens_without_permission(self, running: Served, sagemaker: Any, batch: Any) -> None:
        running.control.denied |= {"sagemaker:CreateTrainingJob", "batch:CreateJobQueue"}
        try:
            with pytest.raises(ClientError) as refused:
                sagemaker.create_training_job(**training_request("http-denied", "pass"))
            with pytest.raises(ClientError) as batch_refused:
                batch.create_job_queue(jobQueueName="denied", priority=1, computeEnvironmentOrder=[])
        finally:
            running.control.denied.clear()

        assert code_of(refused) == ("AccessDeniedException", 400)
        assert code_of(batch_refused) == ("AccessDeniedException", 403)
        with pytest.raises(sagemaker.exceptions.ResourceNotFound):
            sagemaker.describe_training_job(TrainingJobName="http-denied")

    def test_internal_routes_need_the_secret(self, running: Served) -> None:
        for path in ("/_compute/faults", "/_compute/wait/training-jobs/x", "/_compute/nothing"):
            for headers in ({}, {"X-Aimatrix-Control": "wrong"}):
                assert running.internal("GET", path, headers=headers).status_code == 403
        assert running.internal("GET", "/_compute/health", headers={}).json() == {"status": "healthy"}

    def test_a_job_gets_its_roles_credentials_and_nobody_else_does(
        self, running: Served, sagemaker: Any, tmp_path: Path
    ) -> None:
        source = """
import json, os, urllib.error, urllib.request
url, token = os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"], os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
def ask(token):
    try:
        request = urllib.request.Request(url, headers={"Authorization": token})
        return json.load(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request))
    except urllib.error.HTTPError as error:
        return error.code
print("credentials", json.dumps([ask(token)["Token"], ask("wrong"), url]))
"""
        sagemaker.create_training_job(**program_request("http-credentials", tmp_path, source))
        assert wait(running, "http-credentials")["TrainingJobStatus"] == "Completed"

        line = next(line for line in running.logs.lines() if line.startswith("credentials"))
        token, refused, url = json.loads(line.removeprefix("credentials "))
        assert (token, refused) == (f"token of {ROLE}", 403)
        # The right ends with the job.
        assert httpx.get(url, headers={"Authorization": token}, trust_env=False).status_code == 403


class TestProtocol:
    def test_refuses_a_body_that_is_too_large(self, running: Served) -> None:
        headers = {"X-Amz-Target": "SageMaker.CreateTrainingJob"}

        announced = httpx.post(running.url, content=b"x" * (1024 * 1024 + 1), headers=headers, trust_env=False)
        streamed = httpx.post(
            running.url, content=(b"x" * 100_000 for _ in range(12)), headers=headers, trust_env=False
        )

        assert announced.status_code == streamed.status_code == 413

    def test_an_operation_that_is_not_there(self, sagemaker: Any, batch: Any) -> None:
        for call in (sagemaker.list_notebook_instances, batch.list_consumable_resources):
            with pytest.raises(ClientError) as refused:
                call()
            assert code_of(refused)[1] in (400, 404)

    def test_every_answer_carries_a_request_id(self, running: Served) -> None:
        answers = [httpx.get(f"{running.url}/nothing", trust_env=False) for _ in range(2)]

        assert len({answer.headers["x-amzn-RequestId"] for answer in answers}) == 2

    def test_batch_errors_are_client_exceptions(self, batch: Any) -> None:
        with pytest.raises(batch.exceptions.ClientException) as refused:
            batch.submit_job(jobName="j", jobQueue="none", jobDefinition="none")

        assert refused.value.response["Error"]["Message"] == "JobQueue none not found"

    def test_batch_resources_carry_tags(self, batch: Any) -> None:
        resources = {"type": "EC2", "maxvCpus": 2, "instanceTypes": ["m5"], "subnets": ["s"], "instanceRole": "r"}
        made = batch.create_compute_environment(
            computeEnvironmentName="http-tagged", type="MANAGED", computeResources=resources, tags={"a": "1"}
        )
        arn = made["computeEnvironmentArn"]

        batch.tag_resource(resourceArn=arn, tags={"b": "2"})
        batch.untag_resource(resourceArn=arn, tagKeys=["a"])

        assert batch.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "2"}
        described = batch.describe_compute_environments(computeEnvironments=["http-tagged"])["computeEnvironments"]
        assert described[0]["status"] == "VALID"


class TestFaults:
    def test_a_throttled_call_succeeds_once_the_rule_is_used_up(self, running: Served, sagemaker: Any) -> None:
        rule = {"operation": "ListTrainingJobs", "fault": "throttle", "times": 2}
        assert running.internal("PUT", "/_compute/faults", json={"seed": 1, "rules": [rule]}).status_code == 200

        for _ in range(2):
            with pytest.raises(ClientError) as refused:
                sagemaker.list_training_jobs()
            assert code_of(refused) == ("ThrottlingException", 400)
        sagemaker.list_training_jobs()
        assert running.internal("GET", "/_compute/faults").json()["rules"][0]["left"] == 0

    def test_a_wrong_plan_is_refused(self, running: Served) -> None:
        for body in (b"{", b"[]", b'{"rules": [{"fault": "meteor"}]}'):
            assert running.internal("PUT", "/_compute/faults", content=body).status_code == 400


class TestLongPoll:
    def test_answers_when_the_time_is_over(self, running: Served, sagemaker: Any) -> None:
        sagemaker.create_training_job(**training_request("http-long", "import time; time.sleep(600)"))

        begun = time.monotonic()
        shown = wait(running, "http-long", seconds=1)

        assert time.monotonic() - begun >= 1
        assert shown["TrainingJobStatus"] == "InProgress"
        sagemaker.stop_training_job(TrainingJobName="http-long")
        assert wait(running, "http-long")["TrainingJobStatus"] == "Stopped"

    @pytest.mark.parametrize(
        ("path", "status"),
        [("training-jobs/none", 404), ("batch-jobs/none", 404), ("training-jobs/x?timeout=soon", 400)],
    )
    def test_says_what_is_wrong(self, running: Served, path: str, status: int) -> None:
        assert running.internal("GET", f"/_compute/wait/{path}").status_code == status


class TestServiceQuotas:
    def test_tell_in_pages_what_creating_a_job_keeps_to(self, running: Served, sagemaker: Any) -> None:
        quotas = running.client("service-quotas")
        pages = list(quotas.get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker"))
        assert len(pages) > 2
        found = {quota["QuotaName"]: quota for page in pages for quota in page["Quotas"]}
        assert found["ml.m5.xlarge for training job usage"]["Value"] == 0.0
        assert found["ml.p3.2xlarge for training job usage"]["Value"] == 100.0
        assert found["ml.m5.large for endpoint usage"]["Value"] == 100.0
        limits = {"instances": {"ml.p3.2xlarge": 0}, "endpoints": {"ml.m5.large": 3}, "vcpus": {"L-417A185B": 64}}
        assert running.internal("PUT", "/_compute/limits", json=limits).status_code == 200
        code = found["ml.p3.2xlarge for training job usage"]["QuotaCode"]
        assert quotas.get_service_quota(ServiceCode="sagemaker", QuotaCode=code)["Quota"]["Value"] == 0.0
        assert quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-417A185B")["Quota"]["Value"] == 64.0
        code = found["ml.m5.large for endpoint usage"]["QuotaCode"]
        assert quotas.get_service_quota(ServiceCode="sagemaker", QuotaCode=code)["Quota"]["Value"] == 3.0
        resources = {"InstanceType": "ml.p3.2xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1}
        with pytest.raises(ClientError) as refused:
            sagemaker.create_training_job(**training_request("http-quota", "pass", ResourceConfig=resources))
        assert code_of(refused)[0] == "ResourceLimitExceeded"

    @pytest.mark.parametrize(
        ("call", "parameters", "code"),
        [
            ("list_service_quotas", {"ServiceCode": "nothing"}, "NoSuchResourceException"),
            ("list_service_quotas", {"ServiceCode": "ec2", "NextToken": "x"}, "InvalidPaginationTokenException"),
            ("list_service_quotas", {"ServiceCode": "ec2", "MaxResults": 101}, "ValidationException"),
            ("get_service_quota", {"ServiceCode": "ec2", "QuotaCode": "L-0"}, "NoSuchResourceException"),
        ],
    )
    def test_refuse_what_aws_refuses(self, running: Served, call: str, parameters: dict[str, Any], code: str) -> None:
        with pytest.raises(ClientError) as refused:
            getattr(running.client("service-quotas"), call)(**parameters)
        assert code_of(refused) == (code, 400)

    @pytest.mark.parametrize(
        "limits",
        [
            {"instances": {"ml.m5.large": -1}},
            {"endpoints": {"ml.m5.large": -1}, "instances": {"ml.m5.large": 1}},
            {"vcpus": {"L-0": 1}},
            {"instances": 1},
            {"other": {}},
            [1],
        ],
    )
    def test_keep_their_limits_when_new_ones_make_no_sense(self, running: Served, limits: Any) -> None:
        before = running.internal("GET", "/_compute/limits").json()
        assert running.internal("PUT", "/_compute/limits", json=limits).status_code == 400
        assert running.internal("GET", "/_compute/limits").json() == before
