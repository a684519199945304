"""What can be granted to a function: each capability has a name, and IAM's own words for it.

Resources are exact names or ARN patterns with our prefix; the physical names stand in `infra.names`. Everything is an
`Fn::Sub` of the stack's name and never a reference to a resource: a function that may signal a state machine and a state
machine that may call the function would otherwise wait for each other at creation.
"""

from __future__ import annotations

from chalicelib.costs.prices import service_prices
from chalicelib.tenants.roles import TAG
from infra import names
from infra.grants import Grant
from infra.keys import BOUND_TO_A_VARIABLE, BOUND_TO_A_WEBHOOK, NOTIFICATIONS_KEY, RECEIPT_KEY, SECRETS_KEY
from infra.names import (
    NAME_PREFIX,
    Json,
    arn,
    artifacts_arn,
    execution_arn,
    log_group_arn,
    machine_arn,
    sagemaker_arn,
    table_arn,
)

READ_ITEMS = ("dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:ConditionCheckItem")
WRITE_ITEMS = ("dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem")


def read(table: str) -> Grant:
    return Grant(f"Read{names.pascal(table)}", READ_ITEMS, (table_arn(table), table_arn(table, "/index/*")))


def read_and_write(table: str) -> Grant:
    actions = (*READ_ITEMS, *WRITE_ITEMS)
    return Grant(f"ReadAndWrite{names.pascal(table)}", actions, (table_arn(table), table_arn(table, "/index/*")))


def read_stream(table: str) -> Grant:
    """What Lambda needs, in the function's name, to call it for a table's changes."""
    actions = ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")
    return Grant(
        f"Read{names.pascal(table)}Stream",
        tuple(f"dynamodb:{action}" for action in actions),
        (table_arn(table, "/stream/*"),),
    )


def _in_partitions(pattern: str) -> Json:
    return {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [pattern]}}


