"""Batch queues, two per type of GPU (on demand, on spot), and job definitions: one for each pair of image and role."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from chalicelib.jobs.job import Job
from chalicelib.jobs.plan import container_properties
from chalicelib.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient


WITHOUT_GPU = "cpu"


@dataclass(frozen=True)
class JobDefinitions:
    """
    Args:
        client: gives Batch's client; asked for only when a job runs on Batch.
        settings: names the queues and the stack's own definition, which is the pattern for all others.
    """

    client: Callable[[], BatchClient]
    settings: Settings

    def queue_of(self, gpu_type: str | None, *, spot: bool = False) -> str:
        """ARN of the queue whose machines have these GPUs, or none.

        Batch places a job by the number of its GPUs and does not know their type: only the queue does.
        """
        prefix = self.settings.batch_queue_prefix
        if prefix is None:
            raise LookupError("this installation has no Batch queues: the request should have been refused")
        return prefix + (gpu_type or WITHOUT_GPU) + ("-spot" if spot else "")

    def queue_for(self, job: Job) -> str:
        """ARN of the queue that a job goes to on Batch."""
        given = job.allocation
        return self.queue_of(given.gpu_type if given.gpu_count else None, spot=bool(job.config.get("spot")))

    def queues(self) -> tuple[str, ...]:
        """ARNs of all queues; none where the installation has no Batch part."""
        if self.settings.batch_queue_prefix is None:
            return ()
        kinds = (None, *sorted(self.settings.batch_gpu_types))
        return tuple(self.queue_of(kind, spot=spot) for spot in (False, True) for kind in kinds)

    def for_container(self, image: str, role_arn: str) -> str:
        """ARN of the definition that runs the agent in this image, as this role. Asking twice makes one.

        The stack's own definition gets a new revision when it changes, and then every image a new definition.
        """
        pattern_arn = self.settings.batch_job_definition
        digest = hashlib.sha256(f"{pattern_arn} {image} {role_arn}".encode()).hexdigest()
        name = f"aimatrix-{self.settings.stack}-{digest[:16]}"
        known = self.client().describe_job_definitions(jobDefinitionName=name, status="ACTIVE")["jobDefinitions"]
        if known:
            return known[0]["jobDefinitionArn"]
        pattern = self.client().describe_job_definitions(jobDefinitions=[pattern_arn])["jobDefinitions"][0]
        properties = container_properties(cast("dict[str, Any]", pattern["containerProperties"]), image, role_arn)
        made = self.client().register_job_definition(
            jobDefinitionName=name, type="container", containerProperties=cast("Any", properties), propagateTags=True
        )
        return made["jobDefinitionArn"]
