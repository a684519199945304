"""The way of an event to a function of ours: a rule of the bus, a queue, the function that takes it.

What the function fails to take so many times becomes a dead letter, which can be listed and sent again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra import names
from infra.events import FOURTEEN_DAYS
from infra.names import Function, Json, att, ref
from infra.streams import SIX_MINUTES

DEAD_LETTERS = "PublishEventsDeadLetters"
_ONE_DAY = 24 * 3600


@dataclass(frozen=True)
class Source:
    """Which events come into a queue.

    Attributes:
        prefix: what the rule's logical id begins with.
        from_aws: those that AWS's services tell on the account's default bus, and not ours.
    """

    prefix: str
    pattern: dict[str, Any]
    from_aws: bool = False

    @property
    def rule(self) -> str:
        return f"{self.prefix}Rule"


@dataclass(frozen=True)
class EventQueue:
    """
    Attributes:
        name: of the queue, behind the stack's.
        function: who takes the events.
        batch: how many at a time, at most.
        window_seconds: how long is waited for more of a batch.
        again_seconds: when a message that was not taken comes again; at least what the function may take.
        times: how often a message comes before it is a dead letter.
        concurrency: of the function; at least 2.
    """

    name: str
    queue: str
    description: str
    sources: tuple[Source, ...]
    function: Function
    again_seconds: int
    times: int
    concurrency: int
    batch: int = 10
    window_seconds: int = 0


QUEUES = (
    EventQueue(
        name="webhooks",
        queue="WebhooksQueue",
        description="Events for webhooks",
        sources=(Source("Webhook", {"source": ["aimatrix"]}),),
        function=names.function("deliver_webhooks"),
        again_seconds=SIX_MINUTES,
        times=5,
        # Slow receivers must not take the account's other functions their place.
        concurrency=10,
    ),
    EventQueue(
        name="ready-models",
        queue="ReadyModelsQueue",
        description="Models that became ready, for those that are deployed by themselves",
        sources=(Source("ReadyModel", {"source": ["aimatrix"], "detail-type": ["training.model.ready"]}),),
        function=names.function("deploy_ready_models"),
        # A place that is busy with another revision is free some minutes later: three hours all in all.
        again_seconds=180,
        times=60,
        concurrency=2,
    ),
    EventQueue(
        name="retraining",
        queue="RetrainingQueue",
        description="Uploads of data, and jobs that ended, for the policies of retraining",
        sources=(
            Source(
                "Upload",
                {
                    "source": ["aws.s3"],
                    "detail-type": ["Object Created", "Object Deleted"],
                    "detail": {
                        "bucket": {"name": [ref("ArtifactsBucket")]},
                        "object": {"key": [{"wildcard": "tenants/*/users/*"}, {"wildcard": "tenants/*/shared/*"}]},
                    },
                },
                from_aws=True,
            ),
            Source(
                "JobEnded",
                {
                    "source": ["aimatrix"],
                    "detail-type": ["training.job.status-changed"],
                    "detail": {"status": ["completed", "failed", "cancelled"]},
                },
            ),
        ),
        function=names.function("retrain"),
        # What a job's model replaces may be busy with another revision, and a table with others: two hours all in all.
        again_seconds=SIX_MINUTES * 2,
        times=10,
        # Uploads of one policy are written to one run: more functions would wait for each other.
        concurrency=2,
        # Ten thousand uploads are some hundred calls.
        batch=100,
        window_seconds=2,
    ),
)


def _resources(way: EventQueue) -> Json:
    return {
        way.queue: {
            "Type": "AWS::SQS::Queue",
            "Properties": {
                "QueueName": names.stack_name(way.name),
                "MessageRetentionPeriod": FOURTEEN_DAYS,
                "VisibilityTimeout": way.again_seconds,
                "SqsManagedSseEnabled": True,
                "RedrivePolicy": {"deadLetterTargetArn": att(DEAD_LETTERS), "maxReceiveCount": way.times},
            },
        },
        f"{way.queue}Policy": {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {
                "Queues": [ref(way.queue)],
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Sid": "EventsOfTheBus",
                            "Effect": "Allow",
                            "Principal": {"Service": "events.amazonaws.com"},
                            "Action": "sqs:SendMessage",
                            "Resource": att(way.queue),
                            "Condition": {"ArnEquals": {"aws:SourceArn": _one_or_all(way)}},
                        }
                    ],
                },
            },
        },
        **{source.rule: _rule(way, source) for source in way.sources},
        f"{way.function.logical_id}Queue": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "EventSourceArn": att(way.queue),
                "FunctionName": ref(way.function.logical_id),
                "BatchSize": way.batch,
                **({"MaximumBatchingWindowInSeconds": way.window_seconds} if way.window_seconds else {}),
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
                "ScalingConfig": {"MaximumConcurrency": way.concurrency},
            },
        },
    }


def _one_or_all(way: EventQueue) -> Any:
    rules = [att(source.rule) for source in way.sources]
    return rules if len(rules) > 1 else rules[0]


def _rule(way: EventQueue, source: Source) -> Json:
    return {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "Description": way.description,
            **({} if source.from_aws else {"EventBusName": ref("EventBus")}),
            "State": "ENABLED",
            "EventPattern": source.pattern,
            "Targets": [
                {
                    "Id": way.name,
                    "Arn": att(way.queue),
                    "DeadLetterConfig": {"Arn": att(DEAD_LETTERS)},
                    "RetryPolicy": {"MaximumEventAgeInSeconds": _ONE_DAY, "MaximumRetryAttempts": 185},
                }
            ],
        },
    }


def fragment() -> Json:
    resources: Json = {}
    for way in QUEUES:
        resources |= _resources(way)
    return {"Resources": resources}
