"""What a write to MLflow says about the job: metric values, logged models, parameters."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from trainer.reporter import Point

if TYPE_CHECKING:
    from trainer.tracking.run import JobRun

_LEGACY_MODEL_TAG = "mlflow.log-model.history"


class LoggedModel(NamedTuple):
    """A model that the script logged: under an id of its own, or (older clients) as artifacts of the run."""

    model_id: str | None
    artifact_uri: str


class Observer:
    """Sees each write that was accepted, once.

    Args:
        run: Only what belongs to this run counts. A child run's metrics are its own.
        points: Takes metric values.
    """

    def __init__(self, run: JobRun, *, points: Callable[[list[Point]], None]) -> None:
        self._run = run
        self._points = points
        self._models: list[LoggedModel] = []
        self._lock = threading.Lock()

    def logged_model(self) -> LoggedModel | None:
        """The model that was logged last."""
        with self._lock:
            return self._models[-1] if self._models else None

    def accepted(self, name: str, document: dict[str, Any], answer: bytes) -> None:
        """Takes note of a write.

        Args:
            name: The REST call, for example `runs/log-batch`.
            document: Its body.
            answer: What the server answered; empty when the write is waiting in the spool.
        """
        if name == "logged-models":
            self._model_created(answer)
            return
        if not self._run.is_me(document.get("run_id") or document.get("run_uuid")):
            return
        if name == "runs/log-metric":
            self._emit([document])
        elif name == "runs/log-batch":
            self._emit(document.get("metrics") or [])
            for tag in document.get("tags") or []:
                self._tag(tag)
        elif name == "runs/set-tag":
            self._tag(document)

    def _emit(self, metrics: list[dict[str, Any]]) -> None:
        points = []
        for metric in metrics:
            try:
                point = Point(
                    str(metric["key"]), float(metric["value"]), int(metric.get("step") or 0), int(metric["timestamp"])
                )
            except (KeyError, TypeError, ValueError):
                continue
            points.append(point)
        epochs = [point.value for point in points if point.name == "epoch"]
        if epochs and epochs[-1] >= 0 and epochs[-1] < 1e15:
            for point in points:
                point.epoch = int(epochs[-1])
        self._points(points)

    def _model_created(self, answer: bytes) -> None:
        info = _object(answer).get("model", {}).get("info", {})
        if self._run.is_me(info.get("source_run_id")) and info.get("artifact_uri"):
            with self._lock:
                self._models.append(LoggedModel(info.get("model_id"), info["artifact_uri"]))

    def _tag(self, tag: dict[str, Any]) -> None:
        if tag.get("key") != _LEGACY_MODEL_TAG:
            return
        history = json.loads(tag.get("value") or "[]")
        run_uri = self._run.document()["info"].get("artifact_uri")
        if isinstance(history, list) and history and run_uri:
            path = history[-1].get("artifact_path")
            with self._lock:
                if path and not any(model.model_id for model in self._models):
                    self._models.append(LoggedModel(None, f"{run_uri.rstrip('/')}/{path}"))


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
