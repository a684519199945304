"""The way of an event to a function of ours: a rule of the bus, a queue, the function that takes it.

What the function fails to take so many times becomes a dead letter, which can be listed and sent again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from infra import names
from infra.events import FOURTEEN_DAYS
from infra.names import Function, Json, att, ref
from infra.streams import SIX_MINUTES

DEAD_LETTERS = "PublishEventsDeadLetters"
_ONE_DAY = 24 * 3600


@dataclass(frozen=True)
class EventQueue:
    """
    Attributes:
        name: of the queue, behind the stack's.
        prefix: what the logical ids begin with.
        pattern: which events.
        function: who takes them.
        again_seconds: when a message that was not taken comes again; at least what the function may take.
        times: how often a message comes before it is a dead letter.
        concurrency: of the function; at least 2.
    """

    name: str
    prefix: str
    queue: str
    description: str
    function: Function
    again_seconds: int
    times: int
    concurrency: int
    pattern: dict[str, Any] = field(default_factory=lambda: {"source": ["aimatrix"]})

    @property
    def rule(self) -> str:
        return f"{self.prefix}Rule"


QUEUES = (
    EventQueue(
        name="webhooks",
        prefix="Webhook",
        queue="WebhooksQueue",
        description="Events for webhooks",
        function=names.function("deliver_webhooks"),
        again_seconds=SIX_MINUTES,
        times=5,
        # Slow receivers must not take the account's other functions their place.
        concurrency=10,
    ),
    EventQueue(
        name="ready-models",
        prefix="ReadyModel",
        queue="ReadyModelsQueue",
        description="Models that became ready, for those that are deployed by themselves",
        function=names.function("deploy_ready_models"),
        # A place that is busy with another revision is free some minutes later: three hours all in all.
        again_seconds=180,
        times=60,
        concurrency=2,
        pattern={"source": ["aimatrix"], "detail-type": ["training.model.ready"]},
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
                            "Condition": {"ArnEquals": {"aws:SourceArn": att(way.rule)}},
                        }
                    ],
                },
            },
        },
        way.rule: {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "Description": way.description,
                "EventBusName": ref("EventBus"),
                "State": "ENABLED",
                "EventPattern": way.pattern,
                "Targets": [
                    {
                        "Id": way.name,
                        "Arn": att(way.queue),
                        "DeadLetterConfig": {"Arn": att(DEAD_LETTERS)},
                        "RetryPolicy": {"MaximumEventAgeInSeconds": _ONE_DAY, "MaximumRetryAttempts": 185},
                    }
                ],
            },
        },
        f"{way.function.logical_id}Queue": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "EventSourceArn": att(way.queue),
                "FunctionName": ref(way.function.logical_id),
                "BatchSize": 10,
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
                "ScalingConfig": {"MaximumConcurrency": way.concurrency},
            },
        },
    }


def fragment() -> Json:
    resources: Json = {}
    for way in QUEUES:
        resources |= _resources(way)
    return {"Resources": resources}
