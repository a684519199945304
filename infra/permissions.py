"""Who may do what: one table, from which the policies of the functions and the documentation are made.

Read it as sentences: "`finish_job` may read and write jobs, read artifacts, describe and stop training". What the words mean
stands in `capabilities.py`.
"""

from __future__ import annotations

from infra import capabilities as may
from infra import names
from infra.grants import Grant
from infra.names import Function, arn, log_group_arn, machine_arn, table_arn

_WRITTEN_ELSEWHERE = ("audit", "usage")
"""Tables that the API does not change, but for entries and counts that it adds."""

END_JOBS = (
    may.read_and_write("jobs"),
    may.LOG_USAGE,
    may.SIGN_RECEIPTS,
    may.COUNT_TRANSITIONS,
    may.SETTLE_QUOTAS,
    may.read_and_write("capacity"),
    may.ANSWER_JOBS,
    may.READ_ARTIFACTS,
    may.TELL_MISSING_ARTIFACTS,
    may.DESCRIBE_TRAINING,
    may.DESCRIBE_BATCH,
    may.STOP_TRAINING,
    may.STOP_BATCH,
    *may.QUEUED,
)
"""What the one way to every terminal status needs."""

DRIVE_DEPLOYMENTS = Grant(
    "DriveDeployments",
    ("states:StartExecution",),
    tuple(machine_arn(machine) for machine in ("deploy-model", "shift-traffic")),
)
FIND_ALARMS = Grant("FindAlarms", ("cloudwatch:DescribeAlarms",), ("*",))
WATCH_TRAFFIC = Grant("WatchTraffic", ("cloudwatch:GetMetricData", "cloudwatch:DescribeAlarms"), ("*",))

SETTLE_DEPLOYMENTS = (
    may.read_and_write("deployments"),
    may.read_and_write("models"),
    may.DESCRIBE_ENDPOINTS,
    may.TAKE_BACK_ENDPOINTS,
    may.WEIGH_ENDPOINTS,
    may.DELETE_ENDPOINTS,
    may.DELETE_REVISIONS,
    *may.SCALE_ENDPOINTS,
)
"""What the one way to every settled status of a deployment needs."""

REPAIR = (
    *END_JOBS,
    *SETTLE_DEPLOYMENTS,
    may.DESCRIBE_TRANSFORMS,
    may.STOP_TRANSFORMS,
    may.DESCRIBE_EXECUTIONS,
    may.START_MACHINES,
)
"""What the reconciler needs for what it knows the name of; a sweep has to find it first."""

