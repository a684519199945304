"""Lambda: what each function is told, and how much time and memory it gets.

Chalice makes the functions and their roles; this adds what Chalice has no words for. A function is told only what it
uses: a new use of a setting starts here.
"""

from __future__ import annotations

from dataclasses import dataclass

from infra import names
from infra.keys import NOTIFICATIONS_KEY, RECEIPT_KEY
from infra.logs import log_group_id
from infra.names import Function, Json, att, ref, stack_name, sub
from infra.parameters import when

_BATCH = "HasBatch"
_GPU_TYPES = tuple(queue for queue in names.BATCH_KINDS if queue != "cpu")
_WITHOUT_V100 = tuple(each for each in _GPU_TYPES if each != "v100")

SETTINGS: dict[str, Json | str] = {
    "STACK": ref("AWS::StackName"),
    "JOBS_TABLE": ref("JobsTable"),
    "METRICS_TABLE": ref("MetricsTable"),
    "MODELS_TABLE": ref("ModelsTable"),
    "DEPLOYMENTS_TABLE": ref("DeploymentsTable"),
    "EXPERIMENTS_TABLE": ref("ExperimentsTable"),
    "RETRAINING_TABLE": ref("RetrainingTable"),
    "RETRAINING_QUEUE": ref("RetrainingQueue"),
    "QUOTAS_TABLE": ref("QuotasTable"),
    "CAPACITY_TABLE": ref("CapacityTable"),
    "AUDIT_TABLE": ref("AuditTable"),
    "KEYS_TABLE": ref("KeysTable"),
    "KEY_PEPPER_ARN": att("KeyPepper", "Id"),
    "USAGE_TABLE": ref("UsageTable"),
    "RECEIPT_KEY_ARN": att(RECEIPT_KEY),
    "ARTIFACTS_BUCKET": ref("ArtifactsBucket"),
    "SECRETS_KEY": att("SecretsKey"),
    "TRAIN_JOB_ARN": ref("TrainJobStateMachine"),
    "TRAIN_JOB_EXECUTIONS": names.execution_arn("train-job"),
    "EVENT_BUS": ref("EventBus"),
    "EVENT_ARCHIVE_ARN": att("EventArchive"),
    "EVENTS_TABLE": ref("EventsTable"),
    "WEBHOOKS_TABLE": ref("WebhooksTable"),
    "WEBHOOKS_QUEUE": ref("WebhooksQueue"),
    "NOTIFICATIONS_KEY": att(NOTIFICATIONS_KEY),
    "RECONCILE_ARN": names.function("reconcile").arn,
    "EXPORT_ARN": names.function("export_job").arn,
    "DEPLOY_MODEL_ARN": ref("DeployModelStateMachine"),
    "UNDEPLOY_MODEL_ARN": ref("UndeployModelStateMachine"),
    # By its name: the machine calls a function that starts the machine.
    "SHIFT_TRAFFIC_ARN": names.machine_arn("shift-traffic"),
    "TRANSFORM_DATA_ARN": ref("TransformDataStateMachine"),
    "TENANT_ROLES": names.tenant_role_arn(),
    "TRAINING_POLICY_ARN": ref("TrainingPolicy"),
    "SERVING_POLICY_ARN": ref("ServingPolicy"),
    "TRANSFORMING_POLICY_ARN": ref("TransformingPolicy"),
    "BATCH_QUEUE_PREFIX": when(_BATCH, names.batch_queue_arn(""), ""),
    "BATCH_GPU_TYPES": when(_BATCH, when("HasBatchV100", ",".join(_GPU_TYPES), ",".join(_WITHOUT_V100)), ""),
    "BATCH_MAX_VCPUS": when(_BATCH, ref("BatchMaxCpus"), ""),
    "BATCH_DISK_GIB": when(_BATCH, ref("BatchDiskGiB"), ""),
    "BATCH_JOB_DEFINITION": when(_BATCH, ref("BatchJobDefinition"), ""),
    "TRAINING_QUEUE": ref("TrainingQueue"),
    "TRAINING_QUEUE_ORDER": ref("TrainingQueueOrder"),
    "TRAINING_QUEUE_SHARES": {"Fn::Join": [",", ref("TrainingQueueShares")]},
    "SPOT_RATES": ref("SpotInterruptionsPerHour"),
    "METRIC_RETENTION_DAYS": ref("MetricRetentionDays"),
    "BATCH_LOG_GROUP": sub(names.BATCH_LOG_GROUP),
    "TRAINING_LOG_GROUP": names.TRAINING_LOG_GROUP,
    "AGENT_URI": ref("AgentUri"),
    "MLFLOW_TRACKING_URI": ref("MlflowTrackingUri"),
    "TOKEN_ISSUER": ref("TokenIssuer"),
    "TOKEN_AUDIENCE": ref("TokenAudience"),
    "JWKS_URL": ref("JwksUrl"),
}
"""Every variable that a function may be given, without its prefix, and where its value comes from."""

