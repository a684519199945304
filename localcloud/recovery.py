"""Starts again what the records say is unfinished.

On AWS an execution never vanishes. Here it does, with the process that ran it; the records do not. An execution has a name
that follows from its record, so starting it twice is harmless, and each machine begins by looking at what is there already.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_stepfunctions import SFNClient

logger = logging.getLogger(__name__)

UNFINISHED_JOB = ("pending", "running")
OPEN_ROLLOUT = ("running", "paused", "rolling-back")


class Recovery:
    """Reads the records and starts executions."""

    def __init__(self, dynamodb: DynamoDBClient, stepfunctions: SFNClient) -> None:
        self._dynamodb = dynamodb
        self._stepfunctions = stepfunctions

    def restart(self, outputs: Mapping[str, str]) -> int:
        """Start an execution for every unfinished job and deployment; returns how many were started.

        Args:
            outputs: the stack's. A part that the stack does not have is left out.
        """
        started = 0
        if "JobsTable" in outputs and "TrainJobStateMachineArn" in outputs:
            for item in self._scan(outputs["JobsTable"], "job", UNFINISHED_JOB):
                tenant, job_id = _text(item, "tenant"), _text(item, "job_id")
                data: dict[str, Any] = {"tenant": tenant, "job_id": job_id}
                started += self._start(outputs["TrainJobStateMachineArn"], job_id, data)
        if "DeploymentsTable" in outputs and "DeployModelStateMachineArn" in outputs:
            for item in self._scan(outputs["DeploymentsTable"], "deployment", ("deploying",)):
                deployment_id, revision = _text(item, "deployment_id"), int(item["target"]["M"]["number"]["N"])
                data = {"tenant": _text(item, "tenant"), "deployment_id": deployment_id, "revision": revision}
                started += self._start(outputs["DeployModelStateMachineArn"], f"{deployment_id}-{revision}", data)
        if "DeploymentsTable" in outputs and "UndeployModelStateMachineArn" in outputs:
            # Inactive is what a deployment is while it is being taken down.
            for item in self._scan(outputs["DeploymentsTable"], "deployment", ("inactive",)):
                deployment_id = _text(item, "deployment_id")
                name = f"{deployment_id}-undeploy-{int(item['undeployments']['N'])}"
                data = {"tenant": _text(item, "tenant"), "deployment_id": deployment_id}
                started += self._start(outputs["UndeployModelStateMachineArn"], name, data)
        if "DeploymentsTable" in outputs and "ShiftTrafficStateMachineArn" in outputs:
            for item in self._scan(outputs["DeploymentsTable"], "rollout#", OPEN_ROLLOUT):
                deployment_id, rollout = _text(item, "deployment_id"), int(item["number"]["N"])
                name = f"{deployment_id}-rollout-{rollout}-{int(item['executions']['N'])}"
                data = {"tenant": _text(item, "tenant"), "deployment_id": deployment_id, "rollout": rollout}
                started += self._start(outputs["ShiftTrafficStateMachineArn"], name, data)
        return started

    def _scan(self, table: str, sort_key: str, statuses: tuple[str, ...]) -> Iterator[Mapping[str, Any]]:
        condition = "begins_with(sk, :sk)" if sort_key.endswith("#") else "sk = :sk"
        names = {f":status{index}": {"S": status} for index, status in enumerate(statuses)}
        pages = self._dynamodb.get_paginator("scan").paginate(
            TableName=table,
            FilterExpression=f"{condition} AND #status IN ({', '.join(names)})",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":sk": {"S": sort_key}, **names},
            ConsistentRead=True,
        )
        for page in pages:
            yield from page["Items"]

    def _start(self, machine: str, name: str, data: dict[str, Any]) -> int:
        try:
            self._stepfunctions.start_execution(stateMachineArn=machine, name=name, input=json.dumps(data))
        except self._stepfunctions.exceptions.ExecutionAlreadyExists:
            return 0
        logger.info("started %s again", name)
        return 1


def _text(item: Mapping[str, Any], name: str) -> str:
    return str(item[name]["S"])
