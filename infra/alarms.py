"""CloudWatch alarms: what an operator has to know."""

from __future__ import annotations

from infra.names import Json, ref, stack_name

NAMESPACE = "Aimatrix"
_ONE_DAY = 24 * 3600
_TELL = [ref("NotificationTopic")]


def fragment() -> Json:
    return {
        "Resources": {
            "QuotaDifferenceAlarm": {
                "Type": "AWS::CloudWatch::Alarm",
                "Properties": {
                    "AlarmName": stack_name("quota-difference"),
                    "AlarmDescription": (
                        "A quota counter is not what the records say: the log of check-quotas names it. docs/quotas.md"
                    ),
                    "Namespace": NAMESPACE,
                    "MetricName": "QuotaDifference",
                    "Dimensions": [{"Name": "Stack", "Value": ref("AWS::StackName")}],
                    "Statistic": "Maximum",
                    "Period": _ONE_DAY,
                    "EvaluationPeriods": 1,
                    "Threshold": 0,
                    "ComparisonOperator": "GreaterThanThreshold",
                    "TreatMissingData": "notBreaching",
                    "AlarmActions": _TELL,
                },
            },
            "OrphansAlarm": {
                "Type": "AWS::CloudWatch::Alarm",
                "Properties": {
                    "AlarmName": stack_name("orphans"),
                    "AlarmDescription": (
                        "Something ran for no open job and was stopped: the log of reconcile names it. docs/reconciler.md"
                    ),
                    "Namespace": NAMESPACE,
                    "MetricName": "OrphanSeconds",
                    "Dimensions": [{"Name": "Stack", "Value": ref("AWS::StackName")}],
                    "Statistic": "Maximum",
                    "Period": 300,
                    "EvaluationPeriods": 1,
                    "Threshold": 0,
                    "ComparisonOperator": "GreaterThanThreshold",
                    "TreatMissingData": "notBreaching",
                    "AlarmActions": _TELL,
                },
            },
            "DeadLettersAlarm": {
                "Type": "AWS::CloudWatch::Alarm",
                "Properties": {
                    "AlarmName": stack_name("dead-letters"),
                    "AlarmDescription": (
                        "Events could not be published or delivered: aimatrix events dead-letters. docs/events.md"
                    ),
                    "Namespace": NAMESPACE,
                    "MetricName": "DeadLetters",
                    "Dimensions": [{"Name": "Stack", "Value": ref("AWS::StackName")}],
                    "Statistic": "Sum",
                    "Period": 300,
                    "EvaluationPeriods": 1,
                    "Threshold": 0,
                    "ComparisonOperator": "GreaterThanThreshold",
                    "TreatMissingData": "notBreaching",
                    "AlarmActions": _TELL,
                },
            },
            "AuditNotSealedAlarm": {
                "Type": "AWS::CloudWatch::Alarm",
                "Properties": {
                    "AlarmName": stack_name("audit-not-sealed"),
                    "AlarmDescription": "Entries of the audit log could not be sealed: the log of chain-audit says why.",
                    "Namespace": "AWS/SQS",
                    "MetricName": "ApproximateNumberOfMessagesVisible",
                    "Dimensions": [{"Name": "QueueName", "Value": stack_name("chain-audit-dead")}],
                    "Statistic": "Maximum",
                    "Period": 300,
                    "EvaluationPeriods": 1,
                    "Threshold": 0,
                    "ComparisonOperator": "GreaterThanThreshold",
                    "TreatMissingData": "notBreaching",
                    "AlarmActions": _TELL,
                },
            },
        }
    }
