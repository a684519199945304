"""``aimatrix jobs``: list, get, metrics, queue, cancel, delete."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimatrix.cli import options
from aimatrix.cli.exits import ExitCode
from aimatrix.cli.output import Output, bold, dim, facts, number, size, status, table
from aimatrix.cli.tools import Target, tools

if TYPE_CHECKING:
    from aimatrix.client import History

_SHOWN = 60  # characters of one part of an event

app = typer.Typer(help="List jobs, look at one, read its metrics, cancel it, delete it.")

JobId = Annotated[str, typer.Argument(help="Id of the job.", metavar="JOB")]


class JobStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


Status = Annotated[JobStatus | None, typer.Option("--status", help="Only jobs of this status.")]
User = Annotated[str | None, typer.Option("--user", help="Only this user's jobs (needs a role that sees them).")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, latest first.")]


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """List jobs, look at one, read its metrics, cancel it, delete it. Without a command: list the latest."""
    if ctx.invoked_subcommand is None:
        _list(ctx, Target(api, profile, state), Output(as_json), None, None, 20)


@app.command("list")
def list_jobs(
    ctx: typer.Context,
    only: Status = None,
    user: User = None,
    limit: Limit = 20,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """List jobs, latest first.

    Example:

      aimatrix jobs list --status running --json
    """
    _list(ctx, Target(api, profile, state), Output(as_json), only, user, limit)


def _list(
    ctx: typer.Context, target: Target, output: Output, only: JobStatus | None, user: str | None, limit: int
) -> None:
    with tools(ctx).connect(target) as client:
        found = list(islice(client.jobs.list(status=only, user_id=user, page_size=min(limit, 100)), limit))
    rows = [(job.job_id, job.name, job.framework, job.status, job.created_at, str(job.progress)) for job in found]
    lines = table(("JOB", "NAME", "FRAMEWORK", "STATUS", "CREATED", "PROGRESS"), rows) if rows else [dim("no jobs")]
    output.finish({"jobs": [job.document for job in found]}, *lines)


@app.command()
def get(
    ctx: typer.Context,
    job_id: JobId,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Show a job: status, progress, where it runs, metrics, artifacts.

    Example:

      aimatrix jobs get 7d1c6f0e-5a0b-4d3e-9f3e-2b8f5a1f9c11
    """
    from aimatrix.cli.views import allocation, amounts, time_limit

    with tools(ctx).connect(Target(api, profile, state)) as client:
        job = client.jobs.get(job_id)
    latest = {metric.name: metric.value for metric in job.metrics}
    lines = facts(
        {
            "job": f"{bold(job.name)} {job.job_id}",
            "status": f"{status(job.status)} {dim(job.doing())}".rstrip(),
            "reason": job.failure_reason or job.document.get("waiting_reason"),
            "progress": str(job.progress),
            "checkpoint": _checkpoint(job.document.get("checkpoint")),
            "framework": job.framework,
            "runs on": allocation(job),
            "time limit": time_limit(job),
            "reserved": None if job.used else amounts(job.reserved),
            "took": amounts(job.used),
            "attempts": str(job.attempts) if job.attempts > 1 else None,
            "created": job.created_at,
            "started": job.started_at,
            "ended": job.completed_at,
            "metrics": " · ".join(f"{name} {number(value)}" for name, value in latest.items()),
            "model": job.model_id,
        }
    )
    lines += [
        f"{dim('artifact')}  {artifact.path}  {size(artifact.size_bytes)}  sha256:{artifact.checksum}"
        for artifact in job.artifacts
    ]
    if (more := job.document.get("artifacts_total", 0) - len(job.artifacts)) > 0:
        lines.append(dim(f"and {more} more artifacts: manifest.json of the attempt names them"))
    Output(as_json).finish(job.document, *lines)


