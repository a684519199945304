"""The job's MLflow run: made before the script starts, or as soon as the server is there."""

from __future__ import annotations

import os
import threading
import time
from urllib.parse import quote

from trainer.tracking.upstream import Unreachable

TYPE_CHECKING = False  # `typing` costs the agent's start 10 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from trainer.spec import Spec
    from trainer.tracking.upstream import Upstream

DEFAULT_TENANT = "default"


class Refused(Exception):
    """The server answered, and did not want to make the run."""


class JobRun:
    """Identity of the run, with a made-up one until the server has given the real one.

    The made-up ids have the form of real ones (32 hexadecimal digits; an experiment's is a number) and are random: wherever
    they turn up in a request, `translate` can put the real ones in their place.

    Args:
        spec: The job.
        opened: Called once, from whichever thread opened the run.
        clock: Seconds since the epoch.
    """

    def __init__(
        self, spec: Spec, *, opened: Callable[[str, str], None], clock: Callable[[], float] = time.time
    ) -> None:
        self._spec = spec
        self._opened = opened
        self._clock = clock
        self._settled = threading.Event()
        self.experiment_name = experiment_name(spec)
        self._made_up_run = os.urandom(16).hex()
        self._made_up_experiment = str(10**17 + int.from_bytes(os.urandom(7), "big") % 10**17)
        self.started_ms = int(clock() * 1000)
        self._real: tuple[str, str] | None = None
        self._document: dict[str, Any] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the server knows the run."""
        return self._real is not None

    @property
    def experiment_id(self) -> str:
        """The real id if there is one, else the made-up one."""
        return self._real[0] if self._real else self._made_up_experiment

    @property
    def run_id(self) -> str:
        """The real id if there is one, else the made-up one."""
        return self._real[1] if self._real else self._made_up_run

    def is_me(self, run_id: object) -> bool:
        """Whether an id, real or made up, is this run's."""
        return run_id == self._made_up_run or (self._real is not None and run_id == self._real[1])

    def wait(self, seconds: float) -> None:
        """Returns once the run is open, or the first attempt to open it has failed, or time is up."""
        self._settled.wait(seconds)

    def open(self, upstream: Upstream) -> None:
        """Makes the run, and its experiment if need be.

        Raises:
            Unreachable: the server is away.
            Refused: it will not make it.
        """
        try:
            experiment = self._find_experiment(upstream)
            document = self._create(upstream, experiment)
        finally:
            self._settled.set()
        self._document = document
        self._real = (experiment, document["info"]["run_id"])
        self._opened(*self._real)

    def translate(self, data: bytes) -> bytes:
        """Puts real ids in place of made-up ones."""
        if self._real is None:
            return data
        experiment, run = (item.encode() for item in self._real)
        return data.replace(self._made_up_run.encode(), run).replace(self._made_up_experiment.encode(), experiment)

    def document(self) -> dict[str, Any]:
        """The run as MLflow's `runs/get` shows it, from what the agent knows."""
        if self._document is not None:
            return self._document
        return {
            "info": {
                "run_id": self._made_up_run,
                "run_uuid": self._made_up_run,
                "run_name": self._spec.run_name,
                "experiment_id": self._made_up_experiment,
                "user_id": self._spec.user,
                "status": "RUNNING",
                "start_time": self.started_ms,
                "artifact_uri": f"mlflow-artifacts:/{self._made_up_experiment}/{self._made_up_run}/artifacts",
                "lifecycle_stage": "active",
            },
            "data": {"tags": self._tags()},
            "inputs": {},
        }

    def experiment_document(self) -> dict[str, Any]:
        """The experiment as MLflow's `experiments/get` shows it, from what the agent knows."""
        return {
            "experiment_id": self.experiment_id,
            "name": self.experiment_name,
            "artifact_location": f"mlflow-artifacts:/{self.experiment_id}",
            "lifecycle_stage": "active",
            "creation_time": self.started_ms,
            "last_update_time": self.started_ms,
        }

    def _find_experiment(self, upstream: Upstream) -> str:
        query = f"experiments/get-by-name?experiment_name={quote(self.experiment_name, safe='')}"
        # Twice: another job of the same name may make the experiment between the question and the creation.
        for _ in range(2):
            status, answer = upstream.call("GET", query)
            if status == 200:
                experiment = answer["experiment"]
                if experiment.get("lifecycle_stage") == "deleted":
                    _expect(
                        upstream.call("POST", "experiments/restore", {"experiment_id": experiment["experiment_id"]})
                    )
                return str(experiment["experiment_id"])
            if answer.get("error_code") != "RESOURCE_DOES_NOT_EXIST" and status != 404:
                _expect((status, answer))
            status, answer = upstream.call("POST", "experiments/create", {"name": self.experiment_name})
            if status == 200:
                return str(answer["experiment_id"])
            if answer.get("error_code") != "RESOURCE_ALREADY_EXISTS":
                _expect((status, answer))
        raise Unreachable(f"the experiment {self.experiment_name!r} appears and disappears")

    def _create(self, upstream: Upstream, experiment: str) -> dict[str, Any]:
        answer = _expect(
            upstream.call(
                "POST",
                "runs/create",
                {
                    "experiment_id": experiment,
                    "user_id": self._spec.user,
                    "run_name": self._spec.run_name,
                    "start_time": self.started_ms,
                    "tags": self._tags(),
                },
            )
        )
        document: dict[str, Any] = answer["run"]
        return document

    def _tags(self) -> list[dict[str, str]]:
        tags = {
            "mlflow.user": self._spec.user,
            "mlflow.runName": self._spec.run_name,
            "mlflow.source.name": self._spec.script_name,
            "mlflow.source.type": "JOB",
            "aimatrix.job_id": self._spec.job_id,
            "aimatrix.attempt": str(self._spec.attempt),
        }
        return [{"key": key, "value": value} for key, value in tags.items()]


def experiment_name(spec: Spec) -> str:
    """The job's name, under the tenant's name for every tenant but the default one."""
    name = spec.experiment_name
    prefix = f"{spec.tenant}/"
    return name if spec.tenant == DEFAULT_TENANT or name.startswith(prefix) else prefix + name


def _expect(result: tuple[int, dict[str, Any]]) -> dict[str, Any]:
    status, answer = result
    if status != 200:
        raise Refused(f"HTTP {status} {answer.get('error_code', '')}: {answer.get('message', '')}"[:500])
    return answer
