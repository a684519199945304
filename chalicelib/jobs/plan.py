"""The call that runs an attempt, as data: decided here, purely; carried out by the state machine.

Names and shapes are SageMaker's CreateTrainingJob and Batch's SubmitJob. The agent gets everything else from `spec.json`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chalicelib.jobs.job import Attempt, Backend, Job, attempt_prefix, checkpoint_prefix
from chalicelib.jobs.secrets import Sealed

ROOT = "/opt/ml"
ENTRYPOINT = ["python3", f"{ROOT}/input/data/agent/agent.zip"]
ARGUMENTS = ["train", "--root", ROOT]

MAX_LOG_BYTES = 60_000_000
GIB = 1024**3
# Within one user's jobs; between users Batch goes by their shares. Batch takes 0 to 9999.
PRIORITIES = {"low": 100, "medium": 400, "high": 700, "critical": 1000}


@dataclass(frozen=True)
class Inputs:
    """What was found when the attempt was planned: in the artifact store, and among the job's secrets."""

    requirements_uri: str | None
    inference_uri: str | None
    dataset_objects: int
    dataset_bytes: int
    secret_variables: Sealed = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Surroundings:
    """What the installation gives an attempt of a tenant."""

    bucket: str
    agent_uri: str
    training_role_arn: str
    mlflow_tracking_uri: str
    stack: str


def spec(job: Job, attempt: Attempt, seconds: int, inputs: Inputs, bucket: str) -> dict[str, Any]:
    """`spec.json`: all that the agent needs to know about the job; `seconds` is what is left of its time limit."""
    config = job.config
    return {
        "schema": 1,
        "tenant": job.tenant,
        "user": job.user,
        "job_id": job.job_id,
        "attempt": attempt.number,
        "token": attempt.token,
        "name": job.name,
        "framework": job.framework,
        "script": {"uri": config["script_path"], "name": config["script_path"].rpartition("/")[2]},
        "requirements": {"uri": inputs.requirements_uri} if inputs.requirements_uri else None,
        "inference": {"uri": inputs.inference_uri} if inputs.inference_uri else None,
        "dataset": {"uri": config["dataset_path"], "objects": inputs.dataset_objects, "bytes": inputs.dataset_bytes},
        "parameters": config["parameters"],
        "environment_variables": config["environment"]["environment_variables"],
        "secret_variables": inputs.secret_variables,
        "arguments": config["environment"]["arguments"],
        "metric_definitions": config["metric_definitions"],
        "gpu_count": config["resource_requirements"]["gpu_count"],
        "max_runtime_seconds": seconds,
        "limits": {"disk_bytes": job.allocation.disk_gb * GIB, "log_bytes": MAX_LOG_BYTES},
        "prefix": f"s3://{bucket}/{attempt_prefix(job.tenant, job.job_id, attempt.number)}",
        "mlflow": {"experiment_name": job.name, "run_name": job.job_id},
        # SageMaker looks after checkpoints itself; on Batch the agent does.
        **(
            {"checkpoints": {"uri": f"s3://{bucket}/{checkpoint_prefix(job)}"}}
            if attempt.backend is Backend.BATCH
            else {}
        ),
    }