@app.command()
def metrics(
    ctx: typer.Context,
    job_id: JobId,
    name: Annotated[str | None, typer.Option(help="Only this metric.")] = None,
    max_points: Annotated[
        int | None,
        typer.Option(
            min=10, max=10_000, help="Thin one metric out to so many points; the least and the greatest values stay."
        ),
    ] = None,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Show every point of a job's metrics.

    Example:

      aimatrix jobs metrics JOB --name loss --max-points 100
    """
    if max_points is not None and name is None:
        raise typer.BadParameter("Say which metric with --name.", param_hint="--max-points")
    with tools(ctx).connect(Target(api, profile, state)) as client:
        if max_points is not None and name is not None:
            points = [*client.jobs.chart(job_id, name, max_points)]
        else:
            points = list(client.jobs.metrics(job_id, name))
    rows = [
        (each.timestamp, each.name, _optional(each.step), _optional(each.epoch), number(each.value)) for each in points
    ]
    lines = table(("TIME", "METRIC", "STEP", "EPOCH", "VALUE"), rows) if rows else [dim("no metrics")]
    Output(as_json).finish({"job_id": job_id, "metrics": [each.to_document() for each in points]}, *lines)


@app.command()
def stream(
    ctx: typer.Context,
    job_id: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stay until the job has ended.")] = False,
    cursor: Annotated[str | None, typer.Option(help="Go on where an earlier call stopped.")] = None,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
) -> None:
    """Print all that happens to a job, a JSON document a line: log, metric, state, and end as the last.

    Cut off or interrupted, it says on standard error with which --cursor to go on: nothing is missed or told twice.

    Example:

      aimatrix jobs stream JOB --follow
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        at, ended = cursor, False
        try:
            for page in client.jobs.stream_pages(job_id, cursor, follow=follow):
                for document in page.entries:
                    typer.echo(json.dumps(document))
                at, ended = page.next_cursor, page.ended
        finally:
            if not ended and at is not None:
                typer.echo(f"go on with --cursor {at}", err=True)


@app.command()
def export(
    ctx: typer.Context,
    job_id: JobId,
    to: Annotated[
        Path | None,
        typer.Option(help="Download the files into this folder, too.", file_okay=False, metavar="DIR"),
    ] = None,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Write a job's log and metrics to S3, as JSON lines, gzipped.

    Example:

      aimatrix jobs export JOB --to .
    """
    output = Output(as_json)
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = client.jobs.export(job_id)
        if found.status != "completed":
            output.note("The export failed: the log of the function export_job says why. Try again.")
            raise typer.Exit(ExitCode.FAILED)
        for file in found.files if to is not None else ():
            client.jobs.download(file, to or Path())
    lines = table(
        ("FILE", "LINES", "BYTES"), [(each.path, str(each.lines), str(each.size_bytes)) for each in found.files]
    )
    if not found.complete:
        lines.append(dim("the job goes on: this is what there is so far"))
    document = {"job_id": job_id, "complete": found.complete, "files": [asdict(each) for each in found.files]}
    output.finish(document, *lines)


@app.command()
def attempts(
    ctx: typer.Context,
    job_id: JobId,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Show each try of a job: when it ran, why it ended, what it cost.

    Example:

      aimatrix jobs attempts JOB
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = client.jobs.attempts(job_id)
    rows = [
        (
            str(each["number"]),
            each["backend"],
            each["instance_type"],
            each.get("started_at", ""),
            each.get("ended_at", ""),
            _optional(each.get("training_seconds")),
            _optional(each.get("billable_seconds")),
            _optional(each.get("interruptions")),
            number(each["cost_usd"]) if "cost_usd" in each else "",
            each.get("cause", ""),
        )
        for each in found
    ]
    columns = ("ATTEMPT", "BACKEND", "TYPE", "STARTED", "ENDED", "SECONDS", "BILLED", "INTERRUPTED", "USD", "CAUSE")
    lines = table(columns, rows) if rows else [dim("no attempt yet")]
    lines += [f"{dim('attempt')} {each['number']}  {each['reason']}" for each in found if each.get("reason")]
    Output(as_json).finish({"job_id": job_id, "attempts": found}, *lines)


@app.command()
def queue(
    ctx: typer.Context,
    job_id: JobId,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Say why a job waits: for what, who holds it, how many go before, when it is expected to start.

    Example:

      aimatrix jobs queue JOB
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        place = client.jobs.queue(job_id)
    held = place.document.get("held_by") or {"jobs": [], "others": {}}
    start = place.expected_start or (place.basis and "not known")
    lines = facts(
        {
            "state": place.state,
            "why": place.reason,
            "position": f"{place.position}{'' if place.is_exact else ' or later'}" if place.position else None,
            "expected start": start,
            "basis": place.basis,
        }
    )
    lines += [
        f"{dim('held by')}  {each['job_id']}  {each['amount']}  {each['user_id']}  until about {each['expected_end']}"
        for each in held["jobs"]
    ]
    if held["others"].get("amount"):
        lines.append(f"{dim('held by')}  others  {held['others']['amount']}")
    Output(as_json).finish(place.document, *lines)


@app.command()
def replay(
    ctx: typer.Context,
    job_id: JobId,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Show every change of a job's record, and check that a replay of them gives the record, field for field.

    Ends with 1 when it does not.

    Example:

      aimatrix jobs replay 7d1c6f0e-5a0b-4d3e-9f3e-2b8f5a1f9c11
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = client.jobs.history(job_id)
    rows = [(str(each.version), each.at, each.kind, _short(each.details)) for each in found.changes]
    lines = table(("VERSION", "AT", "EVENT", "DETAILS"), rows)
    Output(as_json).finish(found.document, *lines, _verdict(found))
    if not found.is_equal:
        raise typer.Exit(ExitCode.FAILED)


def _verdict(found: History) -> str:
    if found.is_equal:
        return f"replayed: equal to the record, version {found.version}"
    if found.missing:
        return f"versions {', '.join(map(str, found.missing))} are missing"
    if found.behind:
        return f"the last {found.behind} changes have not come into the ledger yet"
    return f"replayed: not as recorded in {bold(', '.join(found.differences))}"


def _short(details: Mapping[str, Any]) -> str:
    """What an event says, in a line; long parts are cut."""
    return " ".join(
        f"{name}={value if len(str(value)) <= _SHOWN else str(value)[:_SHOWN] + '…'}" for name, value in details.items()
    )


@app.command()
def cancel(
    ctx: typer.Context,
    job_id: JobId,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it has stopped.")] = False,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Stop a job. Exit code 5 when it has finished already.

    Example:

      aimatrix jobs cancel JOB --wait
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        client.jobs.cancel(job_id)
        job = client.jobs.wait(job_id) if wait else client.jobs.get(job_id)
    said = "cancelled" if job.is_finished() else "is being stopped"
    Output(as_json).finish(job.document, f"{bold(job.name)} {job.job_id} {said}")


@app.command()
def delete(
    ctx: typer.Context,
    job_id: JobId,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Delete a finished job with its files; what it cost stays counted. For administrators.

    Exit code 5 when it hasn't finished, or when a model lies among its files.

    Example:

      aimatrix jobs delete JOB
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        client.jobs.delete(job_id)
    Output(as_json).finish({"job_id": job_id, "deleted": True}, f"{job_id} is deleted")


def _optional(value: int | None) -> str:
    return "" if value is None else str(value)


def _checkpoint(seen: Mapping[str, Any] | None) -> str | None:
    if not seen:
        return None
    last = seen["last_at"] or "none yet"
    late = "; overdue" if seen["is_overdue"] else ""
    return f"{last} ({seen['count']} seen{late})"
