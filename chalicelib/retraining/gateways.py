"""The queue of retraining, to which what is to be looked at again is sent, and the data as S3 has it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chalicelib.clock import derived_id
from chalicelib.objects import Objects
from chalicelib.retraining.run import DataVersion, Run

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

LONGEST_DELAY_SECONDS = 900
"""https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html"""

_LOOK = "look"


@dataclass(frozen=True)
class Look:
    """A run is to be looked at."""

    tenant: str
    policy_id: str
    number: int


@dataclass(frozen=True)
class Looks:
    client: Callable[[], SQSClient]
    url: str

    def send(self, look: Look, seconds: float) -> None:
        """Have a run looked at after a while, `LONGEST_DELAY_SECONDS` at most. Who comes early finds nothing due."""
        delay = max(0, min(LONGEST_DELAY_SECONDS, int(-(-seconds // 1))))
        self.client().send_message(QueueUrl=self.url, MessageBody=json.dumps({_LOOK: vars(look)}), DelaySeconds=delay)


def look_of(document: Mapping[str, Any]) -> Look | None:
    """What a message asks for; None for any other message."""
    match document.get(_LOOK):
        case {"tenant": str(tenant), "policy_id": str(policy_id), "number": int(number)}:
            return Look(tenant, policy_id, number)
    return None


class TooMuch(Exception):
    """More lies below the prefix than a job may be given, or than is read in one call; says so."""


@dataclass(frozen=True)
class Data:
    objects: Objects

    def version(self, run: Run, prefix: str, manifests: str, most: int) -> DataVersion | None:
        """What lies below a prefix now, written down object by object; None where nothing does.

        Args:
            manifests: where the list is written.
            most: objects.

        Raises:
            TooMuch: there are more, or far more old versions of them.
        """
        lines: list[str] = []
        size = 0
        for read, found in enumerate(self.objects.versions(prefix), 1):
            if read > _MOST_READ:
                said = (
                    f"More than {_MOST_READ:,} versions of objects lie below the prefix, old ones among them: use one"
                )
                raise TooMuch(f"{said} whose objects are not written again and again.")
            if not found.is_latest:
                continue
            values = {"key": found.key, "version_id": found.version_id, "etag": found.etag, "size": found.size}
            lines.append(json.dumps(values))
            size += found.size
            if len(lines) > most:
                raise TooMuch(f"More than {most:,} objects lie below the prefix: pack them into fewer, larger files.")
        if not lines:
            return None
        body = "".join(f"{line}\n" for line in lines).encode()
        checksum = hashlib.sha256(body).hexdigest()
        manifest = f"{manifests}{checksum}.jsonl"
        self.objects.write(manifest, body, "application/jsonlines")
        uri = self.objects.uri(prefix)
        data_id = derived_id("data", run.tenant, uri, checksum)
        return DataVersion(data_id, uri, len(lines), size, checksum, manifest)

    def keys(self, prefix: str) -> list[str]:
        """Of the first thousand objects below a prefix."""
        return [found.key for found in self.objects.page(prefix, 1000, None)]

    def samples(self, keys: Iterable[str], most: int) -> Iterator[str]:
        """What some CSV files begin with; what is gone or no text is left out."""
        read = 0
        for key in keys:
            if read == most:
                return
            if not key.lower().endswith(".csv"):
                continue
            head = self.objects.head_bytes(key, _SAMPLE_BYTES)
            if head is None:
                continue
            read += 1
            text = head.decode("utf-8", "replace")
            # The last line may be cut off.
            yield text if len(head) < _SAMPLE_BYTES else text.rpartition("\n")[0]


_SAMPLE_BYTES = 256 * 1024
_MOST_READ = 50_000
