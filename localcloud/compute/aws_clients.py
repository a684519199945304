"""botocore clients of the embedded cloud, behind the interfaces the emulator uses: objects (S3), log lines, metrics."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock
from typing import Any, BinaryIO

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from localcloud.compute.host import MetricDeliveryError, RoleCredentials
from localcloud.compute.log_shipping import LogDeliveryError

CHUNK_BYTES = 1024 * 1024
PART_BYTES = 64 * 1024 * 1024
CACHED_CLIENTS = 32
CONNECTIONS = 16
# The embedded cloud was started again and does not know the keys any more, or is being started again.
_KEYS_LOST = frozenset({"InvalidAccessKeyId", "InvalidClientTokenId", "InvalidToken", "ExpiredToken"})
_AWAY = frozenset({"InternalError", "InternalFailure", "ServiceUnavailable", "SlowDown", "500", "502", "503", "504"})


class ObjectError(Exception):
    """S3 refused or could not be reached. `code` is S3's, e.g. ``NoSuchKey`` or ``AccessDenied``.

    Attributes:
        passing: another try, with the role's keys of then, may succeed.
    """

    def __init__(self, code: str, message: str, *, passing: bool = False) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.passing = passing or code in _KEYS_LOST | _AWAY


class AwsClients:
    """Makes clients for the embedded cloud. Usable from any thread."""

    def __init__(self, endpoint: str, region: str) -> None:
        self._session = botocore.session.Session()
        self._endpoint = endpoint
        self._region = region
        self._lock = Lock()
        self._s3: OrderedDict[str, Any] = OrderedDict()
        self._config = Config(
            connect_timeout=3,
            read_timeout=60,
            retries={"mode": "standard", "total_max_attempts": 4},
            max_pool_connections=CONNECTIONS,
            # The embedded cloud is on this machine, whatever proxy the environment names.
            proxies={},
            s3={"addressing_style": "path"},
            # The calls made here are few and fixed; checking 10,000 log lines at a time costs more than sending them.
            parameter_validation=False,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )

    def warm(self) -> None:
        """Loads what the first S3 client needs, a tenth of a second, so that no job waits for it."""
        with self._lock:
            self._create("s3", "none", "none", None)

    def objects(self, credentials: RoleCredentials) -> S3Objects:
        """S3 as a role. Clients are kept per access key: making one takes some milliseconds."""
        with self._lock:
            client = self._s3.pop(credentials.access_key_id, None)
            if client is None:
                client = self._create("s3", credentials.access_key_id, credentials.secret_access_key, credentials.token)
            self._s3[credentials.access_key_id] = client
            while len(self._s3) > CACHED_CLIENTS:
                self._s3.popitem(last=False)
        return S3Objects(client)

    def logs(self, access_key_id: str, secret_access_key: str) -> CloudWatchLogs:
        """CloudWatch Logs with the emulator's own keys."""
        with self._lock:
            return CloudWatchLogs(self._create("logs", access_key_id, secret_access_key, None))

    def metrics(self, access_key_id: str, secret_access_key: str) -> CloudWatchMetrics:
        """CloudWatch with the emulator's own keys; its client is made when there is something to tell."""
        return CloudWatchMetrics(lambda: self._create("cloudwatch", access_key_id, secret_access_key, None), self._lock)

    def _create(self, service: str, key: str, secret: str, token: str | None) -> Any:
        return self._session.create_client(
            service,
            region_name=self._region,
            endpoint_url=self._endpoint,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=self._config,
        )


