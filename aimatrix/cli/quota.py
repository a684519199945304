"""``aimatrix quota``: one's own; and for administrators users, get, set, check."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimatrix.cli import options, parsing
from aimatrix.cli.exits import ExitCode
from aimatrix.cli.limits import counted, describe, shares
from aimatrix.cli.output import Output, bold, dim, table
from aimatrix.cli.tools import Target, tools

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimatrix.client import Client, Limits, Quota, QuotaCheck

HELP = (
    "Show what you may use and what you have used. Administrators: see and set everybody's limits, check the counters."
)

app = typer.Typer(help=HELP)

User = Annotated[str | None, typer.Argument(help="Whose: the `sub` of the user's tokens.", metavar="USER")]
Tenant = Annotated[bool, typer.Option("--tenant", help="The tenant's as a whole, rather than a user's.")]


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Show what you may use, what you have used, and what your open jobs have reserved.

    A job reserves the most that it may take until it ends; then only what it took stays counted.

    Example:

      aimatrix quota
    """
    if ctx.invoked_subcommand is not None:
        return
    with tools(ctx).connect(Target(api, profile, state)) as client:
        own = client.quotas.own()
    Output(as_json).finish(own.document, *describe(own.user), "", *describe(own.tenant))


@app.command()
def users(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, by name.")] = 100,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """List what each user holds, of how much. For administrators.

    Example:

      aimatrix quota users --json
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = list(islice(client.quotas.users(page_size=min(limit, 100)), limit))
    rows = [(quota.user_id or "", *shares(quota)) for quota in found]
    headers = ("USER", "JOBS", "GPU HOURS", "CPU HOURS", "USD", "GB", "GPUS")
    lines = table(headers, rows) if rows else [dim("nobody has had a job")]
    Output(as_json).finish({"quotas": [quota.document for quota in found]}, *lines)


@app.command()
def get(
    ctx: typer.Context,
    user: User = None,
    tenant: Tenant = False,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Show the limits of a user, or of the tenant. For administrators.

    Example:

      aimatrix quota get ada
    """
    _require_one(user, tenant)
    with tools(ctx).connect(Target(api, profile, state)) as client:
        quota = _read(client, user)
    Output(as_json).finish(quota.document, *describe(quota))


@app.command("set")
def set_limits(
    ctx: typer.Context,
    user: User = None,
    tenant: Tenant = False,
    max_concurrent_jobs: Annotated[str | None, typer.Option(help="Jobs at once.", metavar="N|none")] = None,
    max_gpu_hours: Annotated[str | None, typer.Option(help="GPU hours a month.", metavar="N|none")] = None,
    max_cpu_hours: Annotated[str | None, typer.Option(help="CPU hours a month.", metavar="N|none")] = None,
    max_storage_gb: Annotated[str | None, typer.Option(help="GB stored at once.", metavar="N|none")] = None,
    max_usd: Annotated[str | None, typer.Option(help="USD a month.", metavar="N|none")] = None,
    max_runtime: Annotated[
        str | None, typer.Option(help="How long a single job may run: 90s, 30m, 2h.", metavar="TIME|none")
    ] = None,
    max_gpus: Annotated[
        list[str] | None, typer.Option(help="GPUs of a type at once. Repeatable.", metavar="TYPE=N|none")
    ] = None,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Set limits of a user, or of the tenant. What isn't given stays as it is; `none` is no limit. For administrators.

    A limit below what is used already is fine: it keeps new jobs out, and stops none that run. Who sets limits that somebody
    else has changed meanwhile is told so, and changes nothing.

    Examples:

      aimatrix quota set ada --max-concurrent-jobs 10 --max-usd 500 --max-gpus t4=4

      aimatrix quota set --tenant --max-gpu-hours none
    """
    _require_one(user, tenant)
    counts = {
        "max_concurrent_jobs": ("--max-concurrent-jobs", max_concurrent_jobs),
        "max_gpu_hours_per_month": ("--max-gpu-hours", max_gpu_hours),
        "max_cpu_hours_per_month": ("--max-cpu-hours", max_cpu_hours),
        "max_storage_gb": ("--max-storage-gb", max_storage_gb),
    }
    changes: dict[str, Any] = {
        name: parsing.unless_none(parsing.count, text, option)
        for name, (option, text) in counts.items()
        if text is not None
    }
    if max_usd is not None:
        changes["max_usd_per_month"] = parsing.unless_none(parsing.money, max_usd, "--max-usd")
    if max_runtime is not None:
        changes["max_runtime_seconds"] = parsing.unless_none(parsing.seconds, max_runtime, "--max-runtime")
    gpus = _gpus(max_gpus or ())
    if not changes and not gpus:
        raise typer.BadParameter("give at least one limit to set", param_hint="--max-...")
    with tools(ctx).connect(Target(api, profile, state)) as client:
        before = _read(client, user)
        limits = _changed(before.limits, changes, gpus)
        if user is None:
            quota = client.quotas.set_tenant(limits, version=before.version)
        else:
            quota = client.quotas.set_user(user, limits, version=before.version)
    Output(as_json).finish(quota.document, *describe(quota))


@app.command()
def check(
    ctx: typer.Context,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Recompute every counter of the tenant from its records. Exit code 1 when one differs. For administrators.

    However large the tenant is: it takes as many requests as it needs, and says how far it has come.

    Example:

      aimatrix quota check
    """
    output = Output(as_json)
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = client.quotas.check(lambda part: output.note(dim(_so_far(part))))
    rows = [
        (each.user_id or each.scope, each.item, each.counter, f"{each.recorded:.12g}", f"{each.recomputed:.12g}")
        for each in found.differences
    ]
    lines = table(("ACCOUNT", "ITEM", "COUNTER", "RECORDED", "RECOMPUTED"), rows) if rows else []
    said = counted(len(rows), "differences") if rows else "no difference"
    output.finish(
        found.document, *lines, f"{counted(found.owners, 'accounts')}, {counted(found.jobs, 'jobs')}: {bold(said)}"
    )
    if found.in_motion:
        output.note(dim(f"changed all the while, and not compared: {', '.join(found.in_motion)}"))
    if found.differences:
        raise typer.Exit(ExitCode.FAILED)


def _so_far(part: QuotaCheck) -> str:
    return f"{counted(part.owners, 'accounts')}, {counted(part.jobs, 'jobs')} so far"


def _require_one(user: str | None, tenant: bool) -> None:
    if (user is None) != tenant:
        raise typer.BadParameter("give one of the two", param_hint="USER / --tenant")


def _read(client: Client, user: str | None) -> Quota:
    return client.quotas.tenant() if user is None else client.quotas.user(user)


def _gpus(words: Sequence[str]) -> dict[str, int | None]:
    known = [each.value for each in options.GpuType]
    found = {}
    for gpu_type, text in parsing.pairs(words, "--max-gpus").items():
        if gpu_type not in known:
            raise typer.BadParameter(f"{gpu_type!r} is none of {', '.join(known)}", param_hint="--max-gpus")
        found[gpu_type] = parsing.unless_none(parsing.count, text, "--max-gpus")
    return found


def _changed(limits: Limits, changes: dict[str, Any], gpus: dict[str, int | None]) -> Limits:
    after = {**limits.max_gpus, **gpus}
    return replace(limits, **changes, max_gpus={name: most for name, most in after.items() if most is not None})
