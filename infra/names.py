"""Names: every physical name in the stack is derived from the stack's name, so a re-deploy finds the same ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
"""A piece of a CloudFormation template."""

NAME_PREFIX = "aimatrix-"
"""Every training job, model and endpoint of ours starts so; roles are confined by it."""

API = "APIHandler"
TABLES = (
    "jobs",
    "metrics",
    "models",
    "deployments",
    "experiments",
    "retraining",
    "quotas",
    "audit",
    "usage",
    "keys",
    "capacity",
    "events",
    "webhooks",
)
MACHINES = ("train-job", "deploy-model", "undeploy-model", "shift-traffic", "transform-data")

TRAINING_LOG_GROUP = "/aws/sagemaker/TrainingJobs"
"""SageMaker writes the output of every training job of an account and region here; the name cannot be chosen."""
TRANSFORM_LOG_GROUP = "/aws/sagemaker/TransformJobs"
"""The same for transform jobs. SageMaker makes it with the first of them."""


@dataclass(frozen=True)
class Function:
    """A Lambda function under its three names."""

    name: str
    """As Chalice knows it, such as `plan_job`; `APIHandler` for the one behind all routes."""

    @property
    def logical_id(self) -> str:
        """As CloudFormation knows it, by Chalice's own rule: `PlanJob`."""
        return self.name if self.name == API else pascal(self.name)

    @property
    def dashed(self) -> str:
        """As a person reads it: `plan-job`. The physical name is this behind the stack's name."""
        return "api" if self.name == API else self.name.replace("_", "-")

    @property
    def config_name(self) -> str:
        """The key of its section in .chalice/config.json."""
        return "api_handler" if self.name == API else self.name

    @property
    def policy_file(self) -> str:
        return f"policy-{self.dashed}.json"

    @property
    def role_id(self) -> str:
        """Logical id of the role that Chalice makes for it."""
        return "ApiHandlerRole" if self.name == API else f"{self.logical_id}Role"

    @property
    def physical_name(self) -> Json:
        return stack_name(self.dashed)

    @property
    def arn(self) -> Json:
        return arn("lambda", f"function:${{AWS::StackName}}-{self.dashed}")

    @property
    def log_group_name(self) -> str:
        return f"/aws/lambda/${{AWS::StackName}}-{self.dashed}"


FUNCTIONS = tuple(
    Function(name)
    for name in (
        API,
        "authorize",
        "plan_job",
        "await_capacity",
        "enqueue_attempt",
        "admit_jobs",
        "assess_attempt",
        "register_model",
        "finish_job",
        "check_quotas",
        "reconcile",
        "on_execution_event",
        "on_training_event",
        "ingest_logs",
        "export_job",
        "record_history",
        "publish_events",
        "note_dead_letters",
        "deliver_webhooks",
        "plan_deployment",
        "await_endpoint",
        "on_endpoint_event",
        "smoke_test",
        "finish_deployment",
        "advance_rollout",
        "deploy_ready_models",
        "retrain",
        "steer_traffic",
        "plan_transform",
        "finish_transform",
        "chain_audit",
    )
)
_ASYNCHRONOUS = {
    "on_training_event",
    "on_execution_event",
    "ingest_logs",
    "export_job",
    "on_endpoint_event",
    "check_quotas",
    "admit_jobs",
    "reconcile",
    "deliver_webhooks",
}
ASYNCHRONOUS = tuple(f for f in FUNCTIONS if f.name in _ASYNCHRONOUS)
"""Functions that a service invokes without waiting for the answer: what they cannot handle goes to a dead-letter queue."""

STREAMED = tuple(Function(name) for name in ("chain_audit", "record_history", "publish_events", "steer_traffic"))
"""Functions that changes of a table call; what they fail on is named in a dead-letter queue."""


def function(name: str) -> Function:
    return next(f for f in FUNCTIONS if f.name == name)


def pascal(name: str) -> str:
    """`train-job` and `plan_job` become `TrainJob` and `PlanJob`, by the rule of Chalice's `to_cfn_resource_name`."""
    return "".join(part[0].upper() + part[1:] for part in name.replace("-", "_").split("_") if part)


def table_id(table: str) -> str:
    return f"{pascal(table)}Table"


def machine_id(machine: str) -> str:
    return f"{pascal(machine)}StateMachine"