# The audit log is appended to. Who acts may put an entry into an inbox, and no more; only the sealing function writes rows,
# and takes nothing out but from an inbox.
RECORD_AUDIT = Grant("RecordAudit", ("dynamodb:PutItem",), (table_arn("audit"),), _in_partitions("inbox#*"))
SEAL_AUDIT = (
    Grant("AppendAudit", ("dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem"), (table_arn("audit"),)),
    Grant("EmptyAuditInbox", ("dynamodb:DeleteItem",), (table_arn("audit"),), _in_partitions("inbox#*")),
)
KEEP_METRICS = Grant(
    "KeepMetrics",
    ("dynamodb:Query", "dynamodb:BatchWriteItem", "dynamodb:PutItem", "dynamodb:UpdateItem"),
    (table_arn("metrics"),),
)
# Counters alone: with these attributes no row of the usage log and no receipt can be altered. A change always names its key
# and what it changes, so there is no request without attributes that the condition would let pass.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html
COUNT_USAGE = Grant(
    "CountUsage",
    ("dynamodb:UpdateItem",),
    (table_arn("usage"),),
    {"ForAllValues:StringEquals": {"dynamodb:Attributes": ["pk", "sk", *service_prices()]}},
)
LOG_USAGE = Grant("LogUsage", ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"), (table_arn("usage"),))
SIGN_RECEIPTS = Grant("SignReceipts", ("kms:Sign",), (names.att(RECEIPT_KEY),))
SHOW_RECEIPT_KEY = Grant("ShowReceiptKey", ("kms:GetPublicKey",), (names.att(RECEIPT_KEY),))
COUNT_TRANSITIONS = Grant("CountTransitions", ("states:GetExecutionHistory",), (execution_arn("train-job", "*"),))
SETTLE_QUOTAS = Grant("SettleQuotas", ("dynamodb:UpdateItem",), (table_arn("quotas"),))
# The check changes no account: it keeps how far it has come, and nothing else.
KEEP_CHECK_ROUND = Grant("KeepCheckRound", ("dynamodb:PutItem",), (table_arn("quotas"),), _in_partitions("check"))
READ_ARTIFACTS = Grant("ReadArtifacts", ("s3:GetObject",), (artifacts_arn("tenants/*"),))
LIST_ARTIFACTS = Grant(
    # Without ListBucket S3 answers 403 for a missing object, and "not there" could not be told from "not allowed".
    "ListArtifacts",
    ("s3:ListBucket",),
    (artifacts_arn(),),
    {"StringLike": {"s3:prefix": ["tenants/*"]}},
)
# HeadObject carries no prefix, so the 404 of a missing object needs the bucket without a condition on it.
TELL_MISSING_ARTIFACTS = Grant(
    "TellMissingArtifacts", ("s3:ListBucket",), (artifacts_arn(),), {"Null": {"s3:prefix": "true"}}
)
DELETE_FILES = Grant(
    "DeleteFiles", ("s3:DeleteObject",), (artifacts_arn("tenants/*/jobs/*"), artifacts_arn("tenants/*/models/*"))
)
SIGN_UPLOADS = Grant("SignUploads", ("s3:PutObject",), (artifacts_arn("tenants/*/users/*"),))
KEEP_MODELS = Grant("KeepModels", ("s3:PutObject",), (artifacts_arn("tenants/*/models/*"),))
WRITE_SPECIFICATIONS = Grant("WriteSpecifications", ("s3:PutObject",), (artifacts_arn("tenants/*/jobs/*"),))
ENCRYPT_SECRETS = Grant("EncryptSecrets", ("kms:Encrypt",), (names.att(SECRETS_KEY),), BOUND_TO_A_VARIABLE)
READ_AGENT = Grant("ReadAgent", ("s3:GetObject",), (names.AGENT_ARN,))
READ_KEY_PEPPER = Grant("ReadKeyPepper", ("secretsmanager:GetSecretValue",), (names.att("KeyPepper", "Id"),))
VERIFY_KEYS = Grant("VerifyKeys", ("dynamodb:GetItem", "dynamodb:UpdateItem"), (table_arn("keys"),))
START_MACHINES = Grant("StartMachines", ("states:StartExecution",), tuple(machine_arn(m) for m in names.MACHINES))
DESCRIBE_EXECUTIONS = Grant(
    "DescribeExecutions", ("states:DescribeExecution",), tuple(execution_arn(m, "*") for m in names.MACHINES)
)
CALL_FUNCTIONS = Grant(
    "CallFunctions", ("lambda:InvokeFunction",), tuple(names.function(f).arn for f in ("reconcile", "export_job"))
)
LIST_CAPTURES = Grant(
    "ListCaptures", ("s3:ListBucket",), (artifacts_arn(),), {"StringLike": {"s3:prefix": ["captures/*"]}}
)
READ_CAPTURES = (Grant("ReadCaptures", ("s3:GetObject",), (artifacts_arn("captures/*"),)), LIST_CAPTURES)
CAPTURE_REQUESTS = (
    Grant("KeepCaptures", ("s3:PutObject", "s3:GetObject"), (artifacts_arn("captures/*"),)),
    LIST_CAPTURES,
)
WRITE_EXPORTS = Grant("WriteExports", ("s3:PutObject",), (artifacts_arn("tenants/*/jobs/*/export/*"),))
FIND_TRAINING = (
    Grant("ListTraining", ("sagemaker:ListTrainingJobs",), ("*",)),
    Grant("ReadTrainingTags", ("sagemaker:ListTags",), (sagemaker_arn("training-job"),)),
)
ANSWER_DEPLOYMENTS = Grant(
    "AnswerDeployments", ("states:SendTaskSuccess", "states:SendTaskFailure"), (machine_arn("deploy-model"),)
)
ANSWER_JOBS = Grant("AnswerJobs", ("states:SendTaskSuccess",), (machine_arn("train-job"),))
DESCRIBE_TRAINING = Grant("DescribeTraining", ("sagemaker:DescribeTrainingJob",), (sagemaker_arn("training-job"),))
STOP_TRAINING = Grant("StopTraining", ("sagemaker:StopTrainingJob",), (sagemaker_arn("training-job"),))
_HAS_QUEUE = "HasTrainingQueue"
_SERVICE_JOBS = (arn("batch", "service-job/*"),)
FIND_QUEUED = (
    Grant("FindQueued", ("batch:ListServiceJobs", "batch:DescribeServiceJob"), ("*",), when=_HAS_QUEUE),
    # Batch gives the training jobs that it makes a name of its own.
    Grant("DescribeQueuedTraining", ("sagemaker:DescribeTrainingJob",), (names.QUEUED_TRAINING_ARN,), when=_HAS_QUEUE),
)
STOP_QUEUED = Grant("StopQueued", ("batch:TerminateServiceJob",), _SERVICE_JOBS, when=_HAS_QUEUE)
QUEUED = (*FIND_QUEUED, STOP_QUEUED)
ENQUEUE = (
    Grant(
        "Enqueue",
        ("batch:SubmitServiceJob", "batch:TagResource"),
        (names.ref("TrainingQueue"), names.QUOTA_SHARES_ARN, *_SERVICE_JOBS),
        when=_HAS_QUEUE,
    ),
    Grant(
        "PassQueuedTrainingRole",
        ("iam:PassRole",),
        (names.tenant_role_arn("training"),),
        {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        when=_HAS_QUEUE,
    ),
)
LOOK_INTO_TRAINING_QUEUE = (
    Grant(
        "LookIntoTrainingQueue",
        ("batch:GetJobQueueSnapshot", "batch:ListQuotaShares"),
        (names.ref("TrainingQueue"),),
        when=_HAS_QUEUE,
    ),
    Grant(
        "DescribeTrainingQueue",
        ("batch:DescribeJobQueues", "batch:DescribeServiceEnvironments"),
        ("*",),
        when=_HAS_QUEUE,
    ),
)
READ_SERVICE_JOB_TAGS = Grant("ReadServiceJobTags", ("batch:ListTagsForResource",), _SERVICE_JOBS, when=_HAS_QUEUE)
DESCRIBE_BATCH = Grant("DescribeBatch", ("batch:DescribeJobs", "batch:ListJobs"), ("*",))
LOOK_INTO_BATCH_QUEUES = Grant(
    "LookIntoBatchQueues", ("batch:GetJobQueueSnapshot",), (names.batch_queue_arn("*"),), when="HasBatch"
)
FIND_BATCH_DEFINITIONS = Grant("FindBatchDefinitions", ("batch:DescribeJobDefinitions",), ("*",))
STOP_BATCH = Grant("StopBatch", ("batch:TerminateJob",), (arn("batch", "job/*"),))
DEFINE_BATCH_JOBS = Grant(
    "DefineBatchJobs",
    ("batch:RegisterJobDefinition", "batch:TagResource"),
    (arn("batch", f"job-definition/{NAME_PREFIX}${{AWS::StackName}}-*"),),
)
PASS_BATCH_ROLE = Grant(
    "PassBatchRole",
    ("iam:PassRole",),
    (names.tenant_role_arn("training"),),
    {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
    when="HasBatch",
)


def make_roles(purpose: str) -> tuple[Grant, ...]:
    """Roles for tenants, none of which can do more than the template's policy: it is their boundary."""
    policy = names.ref(f"{names.pascal(purpose)}Policy")
    roles = (names.tenant_role_arn(purpose),)
    return (
        Grant("MakeTenantRoles", ("iam:CreateRole",), roles, {"StringEquals": {"iam:PermissionsBoundary": policy}}),
        # A role gets its tenant when it is made, and never another one.
        Grant("NameTheirTenant", ("iam:TagRole",), roles, {"Null": {f"aws:ResourceTag/{TAG}": "true"}}),
        Grant("AttachTheirPolicy", ("iam:AttachRolePolicy",), roles, {"ArnEquals": {"iam:PolicyARN": policy}}),
    )


READ_TRAINING_LOGS = (
    Grant(
        "SearchTrainingLogs",
        ("logs:FilterLogEvents", "logs:DescribeLogStreams"),
        tuple(log_group_arn(g + end) for g in (names.TRAINING_LOG_GROUP, names.BATCH_LOG_GROUP) for end in ("", ":*")),
    ),
    Grant(
        "ReadTrainingLogs",
        ("logs:GetLogEvents",),
        tuple(
            log_group_arn(g + end)
            for g in (names.TRAINING_LOG_GROUP, names.BATCH_LOG_GROUP)
            for end in ("", f":log-stream:{NAME_PREFIX}*")
        ),
    ),
)
# Neither action knows a resource for a quota's value.
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_servicequotas.html
READ_SERVICE_QUOTAS = Grant(
    "ReadServiceQuotas", ("servicequotas:ListServiceQuotas", "servicequotas:GetServiceQuota"), ("*",)
)
DESCRIBE_ENDPOINTS = Grant("DescribeEndpoints", ("sagemaker:DescribeEndpoint",), (sagemaker_arn("endpoint"),))
FIND_ENDPOINTS = (
    Grant("ListEndpoints", ("sagemaker:ListEndpoints",), ("*",)),
    Grant("ReadEndpointTags", ("sagemaker:ListTags",), (sagemaker_arn("endpoint"),)),
)
DELETE_ENDPOINTS = Grant("DeleteEndpoints", ("sagemaker:DeleteEndpoint",), (sagemaker_arn("endpoint"),))
TAKE_BACK_ENDPOINTS = Grant(
    "TakeBackEndpoints",
    ("sagemaker:UpdateEndpoint",),
    (sagemaker_arn("endpoint"), sagemaker_arn("endpoint-config")),
)
WEIGH_ENDPOINTS = Grant(
    "WeighEndpoints", ("sagemaker:UpdateEndpointWeightsAndCapacities",), (sagemaker_arn("endpoint"),)
)
# A target is named by an ARN that AWS makes up. Whoever registers one also needs what is then done in its name, and the
# first time in an account the role that does it:
# https://docs.aws.amazon.com/autoscaling/application/userguide/security-iam-service-with-iam.html
_SCALABLE_TARGETS = (arn("application-autoscaling", "scalable-target/*"),)
_SCALING_ALARMS = (arn("cloudwatch", f"alarm:TargetTracking-endpoint/{NAME_PREFIX}*"),)
STOP_SCALING = (
    Grant("StopScaling", ("application-autoscaling:DeregisterScalableTarget",), _SCALABLE_TARGETS),
    Grant("DeleteScalingAlarms", ("cloudwatch:DeleteAlarms",), _SCALING_ALARMS),
)
SEE_SCALING = Grant(
    "SeeScaling",
    ("application-autoscaling:DescribeScalableTargets", "application-autoscaling:DescribeScalingPolicies"),
    ("*",),
)
SEE_SCALING_ACTIVITIES = Grant("SeeScalingActivities", ("application-autoscaling:DescribeScalingActivities",), ("*",))
SCALE_ENDPOINTS = (
    Grant(
        "ScaleEndpoints",
        ("application-autoscaling:RegisterScalableTarget", "application-autoscaling:PutScalingPolicy"),
        _SCALABLE_TARGETS,
    ),
    Grant("SetScalingAlarms", ("cloudwatch:PutMetricAlarm",), _SCALING_ALARMS),
    SEE_SCALING,
    Grant("MakeScalingRole", ("iam:CreateServiceLinkedRole",), (names.SCALING_ROLE_ARN,)),
)
DELETE_REVISIONS = Grant(
    "DeleteRevisions",
    ("sagemaker:DeleteEndpointConfig", "sagemaker:DeleteModel"),
    (sagemaker_arn("endpoint-config"), sagemaker_arn("model")),
)
DELETE_MODELS = Grant("DeleteModels", ("sagemaker:DeleteModel",), (sagemaker_arn("model"),))
STOP_TRANSFORMS = Grant("StopTransforms", ("sagemaker:StopTransformJob",), (sagemaker_arn("transform-job"),))
DESCRIBE_TRANSFORMS = Grant(
    "DescribeTransforms", ("sagemaker:DescribeTransformJob",), (sagemaker_arn("transform-job"),)
)
INVOKE_ENDPOINTS = Grant("InvokeEndpoints", ("sagemaker:InvokeEndpoint",), (sagemaker_arn("endpoint"),))
REGISTER_IN_MLFLOW = Grant(
    "RegisterInMlflow",
    (
        "sagemaker-mlflow:CreateModelVersion",
        "sagemaker-mlflow:CreateRegisteredModel",
        "sagemaker-mlflow:GetLoggedModel",
        "sagemaker-mlflow:GetModelVersion",
        "sagemaker-mlflow:GetModelVersionByAlias",
        "sagemaker-mlflow:GetRegisteredModel",
        "sagemaker-mlflow:GetRun",
        "sagemaker-mlflow:SearchModelVersions",
        "sagemaker-mlflow:SetModelVersionTag",
        "sagemaker-mlflow:SetRegisteredModelAlias",
        "sagemaker-mlflow:SetTag",
        "sagemaker-mlflow:UpdateModelVersion",
        "sagemaker-mlflow:UpdateRun",
    ),
    (names.ref("MlflowTrackingServerArn"),),
    when="ManagedMlflow",
)

PUBLISHED_TABLES = ("jobs", "models", "deployments", "metrics", "audit", "webhooks")
"""Tables whose changes become events."""

_BUS = arn("events", "event-bus/${AWS::StackName}")
PUBLISH_EVENTS = Grant("PublishEvents", ("events:PutEvents",), (_BUS,))
KEEP_DEAD_LETTERS = Grant("KeepDeadLetters", ("dynamodb:PutItem", "dynamodb:UpdateItem"), (table_arn("events"),))
TAKE_DEAD_LETTERS = Grant(
    "TakeDeadLetters",
    ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
    (arn("sqs", "${AWS::StackName}-publish-events-dead"),),
)
READ_STREAMS_AGAIN = (
    Grant(
        "ReadStreamsAgain",
        ("dynamodb:GetShardIterator", "dynamodb:GetRecords"),
        tuple(table_arn(table, "/stream/*") for table in PUBLISHED_TABLES),
    ),
)
REPLAY_EVENTS = (
    Grant(
        "ReplayEvents",
        ("events:StartReplay", "events:DescribeReplay"),
        (names.att("EventArchive"), _BUS, arn("events", "replay/aimatrix-*")),
    ),
    Grant("FindRules", ("events:DescribeRule",), (arn("events", "rule/${AWS::StackName}/*"),)),
)

_WEBHOOKS_QUEUE = (arn("sqs", "${AWS::StackName}-webhooks"),)
WAKE_WEBHOOKS = Grant("WakeWebhooks", ("sqs:SendMessage",), _WEBHOOKS_QUEUE)
_TAKE = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
TAKE_IN_EVENTS = Grant("TakeInEvents", _TAKE, _WEBHOOKS_QUEUE)
TAKE_IN_MODELS = Grant("TakeInModels", _TAKE, (arn("sqs", "${AWS::StackName}-ready-models"),))
_RETRAINING_QUEUE = (arn("sqs", "${AWS::StackName}-retraining"),)
HAVE_RUNS_LOOKED_AT = Grant("HaveRunsLookedAt", ("sqs:SendMessage",), _RETRAINING_QUEUE)
TAKE_IN_UPLOADS = Grant("TakeInUploads", _TAKE, _RETRAINING_QUEUE)
LIST_DATA = (
    Grant("ListVersions", ("s3:ListBucketVersions",), (artifacts_arn(),)),
    Grant("WriteManifests", ("s3:PutObject",), (artifacts_arn("tenants/*/retraining/*"),)),
)
SEAL_WEBHOOK_SECRETS = Grant(
    "SealWebhookSecrets", ("kms:Encrypt",), (names.att(NOTIFICATIONS_KEY),), BOUND_TO_A_WEBHOOK
)
OPEN_WEBHOOK_SECRETS = Grant(
    "OpenWebhookSecrets", ("kms:Decrypt",), (names.att(NOTIFICATIONS_KEY),), BOUND_TO_A_WEBHOOK
)
