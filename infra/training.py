"""What training containers, endpoints and batch transforms may do: policies for roles that each tenant has of its own.

`names.TENANT` in a resource stands for the tenant of the role that asks, so that one policy keeps all tenants apart. The
roles are made when a tenant first needs them (`chalicelib.tenants.roles`); these policies are their boundaries.
"""

from __future__ import annotations

from infra import names
from infra.grants import Grant, policy
from infra.keys import DECRYPT_SECRETS
from infra.names import TENANT, Json, arn, artifacts_arn, ref, sub

# What an unmodified script's mlflow calls come to, and the agent's own: reading and writing runs and models, nothing that
# deletes, renames or administers. Names: Service Authorization Reference, list_amazonsagemakerwithmlflow.
_MLFLOW_ACTIONS = tuple(
    f"sagemaker-mlflow:{action}"
    for action in (
        "CreateExperiment",
        "CreateLoggedModel",
        "CreateModelVersion",
        "CreateRegisteredModel",
        "CreateRun",
        "FinalizeLoggedModel",
        "GetExperiment",
        "GetExperimentByName",
        "GetLoggedModel",
        "GetMetricHistory",
        "GetModelVersion",
        "GetModelVersionByAlias",
        "GetRegisteredModel",
        "GetRun",
        "ListArtifacts",
        "LogBatch",
        "LogInputs",
        "LogLoggedModelParams",
        "LogMetric",
        "LogModel",
        "LogOutputs",
        "LogParam",
        "SearchExperiments",
        "SearchLoggedModels",
        "SearchModelVersions",
        "SearchRegisteredModels",
        "SearchRuns",
        "SetExperimentTag",
        "SetLoggedModelTags",
        "SetTag",
        "UpdateRun",
    )
)

# AWS's own images live in registries of AWS accounts that differ by region, a user's image wherever the user keeps it: the
# account cannot be named, the kind of resource can.
PULL_IMAGES = (
    Grant("SignInToRegistries", ("ecr:GetAuthorizationToken",), ("*",)),
    Grant(
        "PullImages",
        ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"),
        ({"Fn::Sub": "arn:${AWS::Partition}:ecr:*:*:repository/*"},),
    ),
)

_CHECKPOINT_FOLDERS = (
    artifacts_arn(f"tenants/{TENANT}/users/*/checkpoints/*"),
    artifacts_arn(f"tenants/{TENANT}/shared/checkpoints/*"),
)

TRAIN = (
    Grant("ReadTenantData", ("s3:GetObject",), (artifacts_arn(f"tenants/{TENANT}/*"),)),
    Grant(
        "WriteResults",
        ("s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"),
        (artifacts_arn(f"tenants/{TENANT}/jobs/*"),),
    ),
    Grant(
        # Where a job's `checkpoint_path` may lead: see `chalicelib.jobs.rules`.
        "KeepCheckpoints",
        ("s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"),
        _CHECKPOINT_FOLDERS,
    ),
    Grant(
        "PruneCheckpoints",
        ("s3:DeleteObject",),
        (artifacts_arn(f"tenants/{TENANT}/jobs/*/checkpoints/*"), *_CHECKPOINT_FOLDERS),
    ),
    Grant(
        "ListTenantData",
        ("s3:ListBucket",),
        (artifacts_arn(),),
        {"StringLike": {"s3:prefix": [sub(f"tenants/{TENANT}/*")]}},
    ),
    Grant("ReadAgent", ("s3:GetObject",), (names.AGENT_ARN,)),
    Grant(
        # SageMaker lists a channel before it downloads it, and the agent is a channel.
        "FindAgent",
        ("s3:ListBucket",),
        ({"Fn::Sub": "arn:${AWS::Partition}:s3:::${DeploymentBucket}"},),
        {"StringLike": {"s3:prefix": ["*agent*"]}},
    ),
    Grant(
        # Secrets that variables refer to. Values that came with the request: `infra.keys`.
        "ReadReferredSecrets",
        ("secretsmanager:GetSecretValue",),
        (arn("secretsmanager", f"secret:aimatrix/{TENANT}/*"),),
    ),
    Grant("TrackRuns", _MLFLOW_ACTIONS, (ref("MlflowTrackingServerArn"),), when="ManagedMlflow"),
    Grant(
        # A managed tracking server set up with this prefix as its artifact store: clients write to it themselves.
        "StoreRunArtifacts",
        ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"),
        (artifacts_arn("mlflow/*"),),
        when="ManagedMlflow",
    ),
)
"""What the agent does with its credentials, on both backends."""


def write_log(group: str) -> Grant:
    return Grant(
        "WriteLog",
        ("logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"),
        (names.log_group_arn(group), names.log_group_arn(f"{group}:*")),
    )


def put_metrics(namespace: str) -> Grant:
    return Grant(
        "PutMetrics",
        ("cloudwatch:PutMetricData",),
        ("*",),
        {"StringEquals": {"cloudwatch:namespace": namespace}},
    )


_ENDPOINT_LOGS = "/aws/sagemaker/Endpoints/" + names.NAME_PREFIX + "*"

SERVE = (
    Grant(
        "ReadModels",
        ("s3:GetObject",),
        (artifacts_arn(f"tenants/{TENANT}/jobs/*"), artifacts_arn(f"tenants/{TENANT}/models/*")),
    ),
    Grant(
        "ListModels",
        ("s3:ListBucket",),
        (artifacts_arn(),),
        {"StringLike": {"s3:prefix": [sub(f"tenants/{TENANT}/*")]}},
    ),
    Grant(
        "WriteLog",
        ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"),
        (arn("logs", f"log-group:{_ENDPOINT_LOGS}"),),
    ),
    put_metrics("/aws/sagemaker/Endpoints"),
    *PULL_IMAGES,
)


TRANSFORM = (
    Grant("ReadTenantData", ("s3:GetObject",), (artifacts_arn(f"tenants/{TENANT}/*"),)),
    Grant(
        "WriteAnswers",
        ("s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"),
        (artifacts_arn(f"tenants/{TENANT}/transforms/*"),),
    ),
    Grant(
        "ListTenantData",
        ("s3:ListBucket",),
        (artifacts_arn(),),
        {"StringLike": {"s3:prefix": [sub(f"tenants/{TENANT}/*")]}},
    ),
    Grant(
        "WriteLog",
        ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"),
        (names.log_group_arn(names.TRANSFORM_LOG_GROUP), names.log_group_arn(f"{names.TRANSFORM_LOG_GROUP}:*")),
    ),
    put_metrics("/aws/sagemaker/TransformJobs"),
    *PULL_IMAGES,
)
"""Data and answers, and none of the secrets and runs that a training job of the tenant may reach."""


def fragment() -> Json:
    on_sagemaker = (
        write_log(names.TRAINING_LOG_GROUP),
        put_metrics("/aws/sagemaker/TrainingJobs"),
        *PULL_IMAGES,
    )
    return {
        "Resources": {
            "TrainingPolicy": policy("Training jobs of one tenant", (*TRAIN, DECRYPT_SECRETS, *on_sagemaker)),
            "ServingPolicy": policy("Endpoints of one tenant", SERVE),
            "TransformingPolicy": policy("Batch transforms of one tenant", TRANSFORM),
        }
    }
