"""An installation as an operator sees it: its tables, its bucket and its keys, found by the outputs of its stack.

The only module here that imports boto3.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from backup.belongings import ALL
from backup.errors import NothingThere, Unreachable
from backup.layout import Source
from chalicelib.aws import error_code

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_s3 import S3Client

    from backup.belongings import Stored

CONNECTIONS = 16
"""How many requests are under way at once, of each service."""

_CONFIG = Config(max_pool_connections=CONNECTIONS * 2, retries={"mode": "adaptive", "total_max_attempts": 10})
_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})


@dataclass(frozen=True)
class Installation:
    """
    Attributes:
        tables: physical names, by the template's.
    """

    dynamodb: DynamoDBClient
    s3: S3Client
    kms: KMSClient
    tables: Mapping[str, str]
    source: Source

    @property
    def bucket(self) -> str:
        return self.source.bucket

    def scan(self, table: str, prefix: str) -> Iterator[Stored]:
        """Every item whose partition key begins so. Reads the whole table, with strong consistency."""
        pages = self.dynamodb.get_paginator("scan").paginate(
            TableName=self.tables[table],
            FilterExpression="begins_with(pk, :prefix)",
            ExpressionAttributeValues={":prefix": {"S": prefix}},
            ConsistentRead=True,
        )
        for page in pages:
            yield from page["Items"]

    def query(self, table: str, value: str, *, index: str | None = None, key: str = "pk") -> Iterator[Stored]:
        """Every item under a partition key, in order; with strong consistency, where it is the table's own."""
        arguments: dict[str, Any] = {"IndexName": index} if index else {"ConsistentRead": True}
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=self.tables[table],
            KeyConditionExpression="#key = :value",
            ExpressionAttributeNames={"#key": key},
            ExpressionAttributeValues={":value": {"S": value}},
            **arguments,
        )
        for page in pages:
            yield from page["Items"]

    def get(self, table: str, pk: str, sk: str) -> Stored | None:
        key = {"pk": {"S": pk}, "sk": {"S": sk}}
        return self.dynamodb.get_item(TableName=self.tables[table], Key=key, ConsistentRead=True).get("Item")

    def put_if_absent(self, table: str, item: Stored) -> bool:
        """False when something is there under this key."""
        try:
            self.dynamodb.put_item(
                TableName=self.tables[table], Item=dict(item), ConditionExpression="attribute_not_exists(pk)"
            )
        except self.dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def put(self, table: str, item: Stored) -> None:
        self.dynamodb.put_item(TableName=self.tables[table], Item=dict(item))

    def listed(self, prefix: str) -> Iterator[tuple[str, int, str]]:
        """Key, size and entity tag of every object below a prefix, in order."""
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
            for each in page.get("Contents", []):
                yield each["Key"], each["Size"], each["ETag"]

    def open_object(self, key: str) -> Any | None:
        """S3's answer, whose `Body` is to be read; None when it is gone."""
        try:
            return self.s3.get_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if error_code(error) in _MISSING:
                return None
            raise

    def put_object(self, key: str, path: Path, content_type: str, metadata: Mapping[str, str]) -> None:
        """Bring a file into the bucket, in parts where it is large."""
        extra = {"ContentType": content_type, "Metadata": dict(metadata)}
        self.s3.upload_file(str(path), self.bucket, key, ExtraArgs=extra)

    def public_key(self, key_id: str) -> str | None:
        """A signing key's public half, as PEM; None when there is no such key any more."""
        try:
            der = self.kms.get_public_key(KeyId=key_id)["PublicKey"]
        except self.kms.exceptions.NotFoundException:
            return None
        text = base64.encodebytes(der).decode().replace("\n", "")
        lines = [text[start : start + 64] for start in range(0, len(text), 64)]
        return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])


@contextmanager
def spoken() -> Iterator[None]:
    """What AWS refuses, and what does not answer, as an error of ours."""
    try:
        yield
    except (ClientError, BotoCoreError, Boto3Error) as error:
        raise Unreachable(f"AWS did not do what it was asked: {error}") from error


def connect(
    stack: str,
    *,
    region: str | None = None,
    profile: str | None = None,
    endpoint_url: str | None = None,
    credentials: tuple[str, str] | None = None,
) -> Installation:
    """Find an installation by the name of its stack.

    Args:
        credentials: key id and secret; by default whatever boto3 finds, as the aws command line does.

    Raises:
        NothingThere: there is no such stack, or it is none of ours.
        Unreachable: AWS did not answer, or did not allow it.
    """
    with spoken():
        key_id, secret = credentials or (None, None)
        session = boto3.Session(key_id, secret, region_name=region, profile_name=profile)

        def client(service: Any) -> Any:
            return session.client(service, endpoint_url=endpoint_url, config=_CONFIG)

        try:
            described = client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
        except ClientError as error:
            if "does not exist" not in str(error):
                raise
            raise NothingThere(f"there is no stack {stack} in {session.region_name}") from None
        outputs = {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])}
        tables = {
            name.removesuffix("Table").lower(): value for name, value in outputs.items() if name.endswith("Table")
        }
        if "jobs" not in tables or "ArtifactsBucket" not in outputs:
            raise NothingThere(f"the stack {stack} is no installation of this service")
        if missing := sorted({belonging.table for belonging in ALL} - tables.keys()):
            raise NothingThere(f"the stack {stack} has no table of {', '.join(missing)}: update the stack first")
        source = Source(stack, str(session.region_name), outputs["ArtifactsBucket"])
        return Installation(client("dynamodb"), client("s3"), client("kms"), tables, source)


def embedded(state: Path | None) -> Installation:
    """The embedded cloud that runs on a state directory.

    Raises:
        Unreachable: none runs there.
    """
    from localcloud import commands
    from localcloud.state import REGION, STACK, StateDir

    try:
        addresses = commands.addresses(state)
    except commands.CloudError as error:
        raise Unreachable(str(error)) from None
    settings = StateDir(Path(addresses.state)).load()
    assert settings is not None  # noqa: S101  it runs
    credentials = (settings.access_key_id, settings.secret_access_key)
    return connect(STACK, region=REGION, endpoint_url=settings.aws_url, credentials=credentials)