def sub(text: str) -> Json:
    return {"Fn::Sub": text}


def ref(logical_id: str) -> Json:
    return {"Ref": logical_id}


def att(logical_id: str, attribute: str = "Arn") -> Json:
    return {"Fn::GetAtt": [logical_id, attribute]}


def stack_name(suffix: str) -> Json:
    return sub(f"${{AWS::StackName}}-{suffix}")


def arn(service: str, resource: str, *, region: bool = True, account: bool = True) -> Json:
    """An ARN of this account and region as an `Fn::Sub`; `region` and `account` are left out where the service has none."""
    where = f"{'${AWS::Region}' if region else ''}:{'${AWS::AccountId}' if account else ''}"
    return sub(f"arn:${{AWS::Partition}}:{service}:{where}:{resource}")


BATCH_KINDS = ("cpu", "t4", "v100", "a100", "h100")
"""What AWS Batch has machines of: those without a GPU, and those with each type, called as a request calls the type."""

BATCH_QUEUES = (*BATCH_KINDS, *(f"{kind}-spot" for kind in BATCH_KINDS))
"""One queue of each kind on demand, and one on spot."""

ARTIFACTS_BUCKET = "${AWS::StackName}-artifacts-${AWS::AccountId}-${AWS::Region}"
BATCH_LOG_GROUP = "/aws/batch/${AWS::StackName}"


def batch_queue_arn(queue: str) -> Json:
    """One of `BATCH_QUEUES`; for an empty name, what the ARNs of all of them begin with."""
    return arn("batch", f"job-queue/${{AWS::StackName}}-training-{queue}")


def table_arn(table: str, suffix: str = "") -> Json:
    return arn("dynamodb", f"table/${{AWS::StackName}}-{table}{suffix}")


def machine_arn(machine: str) -> Json:
    return arn("states", f"stateMachine:${{AWS::StackName}}-{machine}")


def execution_arn(machine: str, name: str = "") -> Json:
    """An execution of a machine; for an empty name, what the ARNs of all of them begin with."""
    return arn("states", f"execution:${{AWS::StackName}}-{machine}:{name}")


def artifacts_arn(key: str = "") -> Json:
    return arn("s3", ARTIFACTS_BUCKET + (f"/{key}" if key else ""), region=False, account=False)


def sagemaker_arn(kind: str) -> Json:
    """All resources of one kind (`training-job`, `model`, `endpoint`, ...) that carry our prefix."""
    return arn("sagemaker", f"{kind}/{NAME_PREFIX}*")


_SCALING = "sagemaker.application-autoscaling.amazonaws.com"
SCALING_ROLE_ARN = arn(
    "iam",
    f"role/aws-service-role/{_SCALING}/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint",
    region=False,
)
"""The account's role by which Application Auto Scaling changes endpoints; AWS makes it for the first target."""

TENANT = "${!aws:PrincipalTag/aimatrix-tenant}"
"""In an `Fn::Sub`: the tenant whose role it is that asks. See `chalicelib.tenants.roles`."""


def tenant_role_arn(purpose: str = "") -> Json:
    """All tenants' roles for one purpose; without one, what the ARNs of all of them begin with."""
    # The region, because roles have none and a stack's name may be used once in each.
    path = f"role/aimatrix/${{AWS::StackName}}/${{AWS::Region}}/{f'{purpose}/*' if purpose else ''}"
    return arn("iam", path, region=False)


def log_group_arn(name: str) -> Json:
    return arn("logs", f"log-group:{name}")


TOPIC_ARN = arn("sns", "${AWS::StackName}-notifications")

QUEUED_TRAINING_ARN = arn("sagemaker", "training-job/AWSBatch*")
"""Training jobs that Batch makes out of service jobs."""
QUOTA_SHARES_ARN = sub("${TrainingQueue}/quota-share/*")

# s3://bucket/key without its scheme is what an S3 ARN ends with.
_AGENT_PATH: Json = {"Fn::Select": [1, {"Fn::Split": ["s3://", ref("AgentUri")]}]}
AGENT_ARN: Json = {"Fn::Join": ["", [sub("arn:${AWS::Partition}:s3:::"), _AGENT_PATH]]}
"""The one object of the deployment bucket that a training container may read."""
