"""What the emulator says of each injected fault, read as the control plane reads AWS's own words: the right cause."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chalicelib.jobs.causes import Cause, cause_of
from chalicelib.jobs.gateways import BatchBackend, SageMakerBackend
from chalicelib.jobs.job import Attempt, Backend
from tests.functional.compute.test_batch_jobs import Batch
from tests.unit.compute.harness import emulator

HANG = "import time; time.sleep(600)"
BOTH = [
    ("spot_interruption", None),
    ("out_of_memory", Cause.OUT_OF_MEMORY),
    ("crash", Cause.OUT_OF_MEMORY),
    ("image_pull", Cause.IMAGE),
    ("host_failure", Cause.INTERNAL),
]


def attempt(backend: Backend) -> Attempt:
    return Attempt("acme", "j", 1, "t", backend, datetime(2026, 3, 1, tzinfo=UTC), backend_id="job")


class Said:
    """A client that answers with what was described."""

    exceptions = SimpleNamespace(ClientError=RuntimeError)

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def describe_training_job(self, **_: str) -> Mapping[str, Any]:
        return self._document

    def describe_jobs(self, **_: Any) -> Mapping[str, Any]:
        return {"jobs": [self._document]}


@pytest.mark.parametrize(
    ("fault", "cause"),
    [*BOTH, ("no_capacity", Cause.CAPACITY), ("data_missing", Cause.DATA)],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_on_sagemaker(tmp_path: Path, fault: str, cause: Cause | None) -> None:
    async def scenario() -> dict[str, Any]:
        async with emulator(tmp_path, stop_grace=0.2) as emulated:
            emulated.host.faults.replace({"rules": [{"fault": fault, "times": 1}]})
            await emulated.train("job", HANG)
            return await emulated.ended("job")

    found = SageMakerBackend(cast("Any", Said(asyncio.run(scenario())))).describe(attempt(Backend.SAGEMAKER))
    # Without managed spot SageMaker calls a lost machine its own failure.
    assert cause_of(found, None) is (cause or Cause.INTERNAL), found.reason


@pytest.mark.parametrize(("fault", "cause"), BOTH, ids=lambda value: value if isinstance(value, str) else None)
def test_on_batch(tmp_path: Path, fault: str, cause: Cause | None) -> None:
    async def scenario() -> dict[str, Any]:
        async with emulator(tmp_path, stop_grace=0.2) as emulated:
            batch = Batch(emulated)
            await batch.set_up()
            emulated.host.faults.replace({"rules": [{"fault": fault, "times": 1}]})
            return await batch.ended(await batch.submit(HANG))

    found = BatchBackend(cast("Any", Said(asyncio.run(scenario())))).describe(attempt(Backend.BATCH))
    assert cause_of(found, None) is (cause or Cause.SPOT_INTERRUPTION), found.reason
    assert (found.started_at is None) == (fault in {"image_pull", "host_failure"})
