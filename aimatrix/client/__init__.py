"""A typed client of the training service.

>>> from aimatrix.client import Client, DeploymentConfig, JobRequest
>>> with Client.connect() as client:                                        # doctest: +SKIP
...     upload = client.upload([Path("train.py"), Path("data.csv")])
...     job = client.jobs.submit(JobRequest("wine", "sklearn", upload["train.py"], upload["data.csv"]))
...     for entry in client.jobs.follow_logs(job.job_id):
...         print(entry.message)
...     job = client.jobs.wait(job.job_id)
...     deployment = client.models.deploy(job.model_id, DeploymentConfig("development"))
...     client.deployments.predict(deployment.id, {"inputs": [[...]]})

The modules, from the bottom up::

    errors ── the tree of what can go wrong, made from problem+json
    retry ── which failures are worth another attempt, and when
    transport ─ one HTTP exchange: token, request id, retries, problem → error
    paging ── cursors into iterators
    values: jobs, models, deployments, quotas, capacity, receipts and so on ─ frozen values read from the service's documents
    resources: job_calls, model_calls, deployment_calls and so on ─ one class a noun, one method a call
    profiles ─ where the address and the token come from
    client ── puts them together
"""

from aimatrix.client.api_keys import ApiKey, NewApiKey
from aimatrix.client.audit import AuditRow, Verification
from aimatrix.client.capacity import Pool, QueuePlace
from aimatrix.client.client import Client
from aimatrix.client.deployments import Deployment, DeploymentConfig, Revision, Shadow, Variant
from aimatrix.client.environments import Approval, EnvironmentPolicy
from aimatrix.client.errors import (
    AimatrixError,
    ApiError,
    ConfigurationError,
    ConflictError,
    ExceededLimit,
    FieldError,
    ForbiddenError,
    InvalidRequestError,
    NotAuthenticatedError,
    NotFoundError,
    PreconditionFailedError,
    QuotaExceededError,
    ServiceError,
    UnreachableError,
    UploadError,
    WaitTimeoutError,
)
from aimatrix.client.events import DeadLetter, Redrive, Replay
from aimatrix.client.experiments import Comparison, Experiment, Joined, PlotPoint, Results, Traffic
from aimatrix.client.history import History, JobChange
from aimatrix.client.jobs import (
    Amounts,
    Artifact,
    Job,
    JobRequest,
    LogEntry,
    LogPage,
    Metric,
    Progress,
    ResourceRequirements,
    SecretReference,
    TimeLimit,
)
from aimatrix.client.models import Model
from aimatrix.client.profiles import Connection
from aimatrix.client.quotas import Difference, Limits, OwnQuota, Quota, QuotaCheck, Use
from aimatrix.client.receipts import Receipt
from aimatrix.client.reconciler import SweepReport
from aimatrix.client.retraining import RetrainingPolicy, RetrainingRun, RunData
from aimatrix.client.retry import RetryPolicy
from aimatrix.client.rollouts import Rollout, RolloutGate, RolloutStep
from aimatrix.client.stats import ActiveJob, FrameworkReport, FrameworkStats, ModelStats, UserStats
from aimatrix.client.transforms import Transform, TransformOutput
from aimatrix.client.uploads import Upload, UploadFile
from aimatrix.client.webhooks import Delivery, NewSecret, NotSigned, Webhook, verify

__all__ = [
    "ActiveJob",
    "AimatrixError",
    "Amounts",
    "ApiError",
    "ApiKey",
    "Approval",
    "Artifact",
    "AuditRow",
    "Client",
    "Comparison",
    "ConfigurationError",
    "ConflictError",
    "Connection",
    "DeadLetter",
    "Delivery",
    "Deployment",
    "DeploymentConfig",
    "Difference",
    "EnvironmentPolicy",
    "ExceededLimit",
    "Experiment",
    "FieldError",
    "ForbiddenError",
    "FrameworkReport",
    "FrameworkStats",
    "History",
    "InvalidRequestError",
    "Job",
    "JobChange",
    "JobRequest",
    "Joined",
    "Limits",
    "LogEntry",
    "LogPage",
    "Metric",
    "Model",
    "ModelStats",
    "NewApiKey",
    "NewSecret",
    "NotAuthenticatedError",
    "NotFoundError",
    "NotSigned",
    "OwnQuota",
    "PlotPoint",
    "Pool",
    "PreconditionFailedError",
    "Progress",
    "QueuePlace",
    "Quota",
    "QuotaCheck",
    "QuotaExceededError",
    "Receipt",
    "Redrive",
    "Replay",
    "ResourceRequirements",
    "Results",
    "RetrainingPolicy",
    "RetrainingRun",
    "RetryPolicy",
    "Revision",
    "Rollout",
    "RolloutGate",
    "RolloutStep",
    "RunData",
    "SecretReference",
    "ServiceError",
    "Shadow",
    "SweepReport",
    "TimeLimit",
    "Traffic",
    "Transform",
    "TransformOutput",
    "UnreachableError",
    "Upload",
    "UploadError",
    "UploadFile",
    "Use",
    "UserStats",
    "Variant",
    "Verification",
    "WaitTimeoutError",
    "Webhook",
    "verify",
]