PREFIX = "AIMATRIX_"


@dataclass(frozen=True)
class Shape:
    """What one function needs.

    Attributes:
        purpose: shown beside the function in the console.
        seconds: the longest one call may take.
        megabytes: memory; Lambda gives CPU in proportion, 1,769 MB being one core.
        settings: names out of `SETTINGS`.
    """

    purpose: str
    seconds: int
    megabytes: int
    settings: tuple[str, ...]


_ATTEMPTS = ("JOBS_TABLE", "USAGE_TABLE", "ARTIFACTS_BUCKET")
_CAPACITY = ("JOBS_TABLE", "CAPACITY_TABLE", "TRAINING_QUEUE")

_TRAINING_QUEUE = ("TRAINING_QUEUE", "TRAINING_QUEUE_ORDER", "TRAINING_QUEUE_SHARES")

_SWEEP = (
    *(
        *_ATTEMPTS,
        "STACK",
        "QUOTAS_TABLE",
        "CAPACITY_TABLE",
        "TRAINING_QUEUE",
        "TRAIN_JOB_ARN",
        "TRAIN_JOB_EXECUTIONS",
        "RECEIPT_KEY_ARN",
    ),
    *("BATCH_QUEUE_PREFIX", "BATCH_GPU_TYPES"),
    *("DEPLOYMENTS_TABLE", "MODELS_TABLE", "DEPLOY_MODEL_ARN", "UNDEPLOY_MODEL_ARN", "SHIFT_TRAFFIC_ARN"),
    "TRANSFORM_DATA_ARN",
)

