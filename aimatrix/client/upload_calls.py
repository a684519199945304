"""Local files into the artifact store, through URLs that the service has signed: no AWS credentials needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from aimatrix.client.errors import ServiceError, UploadError
from aimatrix.client.retry import RETRIED_STATUS
from aimatrix.client.transport import Transport
from aimatrix.client.uploads import Upload, UploadFile, unique

CHUNK_BYTES = 1024 * 1024

# A stalled transfer is given up; one that goes on, however slow, is not.
TRANSFER_TIMEOUT = httpx.Timeout(60.0, connect=10.0)

UploadProgress = Callable[[str, int, int], None]
"""Called with a file's name, how many bytes of it have been sent, and its size; a repeated attempt starts at 0."""


def _unobserved(_name: str, _sent: int, _total: int) -> None:
    """The progress callback of somebody who doesn't look."""


@dataclass(frozen=True)
class UploadCalls:
    """``client.uploads``."""

    transport: Transport

    def upload(self, files: Iterable[Path | UploadFile], progress: UploadProgress = _unobserved) -> Upload:
        """Sends the files, all into one new prefix of the caller's own.

        Raises:
            ValueError: two files would get the same name.
            UploadError: the store refused a file, or a file changed while it was read.
        """
        named = unique(files)
        sizes = {file.name: file.path.stat().st_size for file in named}
        granted = self.transport.document(
            "POST", "/uploads", body={"files": [{"name": name, "size": size} for name, size in sizes.items()]}
        )
        targets = {target["name"]: target for target in granted["files"]}
        missing = sizes.keys() - targets.keys()
        if missing:
            raise ServiceError(201, "incomplete_grant", f"no place was given for {', '.join(sorted(missing))}")
        for file in named:
            self._send(file, sizes[file.name], targets[file.name], progress)
        return Upload(granted["upload_id"], {name: targets[name]["uri"] for name in sizes})

    def _send(self, file: UploadFile, size: int, target: Mapping[str, Any], progress: UploadProgress) -> None:
        attempt = 0
        while True:
            attempt += 1
            try:
                response = self.transport.http.request(
                    target.get("method", "PUT"),
                    target["url"],
                    # A length of its own: S3 takes no chunked transfer on a signed URL.
                    headers={**target.get("headers", {}), "Content-Length": str(size)},
                    content=_chunks(file, size, progress),
                    timeout=TRANSFER_TIMEOUT,
                )
            except httpx.TransportError as error:
                failure, passing = f"{file.path}: {str(error) or type(error).__name__}", True
                cause: httpx.TransportError | None = error
            else:
                if response.is_success:
                    return
                failure = f"{file.path}: the artifact store answered {response.status_code} {response.reason_phrase}"
                passing, cause = response.status_code in RETRIED_STATUS or response.status_code == 500, None
            delay = self.transport.policy.delay(attempt, None, self.transport.rng) if passing else None
            if delay is None:
                raise UploadError(failure) from cause
            self.transport.sleep(delay)


def _chunks(file: UploadFile, size: int, progress: UploadProgress) -> Iterator[bytes]:
    """The file's bytes, exactly as many as were announced."""
    sent = 0
    progress(file.name, 0, size)
    with file.path.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            sent += len(chunk)
            if sent > size:
                break
            yield chunk
            progress(file.name, sent, size)
    if sent != size:
        raise UploadError(f"{file.path} changed while it was being sent; send it again when it is complete")
