"""Metrics and progress on their way to the service, as structured lines: gathered for a moment, never held back longer."""

from __future__ import annotations

import collections
import json
import math
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.console import Console

FLUSH_SECONDS = 0.1
_MOST_POINTS = 100
# A container's log driver breaks lines at 16 KiB, and a broken line is no JSON.
_MOST_BYTES = 12 * 1024
_LONGEST_NAME = 250
_REMEMBERED = 20_000
# The end of the year 9999: a later time is no time for who reads it.
_LATEST_MS = 253_402_300_799_999
_EPOCHS = ("epochs", "num_epochs", "n_epochs", "max_epochs", "num_train_epochs")
_STEPS = ("max_steps", "num_steps", "total_steps", "steps")


class Point:
    """One value of one metric. `at_ms` is in milliseconds since the epoch."""

    __slots__ = ("at_ms", "epoch", "name", "step", "value")

    def __init__(self, name: str, value: float, step: int, at_ms: int, epoch: int | None = None) -> None:
        self.name = name
        self.value = value
        self.step = step
        self.at_ms = at_ms
        self.epoch = epoch


class Reporter:
    """Emits `metrics` and `progress` lines.

    Everything that arrives within `FLUSH_SECONDS` shares a line. Progress is only as good as its newest state, so of
    several updates in that time the last one is sent. A `metrics` line says how many points there have been with it, and the
    latest time that one of them has, since when: totals, so that a line may be lost or come twice.

    Args:
        console: Where the lines go.
        parameters: The job's parameters: how many epochs or steps there will be is looked up there.
    """

    def __init__(self, console: Console, parameters: dict[str, Any]) -> None:
        self._console = console
        self._changed = threading.Condition()
        self._points: collections.deque[Point] = collections.deque()
        self._progress: dict[str, Any] = {
            "epoch": None,
            "epochs": _total(parameters, _EPOCHS),
            "step": None,
            "steps": _total(parameters, _STEPS),
            "percent": None,
        }
        self._progress_changed = False
        self._since_ms = int(time.time() * 1000)
        self._told = 0
        self._latest_ms = 0
        self._closed = False
        self._latest: dict[str, Point] = {}
        self._seen: collections.OrderedDict[tuple[str, int, int, float], None] = collections.OrderedDict()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        self._thread.start()

    def points(self, points: list[Point]) -> None:
        """Takes metric values. A metric named `epoch`, `step` or `global_step` is progress as well.

        A value that was taken before is not taken again: MLflow's client sends a run's metrics once more when it links
        them to a logged model, and repeats a request whose answer got lost.
        """
        points = [point for point in points if self._is_new(point)]
        if not points:
            return
        progress: dict[str, Any] = {}
        for point in points:
            if point.name in {"epoch", "step", "global_step"} and math.isfinite(point.value) and point.value >= 0:
                # Some libraries log a fractional epoch (3.25): the fourth is under way.
                progress["epoch" if point.name == "epoch" else "step"] = math.floor(point.value)
        with self._changed:
            if progress:
                self._merge(progress)
            for point in points:
                if point.epoch is None:
                    point.epoch = self._progress["epoch"]
                last = self._latest.get(point.name)
                if last is None or (last.step, last.at_ms) <= (point.step, point.at_ms):
                    self._latest[point.name] = point
            self._points.extend(points)
            self._changed.notify()

    def progress(self, **fields: float | None) -> None:
        """Takes what is known of epoch, epochs, step, steps and percent."""
        with self._changed:
            self._merge(fields)
            self._changed.notify()

    def latest(self) -> dict[str, float | str]:
        """The last value of each metric: that of the highest step, and of the latest time within it, as in MLflow."""
        with self._changed:
            return {name: _number(point.value) for name, point in self._latest.items()}

    def close(self) -> None:
        """Sends what is left and ends."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _is_new(self, point: Point) -> bool:
        key = (point.name, point.step, point.at_ms, point.value)
        with self._changed:
            if key in self._seen:
                return False
            self._seen[key] = None
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
            return True

    def _merge(self, fields: dict[str, Any]) -> None:
        before = dict(self._progress)
        self._progress.update({name: value for name, value in fields.items() if value is not None})
        if "percent" not in fields:
            self._progress["percent"] = _percent(self._progress)
        self._progress_changed = self._progress_changed or self._progress != before

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._points or self._progress_changed or self._closed):
                    self._changed.wait()
                self._changed.wait_for(lambda: self._closed, FLUSH_SECONDS)
            self._flush()
            with self._changed:
                if self._closed and not self._points and not self._progress_changed:
                    return

    def _flush(self) -> None:
        with self._changed:
            points = list(self._points)
            self._points.clear()
            progress = dict(self._progress) if self._progress_changed else None
            self._progress_changed = False
        chunk: list[list[Any]] = []
        size = 0
        for point in points:
            row = [point.name[:_LONGEST_NAME], _number(point.value), point.step, point.epoch, point.at_ms]
            length = len(json.dumps(row))
            if chunk and (len(chunk) == _MOST_POINTS or size + length > _MOST_BYTES):
                self._tell(chunk)
                chunk, size = [], 0
            chunk.append(row)
            size += length
            if point.at_ms <= _LATEST_MS:
                self._told += 1
                self._latest_ms = max(self._latest_ms, point.at_ms)
        if chunk:
            self._tell(chunk)
        if progress is not None:
            self._console.structured("progress", **progress)

    def _tell(self, chunk: list[list[Any]]) -> None:
        self._console.structured(
            "metrics", points=chunk, since=self._since_ms, total=self._told, latest=self._latest_ms
        )


def _number(value: float) -> float | str:
    """JSON has no notation for these three; the names are the ones that MLflow's REST API uses."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _total(parameters: dict[str, Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        try:
            value = int(parameters.get(name, 0))
        except (TypeError, ValueError, OverflowError):
            continue
        if value > 0:
            return value
    return None


def _percent(progress: dict[str, Any]) -> float | None:
    for done, total in (("step", "steps"), ("epoch", "epochs")):
        if progress[done] is not None and progress[total]:
            return float(round(min(100.0, 100.0 * progress[done] / progress[total]), 2))
    percent: float | None = progress["percent"]
    return percent