def sagemaker_request(
    job: Job, attempt: Attempt, seconds: int, image: str, around: Surroundings, max_wait: int | None = None
) -> dict[str, Any]:
    """Arguments of CreateTrainingJob.

    Args:
        max_wait: of a spot job, the seconds that it may take with all waits; at least `seconds`.
    """
    here = f"s3://{around.bucket}/"
    prefix = here + attempt_prefix(job.tenant, job.job_id, attempt.number)
    return {
        "TrainingJobName": attempt.name,
        "AlgorithmSpecification": {
            "TrainingImage": image,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ENTRYPOINT,
            "ContainerArguments": ARGUMENTS,
        },
        "RoleArn": around.training_role_arn,
        "InputDataConfig": [_channel("agent", around.agent_uri), _channel("training", job.config["dataset_path"])],
        "OutputDataConfig": {"S3OutputPath": prefix + "sagemaker"},
        "ResourceConfig": {
            "InstanceType": job.allocation.instance_type,
            "InstanceCount": job.allocation.instance_count,
            "VolumeSizeInGB": job.allocation.disk_gb,
        },
        "EnableManagedSpotTraining": max_wait is not None,
        "StoppingCondition": {
            "MaxRuntimeInSeconds": seconds,
            **({"MaxWaitTimeInSeconds": max_wait} if max_wait is not None else {}),
        },
        "CheckpointConfig": {
            "S3Uri": here + checkpoint_prefix(job),
            "LocalPath": f"{ROOT}/checkpoints",
        },
        "Environment": {
            "AIMATRIX_SPEC_URI": prefix + "spec.json",
            "AIMATRIX_MLFLOW_TRACKING_URI": around.mlflow_tracking_uri,
        },
        "Tags": [{"Key": key, "Value": value} for key, value in tags(job, attempt, around).items()],
    }


def batch_request(job: Job, attempt: Attempt, seconds: int, definition: str, around: Surroundings) -> dict[str, Any]:
    """Arguments of SubmitJob."""
    prefix = f"s3://{around.bucket}/{attempt_prefix(job.tenant, job.job_id, attempt.number)}"
    environment = {
        "AIMATRIX_SPEC_URI": prefix + "spec.json",
        "AIMATRIX_MLFLOW_TRACKING_URI": around.mlflow_tracking_uri,
        "AIMATRIX_AGENT_URI": around.agent_uri,
    }
    given = job.allocation_of(attempt)
    resources = [("VCPU", given.cpu_cores), ("MEMORY", given.memory_gb * 1024)]
    if given.gpu_count:
        resources.append(("GPU", given.gpu_count))
    return {
        "jobName": attempt.name,
        "jobQueue": attempt.queue,
        "jobDefinition": definition,
        "containerOverrides": {
            "environment": [{"name": name, "value": value} for name, value in environment.items()],
            "resourceRequirements": [{"type": kind, "value": str(amount)} for kind, amount in resources],
        },
        "timeout": {"attemptDurationSeconds": seconds},
        "shareIdentifier": share_identifier(job.tenant, job.user),
        "schedulingPriorityOverride": PRIORITIES[job.priority],
        "tags": tags(job, attempt, around),
    }


def share_identifier(tenant: str, user: str) -> str:
    """Who shares a Batch queue with others: one user of one tenant. Batch takes letters and numbers only.

    80 bits of a hash tell users apart; what is readable before it is for whoever looks at the queue in AWS's console.
    """
    digest = hashlib.sha256("\x1f".join((tenant, user)).encode()).digest()[:10]
    readable = "".join(character for character in user if character.isascii() and character.isalnum())[:20]
    return f"{readable}0{base64.b32encode(digest).decode().lower()}"


def tags(job: Job, attempt: Attempt, around: Surroundings) -> dict[str, str]:
    """What says on the backend whose an attempt is; its events carry these tags back."""
    return {
        "aimatrix:stack": around.stack,
        "aimatrix:tenant": job.tenant,
        "aimatrix:job-id": job.job_id,
        "aimatrix:attempt": str(attempt.number),
    }


def container_properties(template: Mapping[str, Any], image: str, role_arn: str) -> dict[str, Any]:
    """The stack's own Batch container with an image and a tenant's role: the same command, environment and log group."""
    kept: Sequence[str] = (
        "command",
        "environment",
        "executionRoleArn",
        "resourceRequirements",
        "logConfiguration",
        "ulimits",
    )
    return {"image": image, "jobRoleArn": role_arn, **{name: template[name] for name in kept if template.get(name)}}


def _channel(name: str, uri: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": "File"}
