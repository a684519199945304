"""The only module of the control plane that imports boto3.

Clients are made on first use, one per service and process: making one costs tens of milliseconds, and a function pays
only for those it uses. Everything else gets its client as an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, ReadTimeoutError
from botocore.exceptions import ConnectionError as NoConnection

from chalicelib.calls import Calls, Sent
from chalicelib.version import VERSION

if TYPE_CHECKING:
    from boto3.session import Session
    from mypy_boto3_application_autoscaling import ApplicationAutoScalingClient
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient

    from chalicelib.events.gateways import StreamsClient

__all__ = [
    "AwsError",
    "Clients",
    "QuotasClient",
    "ReadTimeoutError",
    "SecretsClient",
    "error_code",
    "is_busy",
    "is_missing",
    "is_refused",
    "signed_headers",
]

AwsError = (ClientError, BotoCoreError)

# API Gateway waits 29 s. A call that hangs is given up after 3 times 6 s and at most 3 s of pauses in between, so that the
# caller still gets an answer.
# Without a name of ours botocore composes one anew for each call, for a twelfth of what a submission costs in CPU.
_NAME = f"aimatrix-training/{VERSION}"
_CONFIG = Config(
    user_agent=_NAME, connect_timeout=2, read_timeout=6, retries={"mode": "standard", "total_max_attempts": 3}
)
# An endpoint may take its time over a prediction: SageMaker allows 60 s, API Gateway 29 s.
# No retry: a prediction is not ours to repeat.
_RUNTIME_CONFIG = Config(
    user_agent=_NAME, connect_timeout=2, read_timeout=25, retries={"mode": "standard", "total_max_attempts": 1}
)


# AWS's words for "later": https://docs.aws.amazon.com/general/latest/gr/api-retries.html
_BUSY = frozenset(
    {
        "ThrottlingException",
        "Throttling",
        "TooManyRequestsException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "SlowDown",
        "ServiceUnavailable",
        "InternalServerError",
        "TransactionInProgressException",
        "TransactionConflictException",
    }
)
# The same, for one item of a cancelled transaction:
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
_BUSY_REASONS = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})


def error_code(error: BaseException) -> str:
    """AWS's own code of a failed call, such as `ConditionalCheckFailedException`; empty for anything else."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return ""


def is_busy(error: BaseException) -> bool:
    """Whether a failed call may well succeed a moment later: throttling, a conflict of two writers, a lost connection."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        reasons = {str(reason.get("Code")) for reason in error.response.get("CancellationReasons", [])}
        return status >= 500 or error_code(error) in _BUSY or bool(reasons & _BUSY_REASONS)
    return isinstance(error, HTTPClientError | NoConnection)


# SageMaker has one code for all that it refuses, spelled otherwise where it is asked for predictions, and tells a missing
# thing only by its message: https://github.com/aws/aws-sdk/issues/165
_REFUSED = frozenset({"ValidationException", "ValidationError"})
_MISSING = frozenset({"ResourceNotFound", "ResourceNotFoundException"})


def is_refused(error: BaseException) -> bool:
    """Whether SageMaker will not do what it was asked, as things are: it is not there, or in a state that forbids it."""
    return error_code(error) in _REFUSED | _MISSING


def is_missing(error: BaseException) -> bool:
    """Whether SageMaker refused a call because what the call names is not there."""
    if error_code(error) in _MISSING:
        return True
    words = str(error).lower()
    return error_code(error) in _REFUSED and ("could not find" in words or "not found" in words)


class SecretsClient(Protocol):
    """What we use of boto3's client of Secrets Manager."""

    def get_secret_value(self, *, SecretId: str) -> Any: ...  # noqa: N803  boto3 names it so


class QuotasClient(Protocol):
    """What we use of boto3's client of Service Quotas."""

    def list_service_quotas(self, *, ServiceCode: str, MaxResults: int, NextToken: str = ...) -> Any: ...  # noqa: N803

    def get_service_quota(self, *, ServiceCode: str, QuotaCode: str) -> Any: ...  # noqa: N803


