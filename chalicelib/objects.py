"""Objects in the artifacts bucket: what is there, small documents, and presigned addresses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from chalicelib.aws import error_code
from chalicelib.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
_UNREADABLE = _MISSING | {"InvalidRange", "InvalidObjectState", "AccessDenied"}
"""Gone, empty, archived, or encrypted with a key that is not ours."""


@dataclass(frozen=True)
class Stored:
    """One object, or all objects below a prefix."""

    objects: int
    size: int


@dataclass(frozen=True)
class Listed:
    key: str
    size: int


@dataclass(frozen=True)
class Version:
    key: str
    size: int
    etag: str
    version_id: str | None
    is_latest: bool


@dataclass(frozen=True)
class Objects:
    client: S3Client
    bucket: str

    def head(self, key: str) -> Stored | None:
        """The object's size, or None when there is none."""
        try:
            return Stored(1, self.client.head_object(Bucket=self.bucket, Key=key)["ContentLength"])
        except self.client.exceptions.ClientError as error:
            if error_code(error) in _MISSING:
                return None
            raise

    def below(self, prefix: str, *, at_most: int) -> Stored:
        """How much lies below a prefix, counted up to `at_most` objects."""
        count = size = 0
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        for page in pages:
            found = page.get("Contents", [])
            count += len(found)
            size += sum(entry["Size"] for entry in found)
            if count > at_most:
                break
        return Stored(count, size)

    def page(self, prefix: str, limit: int, after: str | None) -> list[Listed]:
        """Some objects below a prefix, in order of their keys.

        Args:
            limit: at most 1,000.
            after: the key that the page before ended with.
        """
        more: Any = {"StartAfter": after} if after else {}
        answer = self.client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, MaxKeys=limit, **more)
        return [Listed(entry["Key"], entry["Size"]) for entry in answer.get("Contents", [])]

    def versions(self, prefix: str) -> Iterator[Version]:
        """Every version of every object below a prefix, in order of their keys."""
        pages = self.client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix)
        for page in pages:
            for entry in page.get("Versions", []):
                etag, is_latest = entry["ETag"].strip('"'), entry["IsLatest"]
                yield Version(entry["Key"], entry["Size"], etag, entry.get("VersionId"), is_latest)

    def head_bytes(self, key: str, most: int) -> bytes | None:
        """What an object begins with; None when there is none, or none that can be read now."""
        try:
            with self.client.get_object(Bucket=self.bucket, Key=key, Range=f"bytes=0-{most - 1}")["Body"] as body:
                return body.read()
        except self.client.exceptions.ClientError as error:
            if error_code(error) in _UNREADABLE:
                return None
            raise

    def delete_below(self, prefix: str) -> None:
        """Delete every object below a prefix, as far as the bucket's versions allow."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        for page in pages:
            keys: Any = [{"Key": entry["Key"]} for entry in page.get("Contents", [])]
            if keys and (
                errors := self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": keys}).get("Errors")
            ):
                raise Unavailable(f"Some files could not be deleted: {errors[0].get('Code')}. Try again.")

    def read_json(self, key: str) -> Any | None:
        """A JSON document, or None when there is none.

        Raises:
            ValueError: too large, or not JSON.
        """
        try:
            body = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read(MAX_DOCUMENT_BYTES + 1)
        except self.client.exceptions.NoSuchKey:
            return None
        if len(body) > MAX_DOCUMENT_BYTES:
            raise ValueError(f"{key} has more than {MAX_DOCUMENT_BYTES} bytes")
        return json.loads(body)

    def write_json(self, key: str, document: Any) -> None:
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType="application/json")

    def write(self, key: str, body: bytes, media_type: str) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=media_type)

    def write_file(self, key: str, file: IO[bytes], media_type: str) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=file, ContentType=media_type)

    def presigned_get(self, key: str, seconds: int) -> str:
        """An address that gives an object, for a while, without credentials."""
        arguments = {"Bucket": self.bucket, "Key": key}
        return self.client.generate_presigned_url("get_object", Params=arguments, ExpiresIn=seconds, HttpMethod="GET")

    def presigned_put(self, key: str, size: int, seconds: int) -> str:
        """An address that takes exactly `size` bytes, for a while, without credentials."""
        arguments = {"Bucket": self.bucket, "Key": key, "ContentLength": size}
        return self.client.generate_presigned_url("put_object", Params=arguments, ExpiresIn=seconds, HttpMethod="PUT")

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"
