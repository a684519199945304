"""EventBridge rules: state changes of SageMaker and Batch wake the functions that look again, and the clock those that
check; nothing polls.

An event is a hint. The function it wakes asks the service that sent it, so a lost, late or repeated one does no harm; what
can be neither delivered nor handled is kept in the dead-letter queue of the function it was meant for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra import names
from infra.names import NAME_PREFIX, Function, Json, att, ref

FOURTEEN_DAYS = 14 * 24 * 3600
_ONE_HOUR = 3600


@dataclass(frozen=True)
class Rule:
    """One kind of event of one AWS service, narrowed to what carries our prefix."""

    logical_id: str
    description: str
    source: str
    detail_type: str
    detail: dict[str, Any]
    function: Function


@dataclass(frozen=True)
class Schedule:
    """When a function is called by the clock, which is UTC.

    Attributes:
        expression: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
    """

    logical_id: str
    description: str
    expression: str
    function: Function


SCHEDULES = (
    Schedule(
        "QuotaCheckSchedule",
        "Compares every quota counter with the records, once a day; goes on each hour until it is done",
        "cron(17 * * * ? *)",
        names.function("check_quotas"),
    ),
    Schedule(
        "AdmissionSchedule",
        "Looks after the capacity pools: what became old, and what a lost call left waiting",
        "rate(1 minute)",
        names.function("admit_jobs"),
    ),
    Schedule(
        "ReconcileSchedule",
        "Compares open jobs and deployments with what drives and runs them",
        "rate(5 minutes)",
        names.function("reconcile"),
    ),
    Schedule(
        "WebhookSchedule",
        "Sends again what webhooks have not taken, when its time has come",
        "rate(1 minute)",
        names.function("deliver_webhooks"),
    ),
)

RULES = (
    Rule(
        "SageMakerTrainingRule",
        "A training job of ours changed its status",
        "aws.sagemaker",
        "SageMaker Training Job State Change",
        {"TrainingJobName": [{"prefix": NAME_PREFIX}]},
        names.function("on_training_event"),
    ),
    Rule(
        "ExecutionRule",
        "An execution ended without ending what it was started for",
        "aws.states",
        "Step Functions Execution Status Change",
        {
            "stateMachineArn": [names.machine_arn(machine) for machine in names.MACHINES],
            "status": ["FAILED", "TIMED_OUT", "ABORTED"],
        },
        names.function("on_execution_event"),
    ),
    Rule(
        "BatchJobRule",
        "A Batch job of ours changed its status",
        "aws.batch",
        "Batch Job State Change",
        {"jobName": [{"prefix": NAME_PREFIX}]},
        names.function("on_training_event"),
    ),
    Rule(
        "ServiceJobRule",
        "A service job of ours changed its status",
        "aws.batch",
        "Batch Service Job State Change",
        {"jobName": [{"prefix": NAME_PREFIX}]},
        names.function("on_training_event"),
    ),
    Rule(
        "SageMakerEndpointRule",
        "An endpoint of ours changed its status",
        "aws.sagemaker",
        "SageMaker Endpoint State Change",
        {"EndpointName": [{"prefix": NAME_PREFIX}]},
        names.function("on_endpoint_event"),
    ),
)


def queue_id(function: Function) -> str:
    return f"{function.logical_id}DeadLetters"


def _rule(rule: Rule | Schedule) -> Json:
    target = {
        "Id": rule.function.dashed,
        "Arn": att(rule.function.logical_id),
        "DeadLetterConfig": {"Arn": att(queue_id(rule.function))},
        "RetryPolicy": {"MaximumEventAgeInSeconds": _ONE_HOUR, "MaximumRetryAttempts": 20},
    }
    return {
        rule.logical_id: {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "Description": rule.description,
                "State": "ENABLED",
                **_when(rule),
                "Targets": [target],
            },
        },
        f"{rule.logical_id}Permission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "Action": "lambda:InvokeFunction",
                "FunctionName": ref(rule.function.logical_id),
                "Principal": "events.amazonaws.com",
                "SourceArn": att(rule.logical_id),
            },
        },
    }


def _when(rule: Rule | Schedule) -> Json:
    if isinstance(rule, Schedule):
        return {"ScheduleExpression": rule.expression}
    pattern = {"source": [rule.source], "detail-type": [rule.detail_type], "detail": rule.detail}
    return {"EventPattern": pattern}


def _dead_letters(function: Function) -> Json:
    queue = queue_id(function)
    rules = [att(rule.logical_id) for rule in (*RULES, *SCHEDULES) if rule.function == function]
    resources: Json = {
        queue: {
            "Type": "AWS::SQS::Queue",
            "Properties": {
                "QueueName": names.stack_name(f"{function.dashed}-dead"),
                "MessageRetentionPeriod": FOURTEEN_DAYS,
                "SqsManagedSseEnabled": True,
            },
        },
        f"{function.logical_id}Invocations": {
            "Type": "AWS::Lambda::EventInvokeConfig",
            "Properties": {
                "FunctionName": ref(function.logical_id),
                "Qualifier": "$LATEST",
                "MaximumEventAgeInSeconds": _ONE_HOUR,
                "MaximumRetryAttempts": 2,
                "DestinationConfig": {"OnFailure": {"Destination": att(queue)}},
            },
        },
    }
    if rules:
        resources[f"{queue}Policy"] = {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {
                "Queues": [ref(queue)],
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Sid": "UndeliverableEvents",
                            "Effect": "Allow",
                            "Principal": {"Service": "events.amazonaws.com"},
                            "Action": "sqs:SendMessage",
                            "Resource": att(queue),
                            "Condition": {"ArnEquals": {"aws:SourceArn": rules}},
                        }
                    ],
                },
            },
        }
    return resources


def fragment() -> Json:
    resources: Json = {}
    for rule in (*RULES, *SCHEDULES):
        resources |= _rule(rule)
    for function in names.ASYNCHRONOUS:
        resources |= _dead_letters(function)
    return {"Resources": resources}
