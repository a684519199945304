"""The calls about batch transforms."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aimatrix.client.errors import ServiceError
from aimatrix.client.paging import each_document
from aimatrix.client.transforms import Transform, TransformOutput
from aimatrix.client.transport import Transport
from aimatrix.client.waiting import wait_until

CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class TransformCalls:
    """``client.transforms``."""

    transport: Transport
    monotonic: Callable[[], float] = time.monotonic

    def start(
        self, model_id: str, source: str, settings: Mapping[str, Any] | None = None, *, key: str | None = None
    ) -> Transform:
        """Asks a model for its answers to all files below an S3 URI.

        Args:
            settings: ``content_type``, ``accept``, ``split``, ``batch_strategy``, ``max_payload_mb``,
                ``max_concurrent_transforms``, ``resource_limits``, ``instance_count``, as docs/transforms.md has them.
            key: the same key is the same transform, however often it is asked for; a random one without.

        Raises:
            ConflictError: the model can't be served.
            InvalidRequestError: what is wrong, by field.
        """
        body = {**(settings or {}), "input": source}
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        path = f"/models/{quote(model_id, safe='')}/transforms"
        return Transform.from_document(self.transport.document("POST", path, body=body, headers=headers))

    def list(self, *, model_id: str | None = None, page_size: int = 50) -> Iterator[Transform]:
        """Transforms, newest first."""

        def fetch(cursor: str | None) -> dict[str, Any]:
            params = {"limit": page_size, "cursor": cursor, "model_id": model_id}
            return self.transport.document("GET", "/transforms", params=params)

        return (Transform.from_document(each) for each in each_document(fetch, "transforms"))

    def get(self, transform_id: str) -> Transform:
        return Transform.from_document(self.transport.document("GET", _one(transform_id)))

    def cancel(self, transform_id: str) -> Transform:
        """Stops it; nothing is stored. One that has ended stays as it is."""
        return Transform.from_document(self.transport.document("DELETE", _one(transform_id)))

    def outputs(self, transform_id: str, *, page_size: int = 100) -> Iterator[TransformOutput]:
        """The files of answers."""

        def fetch(cursor: str | None) -> dict[str, Any]:
            params = {"limit": page_size, "cursor": cursor}
            return self.transport.document("GET", f"{_one(transform_id)}/outputs", params=params)

        found = each_document(fetch, "outputs")
        return (TransformOutput(each["name"], each["uri"], each["size"], each["url"]) for each in found)

    def download(self, transform_id: str, folder: Path) -> tuple[Path, ...]:
        """Writes all answers below a folder, each under its own name.

        Raises:
            ServiceError: a file could not be fetched, or its name leads out of the folder.
        """
        written = []
        # Few at a time: each address is good for a quarter of an hour.
        for output in self.outputs(transform_id, page_size=10):
            target = folder / output.name
            if not target.resolve().is_relative_to(folder.resolve()):
                raise ServiceError(200, "unsafe_name", f"{output.name} leads out of {folder}")
            target.parent.mkdir(parents=True, exist_ok=True)
            with self.transport.http.stream("GET", output.url) as answer, target.open("wb") as file:
                if not answer.is_success:
                    raise ServiceError(answer.status_code, "download_failed", f"{output.name} could not be fetched")
                for chunk in answer.iter_bytes(CHUNK_BYTES):
                    file.write(chunk)
            written.append(target)
        return tuple(written)

    def wait(
        self, transform_id: str, timeout: float | None = None, observe: Callable[[Transform], None] | None = None
    ) -> Transform:
        """The transform, once it has ended (ask ``has_completed()``).

        Raises:
            WaitTimeoutError: it hasn't after ``timeout`` seconds; it goes on.
        """
        return wait_until(
            lambda: self.get(transform_id),
            Transform.is_over,
            describe=f"transform {transform_id}",
            timeout=timeout,
            sleep=self.transport.sleep,
            monotonic=self.monotonic,
            observe=observe,
        )


def _one(transform_id: str) -> str:
    return f"/transforms/{quote(transform_id, safe='')}"
