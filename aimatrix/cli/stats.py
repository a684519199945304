"""``aimatrix stats``: what runs, who uses how much, how good models are, what became of a framework's jobs."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from aimatrix.cli import options
from aimatrix.cli.output import Output, dim, number, printable, table
from aimatrix.cli.tools import Target, tools

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimatrix.client.stats import FrameworkStats, ModelStats, UserStats

app = typer.Typer(
    help="What runs, who uses how much, how good models are, what became of a framework's jobs.", no_args_is_help=True
)

Limit = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")]
_PAGE = 100
_NOTHING = "-"


@app.command("active-jobs")
def active_jobs(
    ctx: typer.Context,
    user: Annotated[
        str | None, typer.Option(help="Only this user's (needs a role that sees them).", metavar="ID")
    ] = None,
    limit: Limit = 100,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """List the jobs that wait or run, with how much they have measured and when last.

    Example:

      aimatrix stats active-jobs
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = list(islice(client.stats.active_jobs(user, min(limit, _PAGE)), limit))
    rows = [
        (
            each.job.job_id,
            printable(each.job.name),
            printable(str(each.document.get("user_id", ""))),
            each.job.status,
            each.job.framework,
            str(each.metric_count),
            each.last_metric_timestamp or _NOTHING,
        )
        for each in found
    ]
    headers = ("JOB", "NAME", "USER", "STATUS", "FRAMEWORK", "METRICS", "LAST METRIC")
    lines = table(headers, rows) if rows else [dim("no job waits or runs")]
    Output(as_json).finish({"jobs": [each.document for each in found]}, *lines)


@app.command()
def users(
    ctx: typer.Context,
    limit: Limit = 100,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Show what you use of your limits; administrators see everybody who ever had a job.

    What open jobs have reserved counts as used.

    Example:

      aimatrix stats users
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = list(islice(client.stats.users(min(limit, _PAGE)), limit))
    lines = _of_users(found) if found else [dim("nobody has had a job")]
    Output(as_json).finish({"users": [each.document for each in found]}, *lines)


@app.command()
def models(
    ctx: typer.Context,
    framework: Annotated[str | None, typer.Option(help="Only this framework's.")] = None,
    limit: Limit = 100,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """List models, newest first, with how good each is and how many deployments serve it.

    Example:

      aimatrix stats models --framework sklearn
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = list(islice(client.stats.models(framework, page_size=min(limit, _PAGE)), limit))
    lines = _of_models(found) if found else [dim("no models")]
    Output(as_json).finish({"models": [each.document for each in found]}, *lines)


@app.command()
def frameworks(
    ctx: typer.Context,
    first: Annotated[
        str | None, typer.Option("--from", help="The first day (default: the first of the month).", metavar="DATE")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="The last day (default: today).", metavar="DATE")] = None,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Show what became of the jobs that were submitted between two days (UTC), by framework.

    Needs a role that sees everybody's jobs.

    Example:

      aimatrix stats frameworks --from 2026-11-01 --to 2026-11-30
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        report = client.stats.frameworks(first, last)
    lines = _of_frameworks(report.frameworks)
    Output(as_json).finish(report.document, dim(f"{report.first} to {report.last}"), *lines)


def _of_users(found: Sequence[UserStats]) -> list[str]:
    rows = [
        (
            printable(each.user_id),
            _of(each.current_concurrent_jobs, each.max_concurrent_jobs),
            _of(each.current_gpu_hours_this_month, each.max_gpu_hours_per_month),
            _NOTHING if each.gpu_utilization_percent is None else f"{each.gpu_utilization_percent:.1f} %",
            _of(each.document["current_cpu_hours_this_month"], each.document.get("max_cpu_hours_per_month")),
            _of(each.document["current_storage_gb"], each.document.get("max_storage_gb")),
        )
        for each in found
    ]
    return table(("USER", "JOBS", "GPU HOURS", "GPU USE", "CPU HOURS", "GB"), rows)


def _of_models(found: Sequence[ModelStats]) -> list[str]:
    rows = [
        (
            each.id,
            printable(f"{each.name}:{each.version}"),
            each.framework,
            each.status,
            *(_score(score) for score in (each.accuracy, each.precision, each.recall, each.f1_score)),
            str(each.deployment_count),
        )
        for each in found
    ]
    headers = ("MODEL", "NAME", "FRAMEWORK", "STATUS", "ACCURACY", "PRECISION", "RECALL", "F1", "DEPLOYMENTS")
    return table(headers, rows)


def _of_frameworks(found: Sequence[FrameworkStats]) -> list[str]:
    if not found:
        return [dim("no jobs were submitted")]
    rows = [
        (
            each.framework,
            *(str(count) for count in (each.total_jobs, each.completed_jobs, each.failed_jobs, each.cancelled_jobs)),
            _NOTHING if each.mean_duration_seconds is None else f"{each.mean_duration_seconds:.1f} s",
            f"{each.gpu_hours:.3f}",
        )
        for each in found
    ]
    return table(("FRAMEWORK", "JOBS", "COMPLETED", "FAILED", "CANCELLED", "MEAN DURATION", "GPU HOURS"), rows)


def _of(used: float, most: float | None) -> str:
    return f"{number(used)} of {number(most)}" if most is not None else number(used)


def _score(score: float | None) -> str:
    return _NOTHING if score is None else number(score)
