"""CloudWatch alarms: what an operator has to know."""

from __future__ import annotations

from infra.names import Json, ref, stack_name

NAMESPACE = "Aimatrix"
_ONE_DAY = 24 * 3600


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
                },
            }
        }
    }
