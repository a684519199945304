"""Batch job definitions: a definition fixes the image, so there is one per image, made when it is first needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from chalicelib.jobs.plan import container_properties
from chalicelib.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient


@dataclass(frozen=True)
class JobDefinitions:
    """
    Args:
        client: gives Batch's client; asked for only when a job runs on Batch.
        settings: names the queue and the stack's own definition, which is the pattern for all others.
    """

    client: Callable[[], BatchClient]
    settings: Settings

    @property
    def queue(self) -> str:
        queue = self.settings.batch_job_queue
        if queue is None:
            raise LookupError("this installation has no Batch queue: the request should have been refused")
        return queue

    def for_image(self, image: str) -> str:
        """ARN of the definition that runs the agent in this image. Asking twice makes one."""
        name = f"aimatrix-{self.settings.stack}-{hashlib.sha256(image.encode()).hexdigest()[:16]}"
        known = self.client().describe_job_definitions(jobDefinitionName=name, status="ACTIVE")["jobDefinitions"]
        if known:
            return known[0]["jobDefinitionArn"]
        pattern_arn = self.settings.batch_job_definition
        pattern = self.client().describe_job_definitions(jobDefinitions=[pattern_arn])["jobDefinitions"][0]
        properties = container_properties(cast("dict[str, Any]", pattern["containerProperties"]), image)
        made = self.client().register_job_definition(
            jobDefinitionName=name, type="container", containerProperties=cast("Any", properties), propagateTags=True
        )
        return made["jobDefinitionArn"]
