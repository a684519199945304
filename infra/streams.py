"""DynamoDB streams: changes of a table call a function, in order within a partition, until it has succeeded.

What a function still fails on after its repetitions is named in its dead-letter queue; the change itself stays in the table.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from infra import names
from infra.events import FOURTEEN_DAYS, queue_id
from infra.names import Function, Json, att, ref

SIX_MINUTES = 6 * 60
"""For a queue that a function reads: six times the function's own time, as Lambda recommends.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
"""


@dataclass(frozen=True)
class Stream:
    """What of a table's changes a function is called for.

    Attributes:
        pattern: of the change; only `dynamodb` and what is in it can be filtered by.
    """

    table: str
    function: Function
    pattern: dict[str, Any]


STREAMS = (
    # Only what comes into an inbox: what goes out, sealed rows and the head have no new image there.
    Stream(
        "audit",
        names.function("chain_audit"),
        {"dynamodb": {"NewImage": {"pk": {"S": [{"prefix": "inbox#"}]}}}},
    ),
    # Records of jobs; attempts, reports and the ledger itself are other items, and a deleted job's stone has no event.
    Stream(
        "jobs",
        names.function("record_history"),
        {"dynamodb": {"NewImage": {"sk": {"S": ["job"]}, "event": {"S": [{"exists": True}]}}}},
    ),
    # What was counted of experiments that split an endpoint's requests, and endpoints that have settled: one of those
    # experiments may wait for it.
    Stream(
        "experiments",
        names.function("steer_traffic"),
        {"dynamodb": {"NewImage": {"sk": {"S": ["progress"]}, "deployment_id": {"S": [{"exists": True}]}}}},
    ),
    Stream(
        "deployments",
        names.function("steer_traffic"),
        {
            "dynamodb": {
                "NewImage": {
                    "sk": {"S": ["deployment"]},
                    "status": {"S": ["active", "failed", "inactive", "terminated"]},
                }
            }
        },
    ),
    *(
        Stream(table, names.function("publish_events"), {"dynamodb": {"NewImage": wanted}})
        for table, wanted in (
            ("jobs", {"sk": {"S": ["job"]}, "event": {"S": [{"exists": True}]}}),
            ("models", {"sk": {"S": ["model"]}}),
            ("deployments", {"sk": {"S": ["deployment", "transform", {"prefix": "rollout#"}]}}),
            ("metrics", {"name": {"S": [{"exists": True}]}}),
            ("audit", {"pk": {"S": [{"prefix": "inbox#"}]}}),
            ("webhooks", {"sk": {"S": ["webhook"]}, "reason": {"S": [{"exists": True}]}}),
        )
    ),
)


def _stream(stream: Stream) -> Json:
    queue = queue_id(stream.function)
    return {
        f"{stream.function.logical_id}{names.pascal(stream.table)}Stream": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "EventSourceArn": att(names.table_id(stream.table), "StreamArn"),
                "FunctionName": ref(stream.function.logical_id),
                "StartingPosition": "TRIM_HORIZON",
                "BatchSize": 100,
                "MaximumBatchingWindowInSeconds": 1,
                # One partition is still one call at a time; partitions don't wait for each other.
                "ParallelizationFactor": 10,
                "FilterCriteria": {"Filters": [{"Pattern": json.dumps(stream.pattern)}]},
                "BisectBatchOnFunctionError": True,
                "MaximumRetryAttempts": 10,
                "MaximumRecordAgeInSeconds": 12 * 3600,
                "DestinationConfig": {"OnFailure": {"Destination": att(queue)}},
            },
        },
        queue: {
            "Type": "AWS::SQS::Queue",
            "Properties": {
                "QueueName": names.stack_name(f"{stream.function.dashed}-dead"),
                "MessageRetentionPeriod": FOURTEEN_DAYS,
                "VisibilityTimeout": SIX_MINUTES,
                "SqsManagedSseEnabled": True,
            },
        },
    }


def fragment() -> Json:
    resources: Json = {}
    for stream in STREAMS:
        resources |= _stream(stream)
    return {"Resources": resources}
