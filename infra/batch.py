"""AWS Batch: the second backend. Machines come when a job waits for them and go when none does.

Batch matches a job by the number of its GPUs, never by their type: so each type has machines and a queue of its own, and
`plan_job` picks the queue. Each has another queue whose machines are spot instances.

All of it exists only where subnets are given. A job definition fixes an image, so `plan_job` registers one per image and
tenant, as a copy of the one here with the tenant's role; the log group and the command stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chalicelib.capacity.pool import DEFAULT_HALF_LIFE_SECONDS
from infra.names import BATCH_QUEUES, NAME_PREFIX, Json, att, pascal, ref, stack_name, sub

BOOTSTRAP = Path(__file__).parent.parent / "trainer" / "bootstrap.py"

_CONDITION = "HasBatch"
_POLICY = "BatchSchedulingPolicy"


@dataclass(frozen=True)
class Machines:
    """What one queue's jobs run on.

    Attributes:
        families: EC2 families; Batch picks the size. A test holds them against the table of instance types.
        image: an entry of `Ec2Configuration`.
        condition: of the template, under which these machines exist.
    """

    families: tuple[str, ...]
    image: Json
    condition: str = _CONDITION


_GPU_IMAGE: Json = {"ImageType": "ECS_AL2023_NVIDIA"}

MACHINES: dict[str, Machines] = {
    "cpu": Machines(("m5", "c5", "r5"), {"ImageType": "ECS_AL2023"}),
    "t4": Machines(("g4dn",), _GPU_IMAGE),
    "v100": Machines(
        ("p3", "p3dn"),
        {"ImageType": "ECS_AL2_NVIDIA", "ImageIdOverride": ref("BatchV100ImageId")},
        "HasBatchV100",
    ),
    "a100": Machines(("p4d",), _GPU_IMAGE),
    "h100": Machines(("p5",), _GPU_IMAGE),
}
"""By kind: see `names.BATCH_KINDS`."""

# Amazon's mirror of the official image: no rate limit, no account. Only what `plan_job` copies; no job runs in it.
_BASE_IMAGE = "public.ecr.aws/docker/library/python:3.11-slim"


# Without a strategy spot needs a role for fleets; with this one Batch takes the pools that are interrupted least.
# https://docs.aws.amazon.com/batch/latest/userguide/allocation-strategies.html
_ON_DEMAND: Json = {"Type": "EC2", "AllocationStrategy": "BEST_FIT_PROGRESSIVE"}
_ON_SPOT: Json = {"Type": "SPOT", "AllocationStrategy": "SPOT_PRICE_CAPACITY_OPTIMIZED"}


def machines_of(queue: str) -> Machines:
    return MACHINES[queue.removesuffix("-spot")]


def _environment_id(queue: str) -> str:
    return f"Batch{pascal(queue)}Environment"


def _queue_id(queue: str) -> str:
    return f"Batch{pascal(queue)}Queue"


def _environment(queue: str) -> Json:
    machines = machines_of(queue)
    return {
        "Type": "AWS::Batch::ComputeEnvironment",
        "Condition": machines.condition,
        "Properties": {
            "ComputeEnvironmentName": stack_name(f"training-{queue}"),
            "Type": "MANAGED",
            "State": "ENABLED",
            # A change of the machines makes new ones; running jobs keep theirs until they end.
            "ReplaceComputeEnvironment": False,
            "UpdatePolicy": {"TerminateJobsOnUpdate": False, "JobExecutionTimeoutMinutes": 24 * 60},
            "ComputeResources": {
                **(_ON_SPOT if queue.endswith("-spot") else _ON_DEMAND),
                "MinvCpus": 0,
                "MaxvCpus": ref("BatchMaxCpus"),
                "InstanceTypes": list(machines.families),
                "Subnets": ref("BatchSubnets"),
                "SecurityGroupIds": ref("BatchSecurityGroups"),
                "InstanceRole": att("BatchInstanceProfile"),
                "Ec2Configuration": [machines.image],
                # The number and not $Latest: a new version must be a change of the environment, or Batch keeps the old one.
                "LaunchTemplate": {
                    "LaunchTemplateId": ref("BatchLaunchTemplate"),
                    "Version": att("BatchLaunchTemplate", "LatestVersionNumber"),
                },
                "UpdateToLatestImageVersion": True,
                "Tags": {"aimatrix:stack": ref("AWS::StackName")},
            },
        },
    }


def _queue(queue: str) -> Json:
    return {
        "Type": "AWS::Batch::JobQueue",
        "Condition": machines_of(queue).condition,
        "Properties": {
            "JobQueueName": stack_name(f"training-{queue}"),
            "Priority": 1,
            "State": "ENABLED",
            "SchedulingPolicyArn": ref(_POLICY),
            "ComputeEnvironmentOrder": [{"Order": 1, "ComputeEnvironment": ref(_environment_id(queue))}],
        },
    }


def _scheduling_policy() -> Json:
    """Users share a queue's machines evenly, by what they used during the last day; each has one share identifier."""
    return {
        "Type": "AWS::Batch::SchedulingPolicy",
        "Properties": {
            "Name": stack_name("training"),
            "FairsharePolicy": {"ShareDecaySeconds": DEFAULT_HALF_LIFE_SECONDS, "ComputeReservation": 0},
            "Tags": {"aimatrix:stack": ref("AWS::StackName")},
        },
    }


