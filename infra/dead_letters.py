"""The way of an event that could not be published or delivered: a queue that Lambda, EventBridge and consumers' queues can
fill, and a function that empties it into the table `events`, from where it can be listed and sent again in order.

What the function fails on stays in the queue and comes again, for fourteen days.
"""

from __future__ import annotations

from infra import names
from infra.events import queue_id
from infra.names import Json, att, ref

QUEUE = queue_id(names.function("publish_events"))
RULES = ("WebhookRule", "ReadyModelRule", "NotificationRule")
"""Of the bus, with targets of ours."""


def _policy() -> Json:
    """EventBridge may put into the queue what it cannot hand to the targets of our rules."""
    statement = {
        "Sid": "UndeliverableEvents",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": att(QUEUE),
        "Condition": {"ArnEquals": {"aws:SourceArn": [att(rule) for rule in RULES]}},
    }
    return {
        "Type": "AWS::SQS::QueuePolicy",
        "Properties": {
            "Queues": [ref(QUEUE)],
            "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        },
    }


def fragment() -> Json:
    function = names.function("note_dead_letters")
    return {
        "Resources": {
            f"{QUEUE}Policy": _policy(),
            f"{function.logical_id}Queue": {
                "Type": "AWS::Lambda::EventSourceMapping",
                "Properties": {
                    "EventSourceArn": att(QUEUE),
                    "FunctionName": ref(function.logical_id),
                    "BatchSize": 10,
                    "FunctionResponseTypes": ["ReportBatchItemFailures"],
                },
            },
        }
    }
