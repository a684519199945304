"""What S3 tells of an object, as EventBridge brings it. Pure.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventBridge.html: keys are not encoded there, unlike in S3's own
notifications. Events of one object may come twice and in any order; of two sequencers the later one is greater as text, once
the shorter one is filled up with zeros on the right:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_LONGEST_SEQUENCER = 64
_LONGEST_KEY = 1024


class NoUpload(ValueError):
    """A message tells nothing of an object."""


@dataclass(frozen=True)
class Upload:
    """
    Attributes:
        sequencer: text that is greater for a later event of the same key.
        is_deletion: the object is gone.
    """

    bucket: str
    key: str
    size: int
    etag: str
    sequencer: str
    version_id: str | None = None
    is_deletion: bool = False

    @property
    def digest(self) -> str:
        """Stands for the key: keys have up to 1,024 bytes, and may have any character."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:32]

    @property
    def tenant(self) -> str:
        """Whose it is: `tenants/<tenant>/...`."""
        return self.key.split("/", 2)[1]


def upload_of(event: Mapping[str, Any]) -> Upload | None:
    """What an event of S3 tells; None where it says nothing of how the bucket stands now.

    A version that is deleted for good, by a rule or a person, is an old one: the bucket keeps versions, so an object is gone
    when it gets a delete marker.

    Raises:
        NoUpload: it is no such event.
    """
    kind = event.get("detail-type")
    if event.get("source") != "aws.s3":
        raise NoUpload("the message is no event of an object, and asks for nothing")
    if kind not in {"Object Created", "Object Deleted"}:
        return None
    match event.get("detail"):
        case {"bucket": {"name": str(bucket)}, "object": {"key": str(key), "sequencer": str(sequencer)} as found}:
            pass
        case _:
            raise NoUpload("the event names no bucket, key and sequencer")
    if not key.startswith("tenants/") or key.count("/") < 2 or not _is_key(key):
        raise NoUpload(f"{key[:80]!r} is nothing of a tenant's")
    if not _is_hexadecimal(sequencer):
        raise NoUpload(f"{sequencer[:80]!r} is no sequencer")
    if kind == "Object Deleted" and event["detail"].get("deletion-type") != "Delete Marker Created":
        return None
    size, etag, version = found.get("size", 0), found.get("etag", ""), found.get("version-id")
    if not isinstance(size, int) or size < 0 or not isinstance(etag, str) or not isinstance(version, str | None):
        raise NoUpload(f"the event of {key[:80]!r} has no size, etag and version as S3 has them")
    return Upload(
        bucket=bucket,
        key=key,
        size=size,
        etag=etag,
        sequencer=sequencer.upper().ljust(_LONGEST_SEQUENCER, "0"),
        version_id=version,
        is_deletion=kind == "Object Deleted",
    )


def _is_key(key: str) -> bool:
    try:
        return len(key.encode()) <= _LONGEST_KEY
    except UnicodeEncodeError:
        return False


def _is_hexadecimal(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_SEQUENCER and all(each in "0123456789abcdefABCDEF" for each in text)
