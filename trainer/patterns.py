"""Metrics and progress found in printed lines.

Metric definitions are SageMaker's: a name and a regular expression whose first group is the value. The expression comes
from the user and may take exponential time, so each line has a budget of processor time: a definition that uses it up is
switched off, with a line that says so. Python's `re` looks for signals while it searches, which makes that possible
within one process; it must therefore run in the main thread.

Progress is a line that contains `progress:` and any of `epoch 3/10`, `step 120/1000`, `42.5%`, separated by commas.
"""

from __future__ import annotations

import re
import signal
import threading
import time
from typing import TYPE_CHECKING, Callable

from trainer.reporter import Point, Reporter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from trainer.console import Console

LONGEST_SEARCHED = 4096
BUDGET_SECONDS = 0.05
_PROGRESS = re.compile(r"progress:\s*((?:epoch|step)\s+\d|\d[\d.]*\s*%)", re.IGNORECASE)
_COUNT = re.compile(r"\b(epoch|step)\s+(\d{1,15})\s*/\s*(\d{1,15})", re.IGNORECASE)
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)\s*%")


class _OverBudget(Exception):
    """Raised by the timer's signal in the middle of a search."""


class Patterns:
    """Watches lines for metrics and progress.

    Args:
        definitions: Names and regular expressions.
        reporter: Takes what is found.
        log: Takes metric values for the job's MLflow run.
        console: Told of a definition that had to be switched off.
    """

    def __init__(
        self,
        definitions: Sequence[tuple[str, str]],
        *,
        reporter: Reporter,
        log: Callable[[list[Point]], None],
        console: Console,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._reporter = reporter
        self._log = log
        self._console = console
        self._clock = clock
        self._steps: dict[str, int] = {}
        self._definitions: list[tuple[str, re.Pattern[str]]] = []
        for name, regex in definitions:
            try:
                pattern = re.compile(regex)
            except re.error as error:  # noqa: PERF203 - a handful, once
                console.say(f"the metric definition {name!r} is not a regular expression ({error}) and was left out")
            else:
                self._definitions.append((name, pattern))
        if self._definitions and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGVTALRM, _over_budget)

    def wants(self, block: bytes) -> bool:
        """Whether a block of lines has to be looked at line by line."""
        return bool(self._definitions) or b"progress:" in block.lower()

    def observe(self, line: str) -> None:
        """Looks at one line."""
        line = line[:LONGEST_SEARCHED]
        if self._definitions:
            self._search(line)
        if "progress:" in line.lower():
            self._progress(line)

    def _search(self, line: str) -> None:
        points = []
        for name, pattern in list(self._definitions):
            value = self._value(name, pattern, line)
            if value is not None:
                step = self._steps.get(name, -1) + 1
                self._steps[name] = step
                points.append(Point(name, value, step, int(self._clock() * 1000)))
        if points:
            self._reporter.points(points)
            self._log(points)

    def _value(self, name: str, pattern: re.Pattern[str], line: str) -> float | None:
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, BUDGET_SECONDS)
            try:
                match = pattern.search(line)
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        except _OverBudget:
            self._definitions.remove((name, pattern))
            self._console.say(
                f"the metric definition {name!r} took more than {BUDGET_SECONDS} s for one line and was switched off"
            )
            return None
        return _value(match)

    def _progress(self, line: str) -> None:
        found = _PROGRESS.search(line)
        if found is None:
            return
        text = line[found.start() :]
        fields: dict[str, float | None] = {}
        for word, done, total in _COUNT.findall(text):
            fields[word.lower()] = int(done)
            fields[word.lower() + "s"] = int(total)
        percent = _PERCENT.search(text)
        if percent is not None and float(percent.group(1)) <= 100:
            fields["percent"] = float(percent.group(1))
        if fields:
            self._reporter.progress(**fields)


def _over_budget(_number: int, _frame: FrameType | None) -> None:
    raise _OverBudget


def _value(match: re.Match[str] | None) -> float | None:
    if match is None or match.re.groups < 1 or match.group(1) is None:
        return None
    try:
        return float(match.group(1))
    except ValueError:
        return None
