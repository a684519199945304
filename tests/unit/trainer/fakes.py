"""A console that keeps what it is given."""

from __future__ import annotations

import threading
from typing import Any

from trainer.console import STDERR, STDOUT, Console
from trainer.spec import Spec


def spec(**changes: Any) -> Spec:
    """A spec with nothing in it but what has to be."""
    document = {
        "tenant": "default", "user": "ann", "job_id": "job-1", "attempt": 1, "token": "k", "name": "iris",
        "framework": "sklearn", "script": {"uri": "s3://b/u/train.py", "name": "train.py"}, "prefix": "s3://b/p/",
        **changes,
    }  # fmt: skip
    return Spec(document)


class FakeConsole(Console):
    """Keeps lines instead of writing them."""

    def __init__(self) -> None:
        super().__init__(stdout=-1, stderr=-1)
        self.written = {STDOUT: b"", STDERR: b""}
        self.documents: list[dict[str, Any]] = []
        self.arrived = threading.Condition()
        self.identify(spec())

    def pass_on(self, stream: int, data: bytes) -> None:
        self.written[stream] += data

    def structured(self, kind: str, **fields: object) -> None:
        with self.arrived:
            self.documents.append({"t": kind, **fields})
            self.arrived.notify_all()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [document for document in self.documents if document["t"] == kind]
