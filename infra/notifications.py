"""SNS: an encrypted topic for whoever runs the installation. The bus and the alarms publish to it.

Who subscribes chooses by a filter policy; the operator's own subscription, by e-mail, wants what has failed and what alarms.
"""

from __future__ import annotations

from infra import dead_letters, names
from infra.keys import NOTIFICATIONS_KEY
from infra.names import Json, att, ref

TOPIC = "NotificationTopic"
RULE = "NotificationRule"

OPERATORS_FILTER: Json = {
    "$or": [
        {
            "detail-type": ["training.job.status-changed", "deployment.status-changed", "transform.status-changed"],
            "detail": {"status": ["failed"]},
        },
        {"detail-type": ["rollout.status-changed"], "detail": {"status": ["failed", "rolled-back", "inconclusive"]}},
        {"detail-type": ["quota.exceeded", "webhook.disabled", "training.job.checkpoints-overdue"]},
        {"AlarmName": [{"exists": True}]},
    ]
}
"""Of the message itself: an event, or what CloudWatch says of an alarm."""


def fragment() -> Json:
    rule: Json = {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "Description": "Events that somebody may want to be told of",
            "EventBusName": ref("EventBus"),
            "State": "ENABLED",
            # A replay is for machines: nobody wants last week's mail again.
            "EventPattern": {
                "source": ["aimatrix"],
                "detail-type": [{"anything-but": ["training.metrics.recorded", "training.job.submitted"]}],
                "replay-name": [{"exists": False}],
            },
            "Targets": [
                {"Id": "topic", "Arn": ref(TOPIC), "DeadLetterConfig": {"Arn": att(dead_letters.QUEUE)}},
            ],
        },
    }
    return {
        "Resources": {
            TOPIC: {
                "Type": "AWS::SNS::Topic",
                "Properties": {
                    "TopicName": names.stack_name("notifications"),
                    "KmsMasterKeyId": att(NOTIFICATIONS_KEY),
                },
            },
            f"{TOPIC}Policy": {
                "Type": "AWS::SNS::TopicPolicy",
                "Properties": {
                    "Topics": [ref(TOPIC)],
                    "PolicyDocument": {
                        "Version": "2012-10-17",
                        "Statement": [
                            _may_publish("Events", "events", {"ArnEquals": {"aws:SourceArn": att(RULE)}}),
                            _may_publish(
                                "Alarms", "cloudwatch", {"StringEquals": {"aws:SourceAccount": ref("AWS::AccountId")}}
                            ),
                        ],
                    },
                },
            },
            RULE: rule,
            "OperatorSubscription": {
                "Type": "AWS::SNS::Subscription",
                "Condition": "HasOperator",
                "Properties": {
                    "TopicArn": ref(TOPIC),
                    "Protocol": "email",
                    "Endpoint": ref("OperatorEmail"),
                    "FilterPolicyScope": "MessageBody",
                    "FilterPolicy": OPERATORS_FILTER,
                },
            },
        },
        "Outputs": {"NotificationTopicArn": {"Description": "Topic of notices to operators", "Value": ref(TOPIC)}},
    }


def _may_publish(sid: str, service: str, condition: Json) -> Json:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"Service": f"{service}.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": ref(TOPIC),
        "Condition": condition,
    }
