"""What an installation is told: the parameters of the stack, and the conditions computed from them."""

from __future__ import annotations

from typing import Any

from infra.names import Json, ref

# The periods CloudWatch Logs accepts: botocore's PutRetentionPolicy documentation.
_RETENTION_DAYS = [
    1,
    3,
    5,
    7,
    14,
    30,
    60,
    90,
    120,
    150,
    180,
    365,
    400,
    545,
    731,
    1096,
    1827,
    2192,
    2557,
    2922,
    3288,
    3653,
]


def _text(description: str, pattern: str, complaint: str, default: str | None = None) -> Json:
    parameter: Json = {
        "Type": "String",
        "Description": description,
        "AllowedPattern": pattern,
        "ConstraintDescription": complaint,
    }
    return parameter if default is None else {**parameter, "Default": default}


# Tokens are only as good as the keys they are checked against: plain http is for a loopback address alone.
_HTTPS = r"https://.+|http://127\.0\.0\.1[:/].*"
_HTTP = r"https?://.+"
_TRACKING_SERVER = r"arn:[^:]+:sagemaker:[^:]+:[0-9]{12}:mlflow-(tracking-server|app)/.+"

PARAMETERS: Json = {
    "TokenIssuer": _text("Issuer (`iss`) of the access tokens that the API accepts", r"\S{1,512}", "one word"),
    "TokenAudience": _text("Audience (`aud`) that an access token must name", r"\S{1,256}", "one word", "aimatrix"),
    "JwksUrl": _text(
        "Where the issuer publishes its public keys (JWKS)", _HTTPS, "https://..., or http:// on 127.0.0.1 only"
    ),
    "AgentUri": _text(
        "s3://bucket/key of the agent that runs around every training script",
        r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+",
        "s3://bucket/key",
    ),
    "MlflowTrackingUri": _text(
        "MLflow: the http(s) address of a tracking server, or the ARN of a SageMaker-managed one",
        f"{_HTTP}|{_TRACKING_SERVER}",
        "http(s)://... or the ARN of an MLflow tracking server",
    ),
    # A second time, because a condition cannot look at how a parameter begins.
    "MlflowTrackingServerArn": _text(
        "The same ARN where MlflowTrackingUri is one, so that the roles may use exactly this server; else empty",
        f"({_TRACKING_SERVER})?",
        "the ARN of an MLflow tracking server, or nothing",
        "",
    ),
    "DeploymentBucket": _text(
        "Bucket that holds the functions' code and the agent",
        r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
        "the name of a bucket",
    ),
    "BatchSubnets": {
        "Type": "CommaDelimitedList",
        "Description": "Subnets for AWS Batch instances; empty leaves Batch out of the installation",
        "Default": "",
    },
    "BatchSecurityGroups": {
        "Type": "CommaDelimitedList",
        "Description": "Security groups for AWS Batch instances; needed when BatchSubnets is given",
        "Default": "",
    },
    "BatchMaxCpus": {
        "Type": "Number",
        "Description": "Most vCPUs that each Batch compute environment may grow to; the largest machine has 192",
        "Default": 256,
        # What one job may ask for.
        "MinValue": 64,
        "MaxValue": 10000,
    },
    "BatchDiskGiB": {
        "Type": "Number",
        "Description": "Disk of every Batch machine; 50 GiB of it are for the system and the container images",
        "Default": 500,
        # The least that a job may ask for, and gp3's own limit as every region has it.
        "MinValue": 70,
        "MaxValue": 16384,
    },
    # AWS's GPU image for Batch, ECS_AL2023_NVIDIA, does not support p3, and the one before it is not given to new
    # environments: https://docs.aws.amazon.com/batch/latest/APIReference/API_Ec2Configuration.html
    "BatchV100ImageId": _text(
        "AMI with an NVIDIA driver for V100 and the ECS agent, its root disk /dev/xvda; empty leaves V100 out of Batch",
        r"(ami-[0-9a-f]{8,17})?",
        "the id of an AMI, or nothing",
        "",
    ),
    # The queue is the operator's: its service environments say how many instances there are, its policy in which order.
    "TrainingQueue": _text(
        "ARN of an AWS Batch queue for SageMaker training jobs (service jobs), or empty: jobs wait in this service's pools",
        r"(arn:aws[a-z-]*:batch:[a-z0-9-]+:\d{12}:job-queue/[A-Za-z0-9_-]{1,128})?",
        "the ARN of a Batch job queue, or nothing",
        "",
    ),
    "TrainingQueueOrder": {
        "Type": "String",
        "Description": "The scheduling policy of TrainingQueue: none, one of fair shares, or one of quota shares",
        "Default": "fair-share",
        "AllowedValues": ["fifo", "fair-share", "quota-shares"],
    },
    "TrainingQueueShares": {
        "Type": "CommaDelimitedList",
        "Description": (
            "Names of the quota shares of TrainingQueue, at most 20; a tenant's jobs go to the share of its name, all "
            "others to the first"
        ),
        "Default": "",
    },
    "SpotInterruptionsPerHour": _text(
        "How often spot instances are assumed to be interrupted until there is experience, as TYPE=RATE,... per hour",
        r"((ml\.)?[a-z0-9-]+\.[a-z0-9-]+=[0-9]{1,3}(\.[0-9]{1,4})?(,(?!$)|$))*",
        "instance types with a rate each, for example ml.p3.2xlarge=0.2,p3.2xlarge=0.1",
        "",
    ),
    "LogRetentionDays": {
        "Type": "Number",
        "Description": "How long logs are kept, in days",
        "Default": 30,
        "AllowedValues": _RETENTION_DAYS,
    },
    "MetricRetentionDays": {
        "Type": "Number",
        "Description": "How long metrics are kept after they came, in days; 0: as long as their job",
        "Default": 0,
        "MinValue": 0,
        "MaxValue": 3650,
    },
    "CaptureRetentionDays": {
        "Type": "Number",
        "Description": "How long captured requests to endpoints are kept, in days",
        "Default": 30,
        "MinValue": 1,
        "MaxValue": 3650,
    },
    "EventArchiveDays": {
        "Type": "Number",
        "Description": "How long events are kept for a replay, in days",
        "Default": 30,
        "MinValue": 1,
        "MaxValue": 3650,
    },
    "OperatorEmail": _text(
        "Who is told by e-mail when something has failed or stands still; empty for nobody",
        r"([^@\s]{1,64}@[^@\s]{1,255})?",
        "an e-mail address, or nothing",
        "",
    ),
    "CreateTrainingLogGroup": {
        "Type": "String",
        "Description": (
            "Whether this stack makes the log group /aws/sagemaker/TrainingJobs: false where SageMaker, or another "
            "stack of this kind, has made it in this account and region already"
        ),
        "Default": "true",
        "AllowedValues": ["true", "false"],
    },
}


def _given(value: Json) -> Json:
    return {"Fn::Not": [{"Fn::Equals": [value, ""]}]}


def _first(parameter: str) -> Json:
    return {"Fn::Select": [0, ref(parameter)]}


CONDITIONS: Json = {
    "HasBatch": _given(_first("BatchSubnets")),
    "HasBatchV100": {"Fn::And": [{"Condition": "HasBatch"}, _given(ref("BatchV100ImageId"))]},
    "HasTrainingQueue": _given(ref("TrainingQueue")),
    "HasOperator": _given(ref("OperatorEmail")),
    "ManagedMlflow": _given(ref("MlflowTrackingServerArn")),
    "MakesTrainingLogGroup": {"Fn::Equals": [ref("CreateTrainingLogGroup"), "true"]},
}


def when(condition: str, value: Any, otherwise: Any = None) -> Json:
    """`value` where the condition holds; else `otherwise`, by default nothing at all."""
    return {"Fn::If": [condition, value, {"Ref": "AWS::NoValue"} if otherwise is None else otherwise]}