class S3Objects:
    """See `host.ObjectStore`."""

    def __init__(self, client: Any, part_bytes: int = PART_BYTES) -> None:
        self._client = client
        self._part_bytes = part_bytes

    def list(self, bucket: str, prefix: str) -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        try:
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                found += [(item["Key"], item["Size"]) for item in page.get("Contents", [])]
        except (ClientError, BotoCoreError) as error:
            raise object_error(error) from error
        return found

    def download(self, bucket: str, key: str, destination: Path, cancelled: Event) -> None:
        try:
            body = self._client.get_object(Bucket=bucket, Key=key)["Body"]
            with body, destination.open("xb") as target:
                for chunk in body.iter_chunks(CHUNK_BYTES):
                    if cancelled.is_set():
                        return
                    target.write(chunk)
        except (ClientError, BotoCoreError) as error:
            raise object_error(error) from error

    def upload(self, source: Path, bucket: str, key: str) -> None:
        try:
            # No link is followed: a job could put one in the place of a file that has been looked at.
            with open(source, "rb", opener=_open_no_follow) as body:
                if os.fstat(body.fileno()).st_size <= self._part_bytes:
                    self._client.put_object(Bucket=bucket, Key=key, Body=body)
                else:
                    self._upload_parts(body, bucket, key)
        except (ClientError, BotoCoreError) as error:
            raise object_error(error) from error

    def size(self, bucket: str, key: str) -> int | None:
        try:
            length: int = self._client.head_object(Bucket=bucket, Key=key)["ContentLength"]
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise object_error(error) from error
        except BotoCoreError as error:
            raise object_error(error) from error
        return length

    def _upload_parts(self, body: BinaryIO, bucket: str, key: str) -> None:
        upload = self._client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        parts: list[dict[str, Any]] = []
        try:
            while data := body.read(self._part_bytes):
                number = len(parts) + 1
                part = self._client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=data)
                parts.append({"PartNumber": number, "ETag": part["ETag"]})
            self._client.complete_multipart_upload(
                Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
            )
        except (ClientError, BotoCoreError, OSError):
            with suppress(ClientError, BotoCoreError):
                self._client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
            raise


class CloudWatchLogs:
    """See `log_shipping.LogSink`."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def create_stream(self, group: str, stream: str) -> None:
        try:
            try:
                self._create_stream(group, stream)
            except self._client.exceptions.ResourceNotFoundException:
                self._create_group(group)
                self._create_stream(group, stream)
        except (ClientError, BotoCoreError) as error:
            raise LogDeliveryError(str(error)) from error

    def put(self, group: str, stream: str, events: Sequence[tuple[int, str]]) -> None:
        entries = [{"timestamp": at, "message": message} for at, message in events]
        try:
            self._client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=entries)
        except self._client.exceptions.ResourceNotFoundException as error:
            self.create_stream(group, stream)
            raise LogDeliveryError("the log stream was missing") from error
        except (ClientError, BotoCoreError) as error:
            raise LogDeliveryError(str(error)) from error

    def _create_stream(self, group: str, stream: str) -> None:
        with suppress(self._client.exceptions.ResourceAlreadyExistsException):
            self._client.create_log_stream(logGroupName=group, logStreamName=stream)

    def _create_group(self, group: str) -> None:
        with suppress(self._client.exceptions.ResourceAlreadyExistsException):
            self._client.create_log_group(logGroupName=group)


class CloudWatchMetrics:
    """See `host.MetricSink`."""

    def __init__(self, make: Callable[[], Any], lock: Lock) -> None:
        self._make = make
        self._lock = lock
        self._client: Any = None

    def put_metrics(self, namespace: str, data: list[dict[str, Any]]) -> None:
        with self._lock:
            self._client = self._client or self._make()
        try:
            self._client.put_metric_data(Namespace=namespace, MetricData=data)
        except (ClientError, BotoCoreError) as error:
            raise MetricDeliveryError(str(error)) from error


def object_error(error: ClientError | BotoCoreError) -> ObjectError:
    if isinstance(error, ClientError):
        detail = error.response.get("Error", {})
        return ObjectError(str(detail.get("Code", "Unknown")), str(detail.get("Message", "")))
    return ObjectError(type(error).__name__, str(error), passing=isinstance(error, HTTPClientError))


def _open_no_follow(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)
