"""Step Functions: the machines of `stepfunctions/`, each with a role that reaches exactly what its states call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from infra import names
from infra.grants import Grant, role
from infra.logs import log_group_id
from infra.names import Json, arn, att, function, ref, sagemaker_arn, stack_name

DEFINITIONS = Path(__file__).parent.parent / "stepfunctions"

FUNCTIONS_OF: dict[str, tuple[str, ...]] = {
    "train-job": ("plan_job", "await_capacity", "enqueue_attempt", "assess_attempt", "register_model", "finish_job"),
    "deploy-model": ("plan_deployment", "await_endpoint", "smoke_test", "finish_deployment"),
    "undeploy-model": ("plan_deployment", "finish_deployment"),
    "shift-traffic": ("advance_rollout",),
    "transform-data": ("plan_transform", "finish_transform"),
}

_WRITE_LOG = Grant(
    "DeliverLog",
    (
        "logs:CreateLogDelivery",
        "logs:GetLogDelivery",
        "logs:UpdateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:ListLogDeliveries",
        "logs:PutResourcePolicy",
        "logs:DescribeResourcePolicies",
        "logs:DescribeLogGroups",
    ),
    ("*",),
)


def _managed_rule(service: str) -> Grant:
    """`.sync` waits by an EventBridge rule that Step Functions keeps in the account; its name is fixed by AWS."""
    rule = f"rule/StepFunctionsGetEventsFor{service}Rule"
    return Grant(
        f"WaitFor{service}", ("events:PutTargets", "events:PutRule", "events:DescribeRule"), (arn("events", rule),)
    )


def _pass(sid: str, purpose: str) -> Grant:
    to_sagemaker = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    return Grant(sid, ("iam:PassRole",), (names.tenant_role_arn(purpose),), to_sagemaker)


_OWN_JOB_DEFINITIONS = arn("batch", f"job-definition/{names.NAME_PREFIX}${{AWS::StackName}}-*")
_OWN_JOB_QUEUES = tuple(names.batch_queue_arn(queue) for queue in names.BATCH_QUEUES)

GRANTS: dict[str, tuple[Grant, ...]] = {
    "train-job": (
        Grant(
            "RunTraining",
            (
                "sagemaker:CreateTrainingJob",
                "sagemaker:DescribeTrainingJob",
                "sagemaker:StopTrainingJob",
                "sagemaker:AddTags",
            ),
            (sagemaker_arn("training-job"),),
        ),
        _pass("PassTrainingRole", "training"),
        _managed_rule("SageMakerTrainingJobs"),
        Grant(
            "SubmitBatchJobs",
            ("batch:SubmitJob", "batch:TagResource"),
            (_OWN_JOB_DEFINITIONS, *_OWN_JOB_QUEUES, arn("batch", "job/*")),
        ),
        Grant("StopBatchJobs", ("batch:TerminateJob",), (arn("batch", "job/*"),)),
        Grant("DescribeBatchJobs", ("batch:DescribeJobs",), ("*",)),
        _managed_rule("BatchJobs"),
    ),
    "deploy-model": (
        Grant(
            "Serve",
            (
                "sagemaker:CreateModel",
                "sagemaker:CreateEndpointConfig",
                "sagemaker:CreateEndpoint",
                "sagemaker:UpdateEndpoint",
                "sagemaker:DescribeEndpoint",
                "sagemaker:AddTags",
            ),
            tuple(sagemaker_arn(kind) for kind in ("model", "endpoint-config", "endpoint")),
        ),
        _pass("PassServingRole", "serving"),
    ),
    "undeploy-model": (
        Grant("DeleteEndpoints", ("sagemaker:DeleteEndpoint",), (sagemaker_arn("endpoint"),)),
        Grant("DeleteEndpointConfigs", ("sagemaker:DeleteEndpointConfig",), (sagemaker_arn("endpoint-config"),)),
        Grant("DeleteModels", ("sagemaker:DeleteModel",), (sagemaker_arn("model"),)),
    ),
    "shift-traffic": (),
    "transform-data": (
        Grant("MakeModels", ("sagemaker:CreateModel", "sagemaker:AddTags"), (sagemaker_arn("model"),)),
        Grant(
            "RunTransforms",
            (
                "sagemaker:CreateTransformJob",
                "sagemaker:DescribeTransformJob",
                "sagemaker:StopTransformJob",
                "sagemaker:AddTags",
            ),
            (sagemaker_arn("transform-job"),),
        ),
        _pass("PassTransformingRole", "transforming"),
        _managed_rule("SageMakerTransformJobs"),
    ),
}


def definition(machine: str) -> dict[str, Any]:
    """The machine as its file says it, with `${PlanJob}` and the like where a function's ARN belongs."""
    loaded: dict[str, Any] = json.loads(definition_path(machine).read_text(encoding="utf-8"))
    return loaded


def definition_path(machine: str) -> Path:
    return DEFINITIONS / f"{machine.replace('-', '_')}.asl.json"


def role_id(machine: str) -> str:
    return f"{names.machine_id(machine)}Role"


def _machine(machine: str) -> Json:
    logical_id = names.machine_id(machine)
    functions = [function(name) for name in FUNCTIONS_OF[machine]]
    invoke = Grant("CallFunctions", ("lambda:InvokeFunction",), tuple(f.arn for f in functions))
    properties: Json = {
        "StateMachineName": stack_name(machine),
        "StateMachineType": "STANDARD",
        "RoleArn": att(role_id(machine)),
        # As text: CloudFormation would rewrite the numbers and the order of keys of an object.
        "DefinitionString": json.dumps(definition(machine), separators=(",", ":"), ensure_ascii=False),
        "DefinitionSubstitutions": {f.logical_id: att(f.logical_id) for f in functions},
        "LoggingConfiguration": {
            "Level": "ERROR",
            # Ids and errors only pass through a machine, never a user's data: see the definitions.
            "IncludeExecutionData": True,
            "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": att(log_group_id(logical_id))}}],
        },
    }
    return {
        logical_id: {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties},
        role_id(machine): role(
            "states.amazonaws.com",
            f"The state machine {machine}",
            (invoke, _WRITE_LOG, *GRANTS[machine]),
            trust={"StringEquals": {"aws:SourceAccount": ref("AWS::AccountId")}},
        ),
    }


def fragment() -> Json:
    resources: Json = {}
    for machine in names.MACHINES:
        resources |= _machine(machine)
    return {
        "Resources": resources,
        "Outputs": {
            f"{names.machine_id(machine)}Arn": {
                "Description": f"State machine {machine}",
                "Value": ref(names.machine_id(machine)),
            }
            for machine in names.MACHINES
        },
    }
