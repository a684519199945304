"""CloudWatch Logs: a group with a retention for everything that logs, and the way from training output to records.

A training container has one transport: what it prints. The subscriptions hand its structured lines to `ingest_logs`.
"""

from __future__ import annotations

from infra import names
from infra.names import Json, att, ref, sub
from infra.parameters import when

# Quoted, because # is no word character in CloudWatch's filter syntax; the agent begins each structured line with it.
STRUCTURED_LINES = '"#aimatrix"'


def log_group_id(logical_id: str) -> str:
    return f"{logical_id}LogGroup"


def _group(name: Json | str) -> Json:
    return {
        "Type": "AWS::Logs::LogGroup",
        "Properties": {"LogGroupName": name, "RetentionInDays": ref("LogRetentionDays")},
    }


def _subscription(group: Json, arn: Json, name: str) -> Json:
    ingest = names.function("ingest_logs").logical_id
    return {
        f"{name}Subscription": {
            "Type": "AWS::Logs::SubscriptionFilter",
            # CloudWatch sends a test message when the filter is made: the permission has to be there before.
            "DependsOn": f"{name}SubscriptionPermission",
            "Properties": {
                "LogGroupName": group,
                "FilterName": names.stack_name("structured-lines"),
                "FilterPattern": STRUCTURED_LINES,
                "DestinationArn": att(ingest),
            },
        },
        f"{name}SubscriptionPermission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "Action": "lambda:InvokeFunction",
                "FunctionName": ref(ingest),
                "Principal": "logs.amazonaws.com",
                "SourceAccount": ref("AWS::AccountId"),
                "SourceArn": arn,
            },
        },
    }


def fragment() -> Json:
    groups = {log_group_id(f.logical_id): _group(sub(f.log_group_name)) for f in names.FUNCTIONS}
    machines = {
        log_group_id(names.machine_id(machine)): _group(sub(f"/aws/vendedlogs/states/${{AWS::StackName}}-{machine}"))
        for machine in names.MACHINES
    }
    training = {
        **_group(names.TRAINING_LOG_GROUP),
        "Condition": "MakesTrainingLogGroup",
        # Shared by all SageMaker training of the account: never ours to delete.
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
    }
    training_name = when("MakesTrainingLogGroup", ref("TrainingLogGroup"), names.TRAINING_LOG_GROUP)
    return {
        "Resources": {
            **groups,
            **machines,
            "TrainingLogGroup": training,
            "BatchLogGroup": _group(sub(names.BATCH_LOG_GROUP)),
            **_subscription(training_name, names.log_group_arn(f"{names.TRAINING_LOG_GROUP}:*"), "Training"),
            **_subscription(ref("BatchLogGroup"), names.log_group_arn(f"{names.BATCH_LOG_GROUP}:*"), "Batch"),
        }
    }
