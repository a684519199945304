"""The way of an event to webhooks: a rule of the bus, a queue, the function that sends.

What the function fails to take in five times becomes a dead letter. What a receiver does not take waits in the table, and
the clock calls for it (`infra.events`).
"""

from __future__ import annotations

from infra import dead_letters, names
from infra.events import FOURTEEN_DAYS
from infra.names import Json, att, ref
from infra.streams import SIX_MINUTES

QUEUE = "WebhooksQueue"
RULE = "WebhookRule"
_ONE_DAY = 24 * 3600


def fragment() -> Json:
    function = names.function("deliver_webhooks")
    queue: Json = {
        "Type": "AWS::SQS::Queue",
        "Properties": {
            "QueueName": names.stack_name("webhooks"),
            "MessageRetentionPeriod": FOURTEEN_DAYS,
            "VisibilityTimeout": SIX_MINUTES,
            "SqsManagedSseEnabled": True,
            "RedrivePolicy": {"deadLetterTargetArn": att(dead_letters.QUEUE), "maxReceiveCount": 5},
        },
    }
    rule: Json = {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "Description": "Events for webhooks",
            "EventBusName": ref("EventBus"),
            "State": "ENABLED",
            "EventPattern": {"source": ["aimatrix"]},
            "Targets": [
                {
                    "Id": "webhooks",
                    "Arn": att(QUEUE),
                    "DeadLetterConfig": {"Arn": att(dead_letters.QUEUE)},
                    "RetryPolicy": {"MaximumEventAgeInSeconds": _ONE_DAY, "MaximumRetryAttempts": 185},
                }
            ],
        },
    }
    policy: Json = {
        "Type": "AWS::SQS::QueuePolicy",
        "Properties": {
            "Queues": [ref(QUEUE)],
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Sid": "EventsOfTheBus",
                        "Effect": "Allow",
                        "Principal": {"Service": "events.amazonaws.com"},
                        "Action": "sqs:SendMessage",
                        "Resource": att(QUEUE),
                        "Condition": {"ArnEquals": {"aws:SourceArn": att(RULE)}},
                    }
                ],
            },
        },
    }
    mapping: Json = {
        "Type": "AWS::Lambda::EventSourceMapping",
        "Properties": {
            "EventSourceArn": att(QUEUE),
            "FunctionName": ref(function.logical_id),
            "BatchSize": 10,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            # Slow receivers must not take the account's other functions their place.
            "ScalingConfig": {"MaximumConcurrency": 10},
        },
    }
    return {
        "Resources": {
            QUEUE: queue,
            f"{QUEUE}Policy": policy,
            RULE: rule,
            f"{function.logical_id}Queue": mapping,
        }
    }