FUNCTION_GRANTS: dict[str, tuple[Grant, ...]] = {
    names.API: (
        *(may.read_and_write(table) for table in names.TABLES if table not in _WRITTEN_ELSEWHERE),
        *(may.read(table) for table in _WRITTEN_ELSEWHERE),
        may.RECORD_AUDIT,
        may.COUNT_USAGE,
        may.SHOW_RECEIPT_KEY,
        may.READ_ARTIFACTS,
        may.LIST_ARTIFACTS,
        may.TELL_MISSING_ARTIFACTS,
        may.DELETE_FILES,
        may.SIGN_UPLOADS,
        may.KEEP_MODELS,
        *may.CAPTURE_REQUESTS,
        may.ENCRYPT_SECRETS,
        may.START_MACHINES,
        may.CALL_FUNCTIONS,
        may.ANSWER_JOBS,
        may.STOP_TRAINING,
        may.STOP_TRANSFORMS,
        may.DESCRIBE_BATCH,
        may.LOOK_INTO_BATCH_QUEUES,
        *may.LOOK_INTO_TRAINING_QUEUE,
        *may.QUEUED,
        may.STOP_BATCH,
        may.READ_SERVICE_QUOTAS,
        *may.READ_TRAINING_LOGS,
        may.INVOKE_ENDPOINTS,
        may.DESCRIBE_ENDPOINTS,
        may.SEE_SCALING,
        may.SEE_SCALING_ACTIVITIES,
        FIND_ALARMS,
        may.READ_KEY_PEPPER,
        may.PUBLISH_EVENTS,
        *may.REPLAY_EVENTS,
        may.WAKE_WEBHOOKS,
        may.SEAL_WEBHOOK_SECRETS,
        may.HAVE_RUNS_LOOKED_AT,
    ),
    "authorize": (may.VERIFY_KEYS, may.READ_KEY_PEPPER),
    "plan_job": (
        may.read_and_write("jobs"),
        may.COUNT_USAGE,
        may.read_and_write("capacity"),
        may.ANSWER_JOBS,
        may.READ_ARTIFACTS,
        may.LIST_ARTIFACTS,
        may.TELL_MISSING_ARTIFACTS,
        may.WRITE_SPECIFICATIONS,
        may.READ_AGENT,
        may.DESCRIBE_TRAINING,
        may.DESCRIBE_BATCH,
        may.FIND_BATCH_DEFINITIONS,
        may.STOP_TRAINING,
        *may.QUEUED,
        may.DEFINE_BATCH_JOBS,
        may.PASS_BATCH_ROLE,
        *may.make_roles("training"),
    ),
    "await_capacity": (may.read("jobs"), may.read_and_write("capacity"), may.COUNT_USAGE, may.ANSWER_JOBS),
    "admit_jobs": (
        may.read("jobs"),
        may.read_and_write("capacity"),
        may.ANSWER_JOBS,
        may.LIST_ARTIFACTS,
        may.STOP_TRAINING,
    ),
    "enqueue_attempt": (may.read_and_write("jobs"), may.COUNT_USAGE, may.ANSWER_JOBS, *may.QUEUED, *may.ENQUEUE),
    "assess_attempt": (
        may.read_and_write("jobs"),
        may.COUNT_USAGE,
        may.read_and_write("quotas"),
        may.read_and_write("capacity"),
        may.ANSWER_JOBS,
        may.READ_ARTIFACTS,
        may.TELL_MISSING_ARTIFACTS,
        may.DESCRIBE_TRAINING,
        may.DESCRIBE_BATCH,
        *may.FIND_QUEUED,
    ),
    "register_model": (
        may.read_and_write("jobs"),
        may.COUNT_USAGE,
        may.read_and_write("models"),
        may.RECORD_AUDIT,
        may.READ_ARTIFACTS,
        may.TELL_MISSING_ARTIFACTS,
        may.REGISTER_IN_MLFLOW,
    ),
    "finish_job": END_JOBS,
    "reconcile": (
        *REPAIR,
        may.read("quotas"),
        may.read("retraining"),
        may.HAVE_RUNS_LOOKED_AT,
        *may.FIND_TRAINING,
        *may.FIND_ENDPOINTS,
    ),
    "on_execution_event": REPAIR,
    "on_training_event": (
        may.read_and_write("jobs"),
        may.COUNT_USAGE,
        may.DESCRIBE_TRAINING,
        may.DESCRIBE_BATCH,
        may.STOP_TRAINING,
        may.STOP_BATCH,
        *may.QUEUED,
        may.READ_SERVICE_JOB_TAGS,
        may.ANSWER_JOBS,
    ),
    "export_job": (
        Grant("KeepExports", (*may.READ_ITEMS, "dynamodb:PutItem"), (table_arn("jobs"),)),
        may.read("metrics"),
        *may.READ_TRAINING_LOGS,
        may.DESCRIBE_TRAINING,
        may.DESCRIBE_BATCH,
        *may.QUEUED,
        may.WRITE_EXPORTS,
    ),
    "ingest_logs": (
        Grant(
            "ReadAndUpdateJobs",
            (*may.READ_ITEMS, "dynamodb:PutItem", "dynamodb:UpdateItem"),
            (table_arn("jobs"),),
        ),
        may.COUNT_USAGE,
        may.KEEP_METRICS,
    ),
    "check_quotas": (may.read("jobs"), may.read("quotas"), may.KEEP_CHECK_ROUND),
    "plan_deployment": (
        may.read("deployments"),
        may.read("models"),
        may.DESCRIBE_ENDPOINTS,
        may.WEIGH_ENDPOINTS,
        may.DELETE_ENDPOINTS,
        may.DELETE_REVISIONS,
        *may.STOP_SCALING,
        *may.make_roles("serving"),
    ),
    "await_endpoint": (may.read_and_write("deployments"), may.DESCRIBE_ENDPOINTS, may.ANSWER_DEPLOYMENTS),
    "on_endpoint_event": (may.read_and_write("deployments"), may.DESCRIBE_ENDPOINTS, may.ANSWER_DEPLOYMENTS),
    "smoke_test": (may.read("models"), may.read_and_write("deployments"), may.INVOKE_ENDPOINTS),
    "finish_deployment": SETTLE_DEPLOYMENTS,
    "plan_transform": (may.read("deployments"), may.read("models"), *may.make_roles("transforming")),
    "finish_transform": (
        may.read_and_write("deployments"),
        may.read_and_write("models"),
        may.DESCRIBE_TRANSFORMS,
        may.STOP_TRANSFORMS,
        may.DELETE_MODELS,
    ),
    "advance_rollout": (
        may.read_and_write("deployments"),
        may.read_and_write("models"),
        may.read("experiments"),
        may.RECORD_AUDIT,
        may.DESCRIBE_ENDPOINTS,
        may.TAKE_BACK_ENDPOINTS,
        may.WEIGH_ENDPOINTS,
        WATCH_TRAFFIC,
        *may.READ_CAPTURES,
        DRIVE_DEPLOYMENTS,
    ),
    "deploy_ready_models": (
        may.read_and_write("deployments"),
        may.read_and_write("models"),
        may.read("experiments"),
        FIND_ALARMS,
        may.RECORD_AUDIT,
        DRIVE_DEPLOYMENTS,
        may.TAKE_IN_MODELS,
    ),
    "retrain": (
        may.read_and_write("retraining"),
        may.read_and_write("jobs"),
        may.read_and_write("quotas"),
        may.read_and_write("capacity"),
        may.read_and_write("deployments"),
        may.read_and_write("models"),
        may.read("experiments"),
        may.RECORD_AUDIT,
        may.COUNT_USAGE,
        may.KEEP_DEAD_LETTERS,
        may.READ_ARTIFACTS,
        may.LIST_ARTIFACTS,
        may.TELL_MISSING_ARTIFACTS,
        *may.LIST_DATA,
        may.START_MACHINES,
        may.ANSWER_JOBS,
        may.STOP_TRAINING,
        may.DESCRIBE_BATCH,
        may.STOP_BATCH,
        *may.QUEUED,
        FIND_ALARMS,
        may.TAKE_IN_UPLOADS,
        may.HAVE_RUNS_LOOKED_AT,
    ),
    "steer_traffic": (
        may.read_and_write("experiments"),
        may.read_and_write("deployments"),
        may.RECORD_AUDIT,
        Grant("WeighEndpointsAnew", ("states:StartExecution",), (machine_arn("deploy-model"),)),
        may.read_stream("experiments"),
        may.read_stream("deployments"),
    ),
    "publish_events": (
        may.PUBLISH_EVENTS,
        may.KEEP_DEAD_LETTERS,
        *(may.read_stream(table) for table in may.PUBLISHED_TABLES),
    ),
    "deliver_webhooks": (
        may.read("jobs"),
        may.read_and_write("webhooks"),
        may.TAKE_IN_EVENTS,
        may.WAKE_WEBHOOKS,
        may.OPEN_WEBHOOK_SECRETS,
    ),
    "note_dead_letters": (may.KEEP_DEAD_LETTERS, *may.READ_STREAMS_AGAIN, may.TAKE_DEAD_LETTERS),
    "record_history": (
        Grant("AppendToLedger", ("dynamodb:PutItem",), (table_arn("jobs"),)),
        may.read_stream("jobs"),
    ),
    "chain_audit": (*may.SEAL_AUDIT, may.read_stream("audit")),
}
"""What each function may do, beside writing its own log."""


def grants(function: Function) -> tuple[Grant, ...]:
    """All that a function may do."""
    own_log = Grant(
        "WriteOwnLog", ("logs:CreateLogStream", "logs:PutLogEvents"), (log_group_arn(f"{function.log_group_name}:*"),)
    )
    dead_letters = Grant(
        "ReportFailures", ("sqs:SendMessage",), (arn("sqs", f"${{AWS::StackName}}-{function.dashed}-dead"),)
    )
    extra = (dead_letters,) if function in {*names.ASYNCHRONOUS, *names.STREAMED} else ()
    return (own_log, *extra, *FUNCTION_GRANTS[function.name])
