"""AWS Batch: the second backend. Machines come when a job waits for them and go when none does.

All of it exists only where subnets are given. A job definition fixes an image, so `plan_job` registers one per image, as a
copy of the one here with the image replaced; the log group, the role and the command stay.
"""

from __future__ import annotations

from pathlib import Path

from infra.grants import role
from infra.names import NAME_PREFIX, Json, att, ref, stack_name, sub
from infra.training import TRAIN

BOOTSTRAP = Path(__file__).parent.parent / "trainer" / "bootstrap.py"

# Families that hold every vCPU and GPU size of the resource table; Batch picks the size. GPU machines come second, so that
# a job without a GPU goes to one only when the others are full.
FAMILIES: dict[str, tuple[str, ...]] = {
    "Cpu": ("m5", "c5", "r5"),
    "Gpu": ("g4dn", "g5", "p3"),
}
_IMAGES = {"Cpu": "ECS_AL2023", "Gpu": "ECS_AL2023_NVIDIA"}

# Amazon's mirror of the official image: no rate limit, no account. Only what `plan_job` copies; no job runs in it.
_BASE_IMAGE = "public.ecr.aws/docker/library/python:3.11-slim"
_DISK_GIB = 200
_CONDITION = "HasBatch"


def _conditional(resource: Json) -> Json:
    return {**resource, "Condition": _CONDITION}


def _environment(family: str) -> Json:
    return {
        "Type": "AWS::Batch::ComputeEnvironment",
        "Properties": {
            "ComputeEnvironmentName": stack_name(family.lower()),
            "Type": "MANAGED",
            "State": "ENABLED",
            # A change of the machines makes new ones; running jobs keep theirs until they end.
            "ReplaceComputeEnvironment": False,
            "UpdatePolicy": {"TerminateJobsOnUpdate": False, "JobExecutionTimeoutMinutes": 24 * 60},
            "ComputeResources": {
                "Type": "EC2",
                "AllocationStrategy": "BEST_FIT_PROGRESSIVE",
                "MinvCpus": 0,
                "MaxvCpus": ref("BatchMaxCpus"),
                "InstanceTypes": list(FAMILIES[family]),
                "Subnets": ref("BatchSubnets"),
                "SecurityGroupIds": ref("BatchSecurityGroups"),
                "InstanceRole": att("BatchInstanceProfile"),
                "Ec2Configuration": [{"ImageType": _IMAGES[family]}],
                "LaunchTemplate": {"LaunchTemplateId": ref("BatchLaunchTemplate"), "Version": "$Latest"},
                "UpdateToLatestImageVersion": True,
                "Tags": {"aimatrix:stack": ref("AWS::StackName")},
            },
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
                            "VolumeSize": _DISK_GIB,
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
                "JobRoleArn": att("BatchJobRole"),
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
    queue: Json = {
        "Type": "AWS::Batch::JobQueue",
        "Properties": {
            "JobQueueName": stack_name("training"),
            "Priority": 1,
            "State": "ENABLED",
            "ComputeEnvironmentOrder": [
                {"Order": order, "ComputeEnvironment": ref(f"Batch{family}Environment")}
                for order, family in enumerate(FAMILIES, start=1)
            ],
        },
    }
    resources = {
        "BatchJobRole": role(
            "ecs-tasks.amazonaws.com",
            "Training jobs on AWS Batch",
            TRAIN,
            trust={"StringEquals": {"aws:SourceAccount": ref("AWS::AccountId")}},
        ),
        "BatchInstanceRole": instance_role,
        "BatchInstanceProfile": {
            "Type": "AWS::IAM::InstanceProfile",
            "Properties": {"Roles": [ref("BatchInstanceRole")]},
        },
        "BatchLaunchTemplate": _launch_template(),
        **{f"Batch{family}Environment": _environment(family) for family in FAMILIES},
        "BatchJobQueue": queue,
        "BatchJobDefinition": _job_definition(),
    }
    return {
        "Resources": {logical_id: _conditional(resource) for logical_id, resource in resources.items()},
        "Outputs": {
            "BatchJobQueueArn": {
                "Description": "Queue of training jobs on AWS Batch",
                "Condition": _CONDITION,
                "Value": ref("BatchJobQueue"),
            }
        },
    }
