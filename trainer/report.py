"""How an attempt ended, for everybody who asks: manifest.json, output/failure, the `exit` line."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from trainer.errors import StorageError

if TYPE_CHECKING:
    from trainer.console import Console
    from trainer.layout import Layout
    from trainer.outputs import Artifact
    from trainer.s3 import S3Client, S3Uri


# The service reads four mebibytes of a manifest.
MAX_NAMED = 5000


class Report:
    """Filled in as the attempt goes on; `deliver` sends it at the end.

    Args:
        prefix: Where manifest.json goes.
    """

    def __init__(self, job_id: str, attempt: int, prefix: S3Uri) -> None:
        self._job_id = job_id
        self._attempt = attempt
        self._prefix = prefix
        self.code = 1
        self.signal: int | None = None
        self.reason: str | None = None
        self.cause: str | None = None
        self.arguments: str | None = None
        self.started_at: float | None = None
        self.ended_at: float | None = None
        self.run: dict[str, str] | None = None
        self.artifacts: list[Artifact] = []
        self.model: dict[str, Any] | None = None
        self.metrics: dict[str, Any] = {}

    def fail(self, reason: str) -> None:
        """Makes the attempt a failure, unless it is one already: the first reason is the cause."""
        if self.code == 0:
            self.code = 1
        if self.reason is None:
            self.reason = reason[:1024]

    def document(self) -> dict[str, Any]:
        """manifest.json: of very many artifacts it names the first, the model before all, and counts the rest."""
        named = sorted(self.artifacts, key=lambda artifact: artifact.type != "model")[:MAX_NAMED]
        return {
            "schema": 1,
            "job_id": self._job_id,
            "attempt": self._attempt,
            "exit_code": self.code,
            "signal": self.signal,
            "reason": self.reason,
            "cause": self.cause,
            "arguments": self.arguments,
            "started_at": _rfc3339(self.started_at),
            "ended_at": _rfc3339(self.ended_at),
            "run": self.run,
            "artifacts": [artifact.document() for artifact in named],
            "artifacts_total": len(self.artifacts),
            "artifacts_bytes": sum(artifact.size_bytes for artifact in self.artifacts),
            "model": self.model,
            "metrics": self.metrics,
        }

    def record_failure(self, s3: S3Client, layout: Layout, console: Console) -> None:
        """Sends what is known so far about a failure, so that nothing which cuts the agent off can hide the cause.

        `deliver` replaces it.
        """
        self._mask(console)
        write_failure(layout, self.reason or "")
        try:
            self._put_manifest(s3)
        except StorageError as error:
            console.say(str(error))

    def deliver(self, s3: S3Client, layout: Layout, console: Console) -> int:
        """Sends the manifest, last of all objects, and the `exit` line. Returns the agent's exit code."""
        self._mask(console)
        try:
            self._put_manifest(s3)
        except StorageError as error:
            self.fail(console.masked(f"the manifest could not be uploaded: {error}"))
            console.say(str(error))
        if self.reason is not None:
            write_failure(layout, self.reason)
        console.structured("exit", code=self.code, signal=self.signal, reason=self.reason)
        return self.code

    def _mask(self, console: Console) -> None:
        """Takes the values of secrets out of what others wrote: errors, names of metrics, what is wrong with a model."""
        if console.mask is None:
            return
        self.reason = None if self.reason is None else console.masked(self.reason)
        self.metrics = console.mask.document(self.metrics)
        if self.model is not None and self.model.get("reason"):
            self.model["reason"] = console.masked(self.model["reason"])

    def _put_manifest(self, s3: S3Client) -> None:
        body = json.dumps(self.document(), indent=1).encode()
        s3.put_bytes(self._prefix.join("manifest.json"), body, content_type="application/json")


def write_failure(layout: Layout, reason: str) -> None:
    """SageMaker shows this file's first 1,024 characters as the training job's FailureReason."""
    layout.output.mkdir(parents=True, exist_ok=True)
    layout.failure.write_text(reason, "utf-8", "replace")


def _rfc3339(moment: float | None) -> str | None:
    if moment is None:
        return None
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))
    return f"{whole}.{int(moment * 1000) % 1000:03d}Z"
