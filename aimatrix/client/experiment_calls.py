"""The calls about experiments."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aimatrix.client.experiments import Experiment, Joined, Results
from aimatrix.client.paging import each_document
from aimatrix.client.transport import Transport

EXPERIMENTS = "/experiments"


@dataclass(frozen=True)
class ExperimentCalls:
    """``client.experiments``."""

    transport: Transport
    new_key: Callable[[], str] = lambda: str(uuid.uuid4())

    def create(self, plan: Mapping[str, Any], idempotency_key: str | None = None) -> Experiment:
        """Begins an experiment.

        Args:
            plan: ``{"name", "variants", "primary_metric", ...}``, as the documentation of experiments has it; the first
                variant is the control.

        Raises:
            InvalidRequestError: ``errors`` names each field and its cure.
        """
        headers = {"Idempotency-Key": idempotency_key or self.new_key()}
        return Experiment.from_document(self.transport.document("POST", EXPERIMENTS, body=dict(plan), headers=headers))

    def list(self, *, status: str | None = None, page_size: int = 50) -> Iterator[Experiment]:
        """The tenant's experiments, latest first, fetched page by page while they are read."""

        def fetch(cursor: str | None) -> dict[str, Any]:
            params = {"status": status, "limit": page_size, "cursor": cursor}
            return self.transport.document("GET", EXPERIMENTS, params=params)

        return (Experiment.from_document(each) for each in each_document(fetch, "experiments"))

    def get(self, experiment_id: str) -> Experiment:
        return Experiment.from_document(self.transport.document("GET", _path(experiment_id)))

    def results(self, experiment_id: str) -> Results:
        """What the last look found. Asking is no look."""
        return Results.from_document(self.transport.document("GET", f"{_path(experiment_id)}/results"))

    def count(
        self, experiment_id: str, counts: Sequence[Mapping[str, Any]], idempotency_key: str | None = None
    ) -> Results:
        """Adds sums over many units, and looks once. A lost answer is asked for again, and counted once.

        Args:
            counts: ``{"variant", "metric", "n", "successes"}`` of a proportion, and so on by the metric's type.

        Raises:
            ConflictError: the experiment has ended, and counts nothing more.
        """
        headers = {"Idempotency-Key": idempotency_key or self.new_key()}
        body = {"counts": [dict(each) for each in counts]}
        answer = self.transport.document("POST", f"{_path(experiment_id)}/outcomes", body=body, headers=headers)
        return Results.from_document(answer)

    def expose(self, experiment_id: str, exposures: Sequence[Mapping[str, Any]]) -> Joined:
        """Notes which variant units got: ``{"variant", "key"}``, with ``request_id`` too or in place of the key.

        What comes twice is counted once, so that the call may be repeated.
        """
        return Joined.from_document(self._units(experiment_id, "exposures", exposures))

    def report(self, experiment_id: str, outcomes: Sequence[Mapping[str, Any]]) -> tuple[Joined, Results]:
        """Counts what came of units that were exposed: ``{"key", "metric", "value"}``, and looks once."""
        answer = self._units(experiment_id, "outcomes", outcomes)
        return Joined.from_document(answer["outcomes"]), Results.from_document(answer)

    def assign(self, experiment_id: str, keys: Sequence[str]) -> tuple[str, ...]:
        """The variant of each key: the same one whenever it is asked for."""
        answer = self.transport.document("POST", f"{_path(experiment_id)}/assignments", body={"keys": [*keys]})
        return tuple(answer["variants"])

    def stop(self, experiment_id: str, reason: str = "") -> Experiment:
        """Ends it undecided; again changes nothing.

        Raises:
            ConflictError: it has been decided.
        """
        document = self.transport.document("POST", f"{_path(experiment_id)}/stop", body={"reason": reason})
        return Experiment.from_document(document)

    def _units(self, experiment_id: str, kind: str, units: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        # Each unit is counted once by itself; the key only says that the call may be sent again.
        headers = {"Idempotency-Key": self.new_key()}
        body = {kind: [dict(each) for each in units]}
        return self.transport.document("POST", f"{_path(experiment_id)}/{kind}", body=body, headers=headers)


def _path(experiment_id: str) -> str:
    return f"{EXPERIMENTS}/{quote(experiment_id, safe='')}"