SHAPES: dict[str, Shape] = {
    names.API: Shape(
        "All routes of the REST API",
        29,  # API Gateway hangs up after 29 s
        1769,
        (
            *("JOBS_TABLE", "METRICS_TABLE", "MODELS_TABLE", "DEPLOYMENTS_TABLE", "QUOTAS_TABLE", "ARTIFACTS_BUCKET"),
            *("KEYS_TABLE", "KEY_PEPPER_ARN", "AUDIT_TABLE", "CAPACITY_TABLE", "EXPERIMENTS_TABLE"),
            *("TRAIN_JOB_ARN", "DEPLOY_MODEL_ARN", "UNDEPLOY_MODEL_ARN", "SHIFT_TRAFFIC_ARN", "SECRETS_KEY"),
            "TRANSFORM_DATA_ARN",
            *("BATCH_GPU_TYPES", "BATCH_DISK_GIB", "BATCH_MAX_VCPUS", "BATCH_QUEUE_PREFIX"),
            *("TRAINING_LOG_GROUP", "BATCH_LOG_GROUP", *_TRAINING_QUEUE),
            *("USAGE_TABLE", "RECEIPT_KEY_ARN", "RECONCILE_ARN", "EXPORT_ARN", "SPOT_RATES"),
            *("STACK", "EVENT_BUS", "EVENT_ARCHIVE_ARN", "EVENTS_TABLE"),
            *("WEBHOOKS_TABLE", "WEBHOOKS_QUEUE", "NOTIFICATIONS_KEY"),
            *("RETRAINING_TABLE", "RETRAINING_QUEUE"),
        ),
    ),
    "authorize": Shape(
        "Verifies access tokens and API keys",
        10,
        1024,
        ("TOKEN_ISSUER", "TOKEN_AUDIENCE", "JWKS_URL", "KEYS_TABLE", "KEY_PEPPER_ARN"),
    ),
    "plan_job": Shape(
        "Decides what a job's next attempt runs on, and writes its specification",
        60,
        1024,
        (
            *(*_ATTEMPTS, "STACK", "TENANT_ROLES", "TRAINING_POLICY_ARN", "AGENT_URI", "MLFLOW_TRACKING_URI"),
            *("BATCH_QUEUE_PREFIX", "BATCH_JOB_DEFINITION", "CAPACITY_TABLE", *_TRAINING_QUEUE),
        ),
    ),
    "enqueue_attempt": Shape(
        "Submits an attempt to the operator's queue, and notes who waits for its end",
        60,
        512,
        ("JOBS_TABLE", "USAGE_TABLE"),
    ),
    "await_capacity": Shape("Notes which job waits for capacity", 30, 512, (*_CAPACITY, "USAGE_TABLE")),
    "admit_jobs": Shape("Admits jobs that wait for capacity, once a minute", 60, 512, (*_CAPACITY, "ARTIFACTS_BUCKET")),
    "assess_attempt": Shape(
        "Decides by cause what follows an attempt",
        30,
        512,
        (
            *(*_ATTEMPTS, "QUOTAS_TABLE", "CAPACITY_TABLE", *_TRAINING_QUEUE),
            *("BATCH_QUEUE_PREFIX", "BATCH_GPU_TYPES", "BATCH_DISK_GIB"),
        ),
    ),
    "register_model": Shape(
        "Registers a job's model, here and in MLflow",
        120,
        1024,
        (
            *("JOBS_TABLE", "MODELS_TABLE", "USAGE_TABLE", "AUDIT_TABLE", "ARTIFACTS_BUCKET", "MLFLOW_TRACKING_URI"),
            *_TRAINING_QUEUE,
        ),
    ),
    "finish_job": Shape(
        "Ends a job: the one way to every outcome",
        60,
        1024,
        (*_ATTEMPTS, "QUOTAS_TABLE", "CAPACITY_TABLE", "TRAINING_QUEUE", "TRAIN_JOB_EXECUTIONS", "RECEIPT_KEY_ARN"),
    ),
    "reconcile": Shape(
        "Compares open jobs and deployments with what drives and runs them",
        900,
        1024,
        (*_SWEEP, "RETRAINING_TABLE", "RETRAINING_QUEUE"),
    ),
    "on_execution_event": Shape("Ends what an execution ended without ending", 120, 1024, _SWEEP),
    "on_training_event": Shape(
        "Looks at a job again when its backend reports a change", 30, 512, (*_ATTEMPTS, *_TRAINING_QUEUE)
    ),
    "ingest_logs": Shape(
        "Turns structured log lines into metrics and progress",
        60,
        1024,
        ("JOBS_TABLE", "METRICS_TABLE", "METRIC_RETENTION_DAYS", "USAGE_TABLE", "ARTIFACTS_BUCKET", *_TRAINING_QUEUE),
    ),
    "export_job": Shape(
        "Writes a job's log and metrics to S3",
        900,
        1024,
        ("JOBS_TABLE", "METRICS_TABLE", "ARTIFACTS_BUCKET", "TRAINING_LOG_GROUP", "BATCH_LOG_GROUP"),
    ),
    "check_quotas": Shape(
        "Compares every quota counter with the records", 900, 1024, ("STACK", "JOBS_TABLE", "QUOTAS_TABLE")
    ),
    "plan_deployment": Shape(
        "Decides how a model is served",
        30,
        512,
        ("STACK", "DEPLOYMENTS_TABLE", "MODELS_TABLE", "TENANT_ROLES", "SERVING_POLICY_ARN"),
    ),
    "await_endpoint": Shape("Notes who waits for an endpoint", 30, 512, ("DEPLOYMENTS_TABLE",)),
    "on_endpoint_event": Shape("Answers who waits for an endpoint", 30, 512, ("DEPLOYMENTS_TABLE",)),
    "smoke_test": Shape("Asks a new endpoint for one prediction", 120, 512, ("DEPLOYMENTS_TABLE", "MODELS_TABLE")),
    "finish_deployment": Shape(
        "Ends a deployment: the one way to every outcome", 60, 512, ("DEPLOYMENTS_TABLE", "MODELS_TABLE")
    ),
    "advance_rollout": Shape(
        "Takes a rollout's turn: looks at its gates, and asks for the next weights",
        50,
        1024,
        (
            *("DEPLOYMENTS_TABLE", "MODELS_TABLE", "EXPERIMENTS_TABLE", "AUDIT_TABLE", "ARTIFACTS_BUCKET"),
            *("DEPLOY_MODEL_ARN", "SHIFT_TRAFFIC_ARN"),
        ),
    ),
    "deploy_ready_models": Shape(
        "Deploys models that are good enough, by the policy of their name",
        60,
        512,
        (
            *("DEPLOYMENTS_TABLE", "MODELS_TABLE", "EXPERIMENTS_TABLE", "AUDIT_TABLE"),
            *("DEPLOY_MODEL_ARN", "UNDEPLOY_MODEL_ARN", "SHIFT_TRAFFIC_ARN"),
        ),
    ),
    "retrain": Shape(
        "Makes training jobs of uploads, by the policies of retraining",
        120,
        1024,
        (
            *_ATTEMPTS,
            *("RETRAINING_TABLE", "RETRAINING_QUEUE", "QUOTAS_TABLE", "CAPACITY_TABLE", "AUDIT_TABLE"),
            *("DEPLOYMENTS_TABLE", "MODELS_TABLE", "EXPERIMENTS_TABLE", "EVENTS_TABLE"),
            *("TRAIN_JOB_ARN", "DEPLOY_MODEL_ARN", "UNDEPLOY_MODEL_ARN", "SHIFT_TRAFFIC_ARN"),
            *("TRAINING_QUEUE", "BATCH_GPU_TYPES", "BATCH_DISK_GIB", "SPOT_RATES", "SECRETS_KEY"),
        ),
    ),
    "steer_traffic": Shape(
        "Splits an endpoint's requests as the last look of an experiment says",
        60,
        512,
        ("EXPERIMENTS_TABLE", "DEPLOYMENTS_TABLE", "MODELS_TABLE", "AUDIT_TABLE", "DEPLOY_MODEL_ARN"),
    ),
    "plan_transform": Shape(
        "Decides how a model is asked for its answers to a dataset",
        30,
        512,
        ("STACK", "DEPLOYMENTS_TABLE", "MODELS_TABLE", "ARTIFACTS_BUCKET", "TENANT_ROLES", "TRANSFORMING_POLICY_ARN"),
    ),
    "finish_transform": Shape(
        "Ends a transform: the one way to every outcome", 60, 512, ("DEPLOYMENTS_TABLE", "MODELS_TABLE")
    ),
    "publish_events": Shape(
        "Puts changes of records on the bus, as events", 60, 512, ("STACK", "EVENT_BUS", "EVENTS_TABLE")
    ),
    "deliver_webhooks": Shape(
        "Sends events to webhooks, and again what they have not taken",
        60,
        1024,
        ("WEBHOOKS_TABLE", "WEBHOOKS_QUEUE", "NOTIFICATIONS_KEY", "JOBS_TABLE"),
    ),
    "note_dead_letters": Shape("Keeps what could not be published or delivered", 60, 512, ("STACK", "EVENTS_TABLE")),
    "record_history": Shape("Notes every change of a job's record in its ledger", 60, 512, ("JOBS_TABLE",)),
    "chain_audit": Shape("Seals the audit log: puts its entries in order and chains them", 60, 512, ("AUDIT_TABLE",)),
}


def _function(function: Function) -> Json:
    shape = SHAPES[function.name]
    return {
        "Properties": {
            "FunctionName": stack_name(function.dashed),
            "Description": shape.purpose,
            "Environment": {"Variables": {PREFIX + name: SETTINGS[name] for name in shape.settings}},
            # The reference makes the group before the function: Lambda would make one that keeps its lines for ever.
            "LoggingConfig": {"LogGroup": ref(log_group_id(function.logical_id))},
        }
    }


def fragment() -> Json:
    return {"Resources": {function.logical_id: _function(function) for function in names.FUNCTIONS}}