def _launch_template() -> Json:
    return {
        "Type": "AWS::EC2::LaunchTemplate",
        "Properties": {
            "LaunchTemplateName": stack_name("batch"),
            "LaunchTemplateData": {
                "BlockDeviceMappings": [
                    {
                        "DeviceName": "/dev/xvda",
                        "Ebs": {
                            "VolumeSize": ref("BatchDiskGiB"),
                            "VolumeType": "gp3",
                            "Encrypted": True,
                            "DeleteOnTermination": True,
                        },
                    }
                ],
                # One hop: a container cannot reach the machine's own credentials, only those of its job.
                "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
            },
        },
    }


def _job_definition() -> Json:
    return {
        "Type": "AWS::Batch::JobDefinition",
        "Properties": {
            "JobDefinitionName": sub(f"{NAME_PREFIX}${{AWS::StackName}}-base"),
            "Type": "container",
            "PlatformCapabilities": ["EC2"],
            "PropagateTags": True,
            # One try: what follows a failure is decided by cause, in the state machine.
            "RetryStrategy": {"Attempts": 1},
            "ContainerProperties": {
                "Image": _BASE_IMAGE,
                "Command": ["python3", "-c", BOOTSTRAP.read_text(encoding="utf-8"), "train", "--root", "/opt/ml"],
                "ResourceRequirements": [{"Type": "VCPU", "Value": "1"}, {"Type": "MEMORY", "Value": "2048"}],
                "Environment": [{"Name": "AWS_REGION", "Value": ref("AWS::Region")}],
                "LogConfiguration": {
                    "LogDriver": "awslogs",
                    "Options": {
                        "awslogs-group": ref("BatchLogGroup"),
                        "awslogs-region": ref("AWS::Region"),
                        "awslogs-stream-prefix": sub(f"{NAME_PREFIX}${{AWS::StackName}}"),
                    },
                },
            },
        },
    }


def fragment() -> Json:
    instance_role: Json = {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "Description": "Machines of AWS Batch",
            "AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
                ],
            },
            # AWS's own policy for the agent of ECS, which starts the containers and ships their output.
            "ManagedPolicyArns": [
                sub("arn:${AWS::Partition}:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role")
            ],
        },
    }
    resources = {
        "BatchInstanceRole": instance_role,
        "BatchInstanceProfile": {
            "Type": "AWS::IAM::InstanceProfile",
            "Properties": {"Roles": [ref("BatchInstanceRole")]},
        },
        "BatchLaunchTemplate": _launch_template(),
        _POLICY: _scheduling_policy(),
        **{_environment_id(queue): _environment(queue) for queue in BATCH_QUEUES},
        **{_queue_id(queue): _queue(queue) for queue in BATCH_QUEUES},
        "BatchJobDefinition": _job_definition(),
    }
    return {
        "Resources": {name: {"Condition": _CONDITION, **resource} for name, resource in resources.items()},
        "Outputs": {
            "BatchJobQueueArn": {
                "Description": "Queue of training jobs on AWS Batch without a GPU; the others end in the type of their GPU",
                "Condition": _CONDITION,
                "Value": ref(_queue_id("cpu")),
            }
        },
    }
