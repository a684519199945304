"""A fair-share queue of the emulator's Batch, with real processes."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.compute.batch.names import ClientFault
from tests.functional.compute.test_batch_jobs import Batch, Run, run

__all__ = ["run"]

HOLDS = "import time; time.sleep(60)"


async def fair(batch: Batch, **policy: Any) -> str:
    """A fair-share queue over the same machines."""
    arn = (await batch.call("CreateSchedulingPolicy", name="fair", fairsharePolicy=policy))["arn"]
    order = [{"order": 1, "computeEnvironment": "machines"}]
    await batch.call(
        "CreateJobQueue", jobQueueName="fair", priority=1, computeEnvironmentOrder=order, schedulingPolicyArn=arn
    )
    return str(arn)


async def submit(batch: Batch, share: str, source: str = HOLDS, priority: int = 100) -> str:
    return await batch.submit(
        source, jobQueue="fair", shareIdentifier=share, schedulingPriorityOverride=priority, name=f"of-{share}"
    )


async def front(batch: Batch) -> list[str]:
    found = await batch.call("GetJobQueueSnapshot", jobQueue="fair")
    return [each["jobArn"].rpartition("/")[2] for each in found["frontOfQueue"]["jobs"]]


class TestAFairShareQueue:
    def test_starts_the_job_of_who_has_less_before_the_backlog_of_who_has_more(self, run: Run) -> None:
        async def scenario(batch: Batch) -> None:
            await fair(batch, shareDecaySeconds=600)
            first, *backlog = [await submit(batch, "greedy") for _ in range(4)]
            await batch.until(first, "RUNNING")
            other = await submit(batch, "other")
            assert await front(batch) == [other, *backlog]
            await batch.call("TerminateJob", jobId=first, reason="room")
            await batch.until(other, "RUNNING")
            assert (await batch.shown(backlog[0]))["status"] == "RUNNABLE"
            for job in (other, *backlog):
                await batch.call("TerminateJob", jobId=job, reason="enough")
                await batch.ended(job)

        run(scenario, max_vcpus=1)

    def test_starts_the_more_urgent_of_one_shares_jobs_first(self, run: Run) -> None:
        async def scenario(batch: Batch) -> None:
            await fair(batch)
            first = await submit(batch, "a")
            await batch.until(first, "RUNNING")
            low, high = await submit(batch, "a", priority=100), await submit(batch, "a", priority=900)
            assert await front(batch) == [high, low]
            for job in (low, high, first):
                await batch.call("TerminateJob", jobId=job, reason="enough")
                await batch.ended(job)

        run(scenario, max_vcpus=1)

    def test_says_what_is_in_use_and_by_whom(self, run: Run) -> None:
        async def scenario(batch: Batch) -> None:
            await fair(batch)
            jobs = [await submit(batch, share) for share in ("a", "a", "b")]
            for job in jobs:
                await batch.until(job, "RUNNING")
            found = (await batch.call("GetJobQueueSnapshot", jobQueue="fair"))["queueUtilization"]
            assert found["totalCapacityUsage"] == [{"capacityUnit": "VCPU", "quantity": 3.0}]
            assert found["fairshareUtilization"]["activeShareCount"] == 2
            assert [each["shareIdentifier"] for each in found["fairshareUtilization"]["topCapacityUtilization"]] == [
                "a",
                "b",
            ]
            for job in jobs:
                await batch.call("TerminateJob", jobId=job, reason="enough")
                await batch.ended(job)

        run(scenario)

    @pytest.mark.parametrize(
        ("queue", "changes", "message"),
        [
            ("fair", {}, "shareIdentifier must be given"),
            ("fair", {"shareIdentifier": "not-alphanumeric"}, "letters and numbers"),
            ("fair", {"shareIdentifier": "a" * 256}, "letters and numbers"),
            ("fair", {"shareIdentifier": "a", "schedulingPriorityOverride": 10_000}, "between 0 and 9999"),
            ("training", {"shareIdentifier": "a"}, "for queues with a scheduling policy"),
            ("training", {"schedulingPriorityOverride": 1}, "for queues with a scheduling policy"),
        ],
    )
    def test_refuses_what_aws_refuses(self, run: Run, queue: str, changes: dict[str, Any], message: str) -> None:
        async def scenario(batch: Batch) -> None:
            await fair(batch)
            with pytest.raises(ClientFault, match=message):
                await batch.submit("pass", jobQueue=queue, **changes)

        run(scenario)


class TestASchedulingPolicy:
    def test_is_kept_shown_changed_and_deleted_when_no_queue_has_it(self, run: Run) -> None:
        async def scenario(batch: Batch) -> None:
            arn = await fair(batch, shareDecaySeconds=600)
            assert (await batch.call("ListSchedulingPolicies"))["schedulingPolicies"] == [{"arn": arn}]
            await batch.call("UpdateSchedulingPolicy", arn=arn, fairsharePolicy={"shareDecaySeconds": 60})
            (shown,) = (await batch.call("DescribeSchedulingPolicies", arns=[arn]))["schedulingPolicies"]
            assert shown["fairsharePolicy"] == {"shareDecaySeconds": 60}
            with pytest.raises(ClientFault, match="used by the job queue fair"):
                await batch.call("DeleteSchedulingPolicy", arn=arn)
            await batch.call("UpdateJobQueue", jobQueue="fair", state="DISABLED")
            await batch.call("DeleteJobQueue", jobQueue="fair")
            await batch.call("DeleteSchedulingPolicy", arn=arn)
            assert (await batch.call("DescribeSchedulingPolicies", arns=[arn]))["schedulingPolicies"] == []

        run(scenario)

    @pytest.mark.parametrize(
        ("policy", "message"),
        [
            ({"shareDecaySeconds": 604_801}, "shareDecaySeconds"),
            ({"computeReservation": 100}, "computeReservation"),
            ({"shareDistribution": [{"shareIdentifier": "a", "weightFactor": 0}]}, "weightFactor"),
            ({"shareDistribution": [{"shareIdentifier": "a-b"}]}, "letters and numbers"),
        ],
    )
    def test_is_refused_out_of_its_bounds(self, run: Run, policy: dict[str, Any], message: str) -> None:
        async def scenario(batch: Batch) -> None:
            with pytest.raises(ClientFault, match=message):
                await fair(batch, **policy)

        run(scenario)

    def test_can_not_be_added_to_a_queue_that_was_made_without(self, run: Run) -> None:
        async def scenario(batch: Batch) -> None:
            arn = await fair(batch)
            with pytest.raises(ClientFault, match="can't be added"):
                await batch.call("UpdateJobQueue", jobQueue="training", schedulingPolicyArn=arn)

        run(scenario)
