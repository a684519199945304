"""How the events of a job are shown: line by line anywhere, or with a live status line on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from aimatrix.cli.output import Output, dim, number, printable, status
from aimatrix.cli.watching import Changed, Event, Measured, Printed

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from aimatrix.client import Amounts, Job, Metric

Say = Callable[[str], None]

# Widest of the words in the second column.
WORD = len("completed")

# Steps of metrics told at once, line by line; a fast script logs hundreds between two looks.
MOST_STEPS = 5


class View(Protocol):
    def show(self, event: Event) -> None: ...


class Plain:
    """One line for each thing that happens, with the time: reads well in a terminal, a file and CI.

    Args:
        say: takes lines about the job.
        print_line: takes the job's own lines.
    """

    def __init__(self, say: Say, print_line: Say, now: Callable[[], datetime]) -> None:
        self._say = say
        self._print_line = print_line
        self._now = now
        self._said: tuple[str, str] | None = None

    def show(self, event: Event) -> None:
        match event:
            case Changed(job):
                # Progress alone isn't worth a line here: the script's own lines tell it.
                told = (job.status, describe(job))
                if told != self._said:
                    self._said = told
                    self.tell(status(job.status, WORD), describe(job))
            case Printed(entries):
                for entry in entries:
                    self._print_line(printable(entry.message))
            case Measured(metrics):
                for line in summarise(metrics):
                    self.tell(dim("metrics".ljust(WORD)), line)

    def tell(self, word: str, text: str) -> None:
        """One line of the story: the time, a word, what there is to say."""
        self._say(f"{dim(self._now().strftime('%H:%M:%S'))}  {word}  {text}".rstrip())


class Live:
    """A status line that keeps itself up to date below the job's lines."""

    def __init__(self, progress: RichProgress, task: TaskID, plain: Plain) -> None:
        self._progress = progress
        self._task = task
        self._plain = plain
        self._latest: dict[str, float] = {}

    def show(self, event: Event) -> None:
        match event:
            case Changed(job):
                self._progress.update(
                    self._task,
                    description=job.status,
                    completed=job.progress.percentage_complete or 0,
                    total=100 if job.progress.percentage_complete is not None else None,
                    detail=str(job.progress) or describe(job),
                )
            case Measured(metrics):
                self._latest.update((metric.name, metric.value) for metric in metrics)
                newest = [f"{name} {number(value)}" for name, value in list(self._latest.items())[-4:]]
                self._progress.update(self._task, metrics=" · ".join(newest))
            case Printed():
                pass
        self._plain.show(event)


@contextmanager
def job_view(output: Output, now: Callable[[], datetime]) -> Iterator[View]:
    """The view that suits where the output goes."""
    if not output.is_lively():
        yield Plain(output.note, output.line, now)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    progress = Progress(
        SpinnerColumn(),
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[detail]}", markup=False),
        TextColumn("{task.fields[metrics]}", style="cyan", markup=False),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )

    def above(text: str) -> None:
        console.print(Text.from_ansi(text), soft_wrap=True)

    # On a terminal the job's lines must go past the status line; into a file or pipe they go by themselves.
    plain = Plain(above, above if sys.stdout.isatty() else output.line, now)
    with progress:
        yield Live(progress, progress.add_task("pending", total=None, detail="", metrics=""), plain)


def describe(job: Job) -> str:
    """What there is to say about a job's status, in a few words."""
    if job.status == "failed":
        return printable((job.failure_reason or "").strip().splitlines()[-1]) if job.failure_reason else ""
    # SageMaker's secondary status ends in the status itself.
    parts = [job.doing() if job.doing().lower() != job.status else ""]
    if job.attempts > 1:
        parts.append(f"attempt {job.attempts}")
    return " · ".join(part for part in parts if part)


def allocation(job: Job) -> str:
    """Where a job runs and what an hour of it costs."""
    given = job.resource_allocation
    if not given.get("instance_type"):
        return ""
    price = given.get("price_per_hour_usd")
    gpus = given.get("gpu_count")
    parts = [
        str(given["instance_type"]),
        f"{gpus} × {given.get('gpu_type') or 'GPU'}" if gpus else "",
        f"${price}/h" if price is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def time_limit(job: Job) -> str:
    """How long it may run, and why no longer, where that isn't what its user asked for."""
    if job.time_limit is None:
        return ""
    by = job.time_limit.set_by
    return f"{job.time_limit.seconds} s" + (f", set by {by}" if by != "max_runtime_seconds" else "")


def amounts(taken: Amounts | None) -> str:
    """What a job takes of a quota."""
    if taken is None:
        return ""
    parts = [
        f"{taken.gpu_hours:.4g} GPU hours" if taken.gpu_hours else "",
        f"{taken.cpu_hours:.4g} CPU hours",
        f"{taken.storage_gb:.4g} GB",
        f"${taken.cost_usd:.4f}",
    ]
    return " · ".join(part for part in parts if part)


def summarise(metrics: tuple[Metric, ...]) -> list[str]:
    """The points as lines, one a step: ``step 3: loss 0.12 · accuracy 0.97``. Of many steps at once, the last."""
    by_step: dict[int | None, dict[str, float]] = {}
    for metric in metrics:
        by_step.setdefault(metric.step, {})[metric.name] = metric.value
    lines = [
        (f"step {step}: " if step else "") + " · ".join(f"{name} {number(value)}" for name, value in values.items())
        for step, values in by_step.items()
    ]
    left_out = len(lines) - MOST_STEPS
    return lines if left_out <= 0 else [f"({left_out} more step{'s' if left_out > 1 else ''})", *lines[-MOST_STEPS:]]