class Clients:
    """One client per service, each made when it is first asked for.

    Attributes:
        calls: what has been asked of AWS through all of them.
    """

    def __init__(self) -> None:
        self.calls = Calls()

    @cached_property
    def _session(self) -> Session:
        from boto3.session import Session

        return Session()

    def _make(self, service: str, config: Config = _CONFIG) -> Any:
        session: Any = self._session
        client = session.client(service, config=config)
        count_calls(client, self.calls)
        return client

    @cached_property
    def dynamodb(self) -> DynamoDBClient:
        client: DynamoDBClient = self._make("dynamodb")
        return client

    @cached_property
    def dynamodb_streams(self) -> StreamsClient:
        client: StreamsClient = self._make("dynamodbstreams")
        return client

    @cached_property
    def s3(self) -> S3Client:
        # Regional, SigV4 addresses: presigned URLs of the global endpoint redirect in newer regions.
        client: S3Client = self._make("s3", _CONFIG.merge(Config(signature_version="s3v4")))
        return client

    @cached_property
    def stepfunctions(self) -> SFNClient:
        client: SFNClient = self._make("stepfunctions")
        return client

    @cached_property
    def sagemaker(self) -> SageMakerClient:
        client: SageMakerClient = self._make("sagemaker")
        return client

    @cached_property
    def cloudwatch(self) -> CloudWatchClient:
        client: CloudWatchClient = self._make("cloudwatch")
        return client

    @cached_property
    def auto_scaling(self) -> ApplicationAutoScalingClient:
        client: ApplicationAutoScalingClient = self._make("application-autoscaling")
        return client

    @cached_property
    def sagemaker_runtime(self) -> SageMakerRuntimeClient:
        client: SageMakerRuntimeClient = self._make("sagemaker-runtime", _RUNTIME_CONFIG)
        return client

    @cached_property
    def batch(self) -> BatchClient:
        client: BatchClient = self._make("batch")
        return client

    @cached_property
    def iam(self) -> IAMClient:
        client: IAMClient = self._make("iam")
        return client

    @cached_property
    def kms(self) -> KMSClient:
        client: KMSClient = self._make("kms")
        return client

    @cached_property
    def events(self) -> EventBridgeClient:
        client: EventBridgeClient = self._make("events")
        return client

    @cached_property
    def functions(self) -> LambdaClient:
        client: LambdaClient = self._make("lambda")
        return client

    @cached_property
    def logs(self) -> CloudWatchLogsClient:
        client: CloudWatchLogsClient = self._make("logs")
        return client

    @cached_property
    def secretsmanager(self) -> SecretsClient:
        client: SecretsClient = self._make("secretsmanager")
        return client

    @cached_property
    def sqs(self) -> SQSClient:
        client: SQSClient = self._make("sqs")
        return client

    @cached_property
    def service_quotas(self) -> QuotasClient:
        client: QuotasClient = self._make("service-quotas")
        return client

    @cached_property
    def sign(self) -> Callable[..., Mapping[str, str]]:
        """Signs a plain HTTP request with this function's own role: see `signed_headers`."""
        credentials = self._session.get_credentials()

        def sign(
            method: str, url: str, body: bytes, headers: Mapping[str, str], service: str, region: str
        ) -> Mapping[str, str]:
            return signed_headers(credentials, method, url, body, headers, service, region)

        return sign


def count_calls(client: Any, calls: Calls) -> None:
    """Note every call of a client, and have DynamoDB say what each took of it.

    botocore's events: https://boto3.amazonaws.com/v1/documentation/api/latest/guide/events.html
    """

    def ask_for_consumption(params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        if "ReturnConsumedCapacity" in model.input_shape.members:
            params.setdefault("ReturnConsumedCapacity", "TOTAL")
        context["aimatrix_items"] = len(params.get("TransactItems", ())) or 1

    def before(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["aimatrix_bytes"] = len(params.get("body") or b"")

    def after(parsed: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        sent = Sent(context.get("aimatrix_bytes", 0), context.get("aimatrix_items", 1))
        calls.note(model.service_model.service_name, model.name, parsed, sent)

    if client.meta.service_model.service_name == "dynamodb":
        client.meta.events.register("before-parameter-build", ask_for_consumption)
        client.meta.events.register("before-call", before)
    client.meta.events.register("after-call", after)


def signed_headers(
    credentials: Any, method: str, url: str, body: bytes, headers: Mapping[str, str], service: str, region: str
) -> Mapping[str, str]:
    """The headers of a request with AWS Signature Version 4 added."""
    from botocore.auth import SigV4Auth

    request = AWSRequest(method=method, url=url, data=body, headers=dict(headers))
    SigV4Auth(credentials.get_frozen_credentials(), service, region).add_auth(request)
    return dict(request.headers.items())
