"""How many state transitions a job's execution took, from Step Functions' own history of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

_PAGE = 1000
_SCHEDULED = frozenset({"TaskScheduled", "LambdaFunctionScheduled", "ActivityScheduled"})
_END = 1


@dataclass(frozen=True)
class History:
    """
    Args:
        executions: what the ARNs of `train_job`'s executions begin with; they are named after the jobs.
    """

    client: SFNClient
    executions: str

    def transitions(self, job_id: str) -> int | None:
        """Each state that was entered, each repetition of a task, and the end: "you are charged for the total number of
        state transitions, including retries" (https://aws.amazon.com/step-functions/pricing/).

        None where there is no such execution.
        """
        entered = tasks = scheduled = 0
        pages = self.client.get_paginator("get_execution_history").paginate(
            executionArn=self.executions + job_id,
            includeExecutionData=False,
            PaginationConfig={"PageSize": _PAGE},
        )
        try:
            for page in pages:
                kinds = [event["type"] for event in page["events"]]
                entered += sum(kind.endswith("StateEntered") for kind in kinds)
                tasks += kinds.count("TaskStateEntered")
                scheduled += sum(kind in _SCHEDULED for kind in kinds)
        except self.client.exceptions.ExecutionDoesNotExist:
            return None
        return entered + max(0, scheduled - tasks) + _END
