"""Service jobs of the emulator's Batch: queued there, trained as real processes by its SageMaker."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

from localcloud.compute.batch.names import ClientFault, TooManyRequests
from localcloud.compute.operations import OperationRegistry
from tests.unit.compute.harness import Emulator, emulator, eventually, training_request

HOLDS = "import time; print('holding', flush=True); time.sleep(60)"
Run = Callable[..., Any]


class Queues:
    def __init__(self, emulated: Emulator) -> None:
        self.emulated = emulated

    async def call(self, operation: str, **params: Any) -> dict[str, Any]:
        return await self.emulated.call("batch", operation, **params)

    async def set_up(self, instances: int = 1, policy: dict[str, Any] | None = None) -> None:
        await self.call(
            "CreateServiceEnvironment",
            serviceEnvironmentName="instances",
            serviceEnvironmentType="SAGEMAKER_TRAINING",
            capacityLimits=[{"maxCapacity": instances, "capacityUnit": "NUM_INSTANCES"}],
        )
        more = {}
        if policy is not None:
            more["schedulingPolicyArn"] = (await self.call("CreateSchedulingPolicy", name="policy", **policy))["arn"]
        await self.call(
            "CreateJobQueue",
            jobQueueName="training",
            jobQueueType="SAGEMAKER_TRAINING",
            priority=1,
            serviceEnvironmentOrder=[{"order": 1, "serviceEnvironment": "instances"}],
            **more,
        )

    async def share(self, name: str, instances: int, strategy: str = "LEND", **more: Any) -> None:
        await self.call(
            "CreateQuotaShare",
            quotaShareName=name,
            jobQueue="training",
            capacityLimits=[{"maxCapacity": instances, "capacityUnit": "NUM_INSTANCES"}],
            resourceSharingConfiguration={"strategy": strategy},
            preemptionConfiguration={"inSharePreemption": "DISABLED"},
            **more,
        )

    async def submit(self, name: str, source: str = HOLDS, **changes: Any) -> str:
        request = {
            "jobName": name,
            "jobQueue": "training",
            "serviceJobType": "SAGEMAKER_TRAINING",
            "serviceRequestPayload": json.dumps(training_request(name, source)),
            **changes,
        }
        return str((await self.call("SubmitServiceJob", **request))["jobId"])

    async def shown(self, job_id: str) -> dict[str, Any]:
        return await self.call("DescribeServiceJob", jobId=job_id)

    async def until(self, job_id: str, *statuses: str) -> dict[str, Any]:
        find = self.emulated.host.store.get
        await eventually(lambda: (find("batch-service-job", job_id) or {})["detail"]["status"] in statuses)
        return await self.shown(job_id)

    async def end(self, *jobs: str) -> None:
        for job in jobs:
            await self.call("TerminateServiceJob", jobId=job, reason="enough")
            await self.until(job, "SUCCEEDED", "FAILED")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(scenario: Callable[[Queues], Coroutine[Any, Any, Any]], **options: Any) -> Any:
        import asyncio

        async def started() -> Any:
            async with emulator(tmp_path) as running:
                queues = Queues(running)
                await queues.set_up(**options)
                return await scenario(queues)

        return asyncio.run(started())

    return run


class TestAServiceJob:
    def test_becomes_a_training_job_of_a_name_that_batch_chooses(self, run: Run) -> None:
        async def scenario(queues: Queues) -> None:
            job = await queues.submit("train", "print('done')")
            shown = await queues.until(job, "SUCCEEDED")
            arn = shown["latestAttempt"]["serviceResourceId"]["value"]
            name = arn.rpartition("/")[2]
            assert name.startswith("AWSBatchtrain")
            assert (await queues.emulated.ended(name))["TrainingJobStatus"] == "Completed"
            assert [each["serviceResourceId"]["value"] for each in shown["attempts"]] == [arn]
            assert {"createdAt", "scheduledAt", "startedAt", "stoppedAt"} <= shown.keys()

        run(scenario)

    def test_waits_until_there_is_room(self, run: Run) -> None:
        async def scenario(queues: Queues) -> None:
            first, second = await queues.submit("first"), await queues.submit("second")
            await queues.until(first, "RUNNING")
            assert (await queues.shown(second))["status"] == "RUNNABLE"
            snapshot = await queues.call("GetJobQueueSnapshot", jobQueue="training")
            (front,) = snapshot["frontOfQueue"]["jobs"]
            assert front["jobArn"].endswith(second)
            assert snapshot["queueUtilization"]["totalCapacityUsage"] == [
                {"capacityUnit": "NUM_INSTANCES", "quantity": 1}
            ]
            await queues.end(first)
            await queues.until(second, "RUNNING")
            await queues.end(second)

        run(scenario)

    def test_that_is_terminated_stops_its_training_and_fails_with_the_reason(self, run: Run) -> None:
        async def scenario(queues: Queues) -> None:
            job = await queues.submit("train")
            await queues.until(job, "RUNNING")
            await queues.call("TerminateServiceJob", jobId=job, reason="not needed")
            shown = await queues.until(job, "FAILED")
            assert (shown["statusReason"], shown["isTerminated"]) == ("not needed", True)
            name = shown["latestAttempt"]["serviceResourceId"]["value"].rpartition("/")[2]
            assert (await queues.emulated.ended(name))["TrainingJobStatus"] == "Stopped"

        run(scenario)

    def test_that_fails_says_what_sagemaker_said(self, run: Run) -> None:
        async def scenario(queues: Queues) -> None:
            shown = await queues.until(await queues.submit("train", "raise SystemExit(3)"), "FAILED")
            assert shown["statusReason"].startswith("Received status from SageMaker: ")

        run(scenario)

    def test_is_found_by_its_name(self, run: Run) -> None:
        async def scenario(queues: Queues) -> None:
            job = await queues.submit("train-1", "pass")
            await queues.submit("train-10", "pass")
            filters = [{"name": "JOB_NAME", "values": ["train-1"]}]
            found = await queues.call("ListServiceJobs", jobQueue="training", filters=filters)
            assert [each["jobId"] for each in found["jobSummaryList"]] == [job]

        run(scenario)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"serviceRequestPayload": "no JSON"}, "must be a CreateTrainingJob request"),
            ({"serviceRequestPayload": "{}"}, "must be a CreateTrainingJob request"),
            ({"shareIdentifier": "a"}, "another scheduling policy"),
            ({"quotaShareName": "a"}, "another scheduling policy"),
            ({"schedulingPriority": 10_000}, "between 0 and 9999"),
            ({"jobQueue": "missing"}, "not found"),
        ],
    )
    def test_that_is_wrong_is_refused_and_leaves_nothing(self, run: Run, changes: dict[str, Any], message: str) -> None:
        async def scenario(queues: Queues) -> None:
            with pytest.raises(ClientFault, match=message):
                await queues.submit("train", **changes)
            assert list(queues.emulated.host.store.scan("batch-service-job")) == []

        run(scenario)

    def test_the_sixth_in_a_second_is_too_many(self, run: Run) -> None:
        async def scenario(queues: Queues) -> None:
            jobs = [await queues.submit(f"train-{number}") for number in range(5)]
            with pytest.raises(TooManyRequests):
                await queues.submit("train-5")
            await queues.end(*jobs)

        run(scenario)


class TestQuotaShares:
    POLICY: ClassVar[dict[str, Any]] = {"quotaSharePolicy": {"idleResourceAssignmentStrategy": "FIFO"}}

    def test_who_is_entitled_takes_back_what_another_borrowed_and_that_one_comes_again(self, run: Run) -> None:
        async def scenario(queues: Queues) -> None:
            await queues.share("team", 1)
            await queues.share("guests", 1, "LEND_AND_BORROW")
            own, borrowed = [await queues.submit(name, quotaShareName="guests") for name in ("own", "borrowed")]
            await queues.until(borrowed, "RUNNING")
            mine = await queues.submit("mine", quotaShareName="team")
            await queues.until(mine, "RUNNING")
            shown = await queues.until(borrowed, "RUNNABLE")
            assert shown["preemptionSummary"]["preemptedAttemptCount"] == 1
            await queues.end(mine)
            shown = await queues.until(borrowed, "RUNNING")
            assert len(shown["attempts"]) == 1
            await queues.end(own, borrowed)

        run(scenario, instances=2, policy=self.POLICY)

    def test_one_that_may_not_be_preempted_again_ends(self, run: Run) -> None:
        async def scenario(queues: Queues) -> None:
            await queues.share("team", 1)
            await queues.share("guests", 0, "LEND_AND_BORROW")
            once: dict[str, Any] = {"preemptionConfiguration": {"preemptionRetriesBeforeTermination": 0}}
            borrowed = await queues.submit("borrowed", quotaShareName="guests", **once)
            await queues.until(borrowed, "RUNNING")
            mine = await queues.submit("mine", quotaShareName="team")
            assert "Preempted" in (await queues.until(borrowed, "FAILED"))["statusReason"]
            await queues.until(mine, "RUNNING")
            await queues.end(mine)

        run(scenario, instances=1, policy=self.POLICY)

    def test_a_queue_has_at_most_twenty(self, run: Run) -> None:
        async def scenario(queues: Queues) -> None:
            for number in range(20):
                await queues.share(f"share-{number}", 1)
            with pytest.raises(ClientFault, match="at most 20"):
                await queues.share("one-more", 1)
            with pytest.raises(ClientFault, match="does not exist or is disabled"):
                await queues.submit("train", quotaShareName="one-more")

        run(scenario, policy=self.POLICY)


def test_what_waits_and_runs_is_taken_up_after_a_restart(tmp_path: Path) -> None:
    import asyncio

    async def scenario() -> None:
        async with emulator(tmp_path) as running:
            queues = Queues(running)
            await queues.set_up()
            first, second = await queues.submit("first"), await queues.submit("second")
            await queues.until(first, "RUNNING")
        async with emulator(tmp_path) as running:
            queues = Queues(running)
            # The host was lost under the first; the second has its turn.
            await queues.until(first, "FAILED")
            await queues.until(second, "RUNNING")
            await queues.end(second)

    asyncio.run(scenario())


class TestPermissions:
    """Of AWS's Service Authorization Reference, page list_batch: what each action is checked on."""

    QUEUE = "arn:aws:batch:us-east-1:000000000000:job-queue/training"

    def resources(self, emulated: Emulator, operation: str, **params: Any) -> tuple[str, ...]:
        registry = OperationRegistry()
        for part in emulated.parts:
            registry.add(part.operations())
        found = registry.find("batch", operation)
        assert found is not None
        return found.authorization(params).resources

    def test_are_asked_for_on_the_resources_that_aws_asks_for(self, run: Run) -> None:
        async def scenario(queues: Queues) -> None:
            ask = partial(self.resources, queues.emulated)
            jobs, share = "arn:aws:batch:us-east-1:000000000000:service-job/", f"{self.QUEUE}/quota-share/lab"
            submit: dict[str, Any] = {"jobQueue": "training", "serviceRequestPayload": "{}"}
            assert ask("SubmitServiceJob", **submit) == (self.QUEUE, f"{jobs}*")
            assert ask("SubmitServiceJob", quotaShareName="lab", **submit) == (self.QUEUE, f"{jobs}*", share)
            assert ask("TerminateServiceJob", jobId="one") == (f"{jobs}one",)
            assert ask("ListQuotaShares", jobQueue="training") == (self.QUEUE,)
            assert ask("GetJobQueueSnapshot", jobQueue=self.QUEUE) == (self.QUEUE,)
            assert ask("DescribeQuotaShare", quotaShareArn=share) == (share,)
            for operation in ("DescribeServiceJob", "ListServiceJobs", "DescribeServiceEnvironments"):
                assert ask(operation, jobId="one", jobQueue="training") == ("*",)

        run(scenario)
