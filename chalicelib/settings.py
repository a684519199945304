"""What the template tells a function about its surroundings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "AIMATRIX_"
LOOPBACK_WEBHOOK_PORTS = "LAPTOP_WEBHOOK_PORTS"
"""Set by the embedded cloud in its own process. It lacks the prefix of what a template can set, so that none can set it."""


class MissingSetting(LookupError):
    """A function asked for a setting that its template does not give it."""


@dataclass(frozen=True)
class Settings:
    """Environment variables by name, read when they are needed.

    Every function gets only the variables that it uses, so a missing one is an error of the template and is named, at the
    first use and not at import.
    """

    environment: Mapping[str, str]

    def _get(self, name: str) -> str:
        try:
            return self.environment[PREFIX + name]
        except KeyError:
            raise MissingSetting(f"{PREFIX}{name} is not set for this function: add it in infra/functions.py") from None

    @property
    def stack(self) -> str:
        return self._get("STACK")

    @property
    def jobs_table(self) -> str:
        return self._get("JOBS_TABLE")

    @property
    def metrics_table(self) -> str:
        return self._get("METRICS_TABLE")

    @property
    def models_table(self) -> str:
        return self._get("MODELS_TABLE")

    @property
    def deployments_table(self) -> str:
        return self._get("DEPLOYMENTS_TABLE")

    @property
    def retraining_table(self) -> str:
        return self._get("RETRAINING_TABLE")

    @property
    def retraining_queue(self) -> str:
        """URL of the queue of uploads, runs that are to be looked at, and jobs that ended."""
        return self._get("RETRAINING_QUEUE")

    @property
    def experiments_table(self) -> str:
        return self._get("EXPERIMENTS_TABLE")

    @property
    def audit_table(self) -> str:
        return self._get("AUDIT_TABLE")

    @property
    def quotas_table(self) -> str:
        return self._get("QUOTAS_TABLE")

    @property
    def keys_table(self) -> str:
        return self._get("KEYS_TABLE")

    @property
    def key_pepper_arn(self) -> str:
        return self._get("KEY_PEPPER_ARN")

    @property
    def usage_table(self) -> str:
        return self._get("USAGE_TABLE")

    @property
    def receipt_key_arn(self) -> str:
        return self._get("RECEIPT_KEY_ARN")

    @property
    def capacity_table(self) -> str:
        return self._get("CAPACITY_TABLE")

    @property
    def artifacts_bucket(self) -> str:
        return self._get("ARTIFACTS_BUCKET")

    @property
    def train_job_arn(self) -> str:
        return self._get("TRAIN_JOB_ARN")

    @property
    def train_job_executions(self) -> str:
        """What the ARNs of the executions of `train_job` begin with; the rest is a job's id."""
        return self._get("TRAIN_JOB_EXECUTIONS")

    @property
    def event_bus(self) -> str:
        """Name of the bus for the service's own events."""
        return self._get("EVENT_BUS")

    @property
    def event_archive_arn(self) -> str:
        return self._get("EVENT_ARCHIVE_ARN")

    @property
    def events_table(self) -> str:
        return self._get("EVENTS_TABLE")

    @property
    def export_arn(self) -> str:
        """The function that writes a job's log and metrics to S3."""
        return self._get("EXPORT_ARN")

    @property
    def reconcile_arn(self) -> str:
        """The function that compares jobs with what runs."""
        return self._get("RECONCILE_ARN")

    @property
    def deploy_model_arn(self) -> str:
        return self._get("DEPLOY_MODEL_ARN")

    @property
    def undeploy_model_arn(self) -> str:
        return self._get("UNDEPLOY_MODEL_ARN")

    @property
    def shift_traffic_arn(self) -> str:
        return self._get("SHIFT_TRAFFIC_ARN")

    @property
    def transform_data_arn(self) -> str:
        return self._get("TRANSFORM_DATA_ARN")

    @property
    def tenant_roles(self) -> str:
        """What the ARNs of all tenants' roles begin with."""
        return self._get("TENANT_ROLES")

    @property
    def training_policy_arn(self) -> str:
        return self._get("TRAINING_POLICY_ARN")

    @property
    def transforming_policy_arn(self) -> str:
        return self._get("TRANSFORMING_POLICY_ARN")

    @property
    def serving_policy_arn(self) -> str:
        return self._get("SERVING_POLICY_ARN")

    @property
    def batch_queue_prefix(self) -> str | None:
        """What the ARNs of the Batch queues begin with, or None where the stack was installed without a Batch part."""
        return self.environment.get(PREFIX + "BATCH_QUEUE_PREFIX") or None

    @property
    def batch_gpu_types(self) -> frozenset[str]:
        """The types of GPU that Batch has in this installation."""
        return frozenset(filter(None, self._get("BATCH_GPU_TYPES").split(",")))

    @property
    def training_queue(self) -> str | None:
        """ARN of the Batch queue that an operator named for SageMaker training jobs; None where there is none."""
        return self._get("TRAINING_QUEUE") or None

    @property
    def training_queue_order(self) -> str:
        return self._get("TRAINING_QUEUE_ORDER")

    @property
    def training_queue_shares(self) -> tuple[str, ...]:
        """Names of its quota shares."""
        return tuple(filter(None, self._get("TRAINING_QUEUE_SHARES").split(",")))

    @property
    def metric_retention_days(self) -> int | None:
        """How long metrics are kept; None: as long as their job. Only who writes them is told."""
        return int(self._get("METRIC_RETENTION_DAYS")) or None

    @property
    def spot_rates(self) -> dict[str, float]:
        """Interruptions of spot instances per hour that an operator assumes, by instance type."""
        pairs = (each.partition("=") for each in self._get("SPOT_RATES").split(",") if each)
        return {name.strip(): float(rate) for name, _, rate in pairs}

    @property
    def batch_max_vcpus(self) -> int | None:
        """The most that the machines of each Batch queue may have; None without Batch."""
        return int(self._get("BATCH_MAX_VCPUS")) if self._get("BATCH_MAX_VCPUS") else None

    @property
    def batch_disk_gib(self) -> int | None:
        """Disk of every Batch machine, or None where the stack was installed without a Batch part."""
        return int(self.environment.get(PREFIX + "BATCH_DISK_GIB") or 0) or None

    @property
    def batch_job_definition(self) -> str:
        return self._get("BATCH_JOB_DEFINITION")

    @property
    def training_log_group(self) -> str:
        return self._get("TRAINING_LOG_GROUP")

    @property
    def batch_log_group(self) -> str:
        return self._get("BATCH_LOG_GROUP")

    @property
    def agent_uri(self) -> str:
        return self._get("AGENT_URI")

    @property
    def mlflow_tracking_uri(self) -> str:
        """An http(s) address, or the ARN of a SageMaker-managed MLflow tracking server."""
        return self._get("MLFLOW_TRACKING_URI")

    @property
    def token_issuer(self) -> str:
        return self._get("TOKEN_ISSUER")

    @property
    def token_audience(self) -> str:
        return self._get("TOKEN_AUDIENCE")

    @property
    def jwks_url(self) -> str:
        return self._get("JWKS_URL")

    @property
    def secrets_key(self) -> str:
        """ARN of the KMS key that encrypts secret variables."""
        return self._get("SECRETS_KEY")

    @property
    def webhooks_table(self) -> str:
        return self._get("WEBHOOKS_TABLE")

    @property
    def webhooks_queue(self) -> str:
        """URL of the queue that events for webhooks come through."""
        return self._get("WEBHOOKS_QUEUE")

    @property
    def notifications_key(self) -> str:
        """ARN of the KMS key that encrypts the secrets of webhooks."""
        return self._get("NOTIFICATIONS_KEY")

    @property
    def loopback_webhook_ports(self) -> frozenset[int]:
        """Where a webhook may lead to this machine by plain HTTP: what the owner of a laptop has allowed; on AWS nowhere."""
        return frozenset(map(int, filter(None, self.environment.get(LOOPBACK_WEBHOOK_PORTS, "").split(","))))

    @property
    def memory_megabytes(self) -> int:
        """What this function is given, as Lambda itself says."""
        return int(self.environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"])

    @property
    def region(self) -> str:
        return self.environment["AWS_REGION"]
