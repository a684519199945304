"""``aimatrix capacity``: how much of each kind of machine may be in use at once."""

from __future__ import annotations

from typing import Annotated

import typer

from aimatrix.cli import options
from aimatrix.cli.output import Output, bold, dim, table
from aimatrix.cli.tools import Target, tools

app = typer.Typer(help="See, set, import and take away the limits of capacity pools.", no_args_is_help=True)

PoolName = Annotated[str, typer.Argument(help="sagemaker/cpu, sagemaker/v100, ...", metavar="POOL")]


@app.command("list")
def list_pools(
    ctx: typer.Context,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """List the pools that have a limit, what is in use of it, and how many jobs wait.

    Example:

      aimatrix capacity list
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        pools = list(client.capacity.pools())
    rows = [
        (pool.name, _limit(pool.limit), str(pool.in_use), pool.unit, str(sum(pool.waiting.values()))) for pool in pools
    ]
    lines = table(("POOL", "LIMIT", "IN USE", "UNIT", "WAITING"), rows) if rows else [dim("no limits")]
    Output(as_json).finish({"pools": [pool.document for pool in pools]}, *lines)


@app.command("set")
def set_pool(
    ctx: typer.Context,
    pool: PoolName,
    limit: Annotated[int, typer.Argument(min=0, help="GPUs; vCPUs in a pool of machines without.", metavar="LIMIT")],
    half_life: Annotated[
        int | None, typer.Option(help="Seconds after which use counts half when users are compared.")
    ] = None,
    aging: Annotated[int | None, typer.Option(help="Seconds of waiting that raise a job by one priority.")] = None,
    preempt_low: Annotated[
        bool, typer.Option("--preempt-low", help="Stop low jobs that have a checkpoint when a critical one waits.")
    ] = False,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Set a pool's limit and how it is shared; what is not given gets its default.

    A limit below what is in use only keeps new jobs from starting; 0 lets nothing start.

    Example:

      aimatrix capacity set sagemaker/v100 8
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = client.capacity.set_pool(
            pool, limit, half_life_seconds=half_life, aging_seconds=aging, preempt_low=preempt_low or None
        )
    said = f"{bold(found.name)} {found.in_use} of {_limit(found.limit)} {found.unit} in use"
    Output(as_json).finish(found.document, said)


@app.command("import")
def import_account(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; change nothing.")] = False,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Set the limits to what the AWS account's own service quotas allow.

    Example:

      aimatrix capacity import --dry-run
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = client.capacity.import_account(dry_run=dry_run)
    rows = [
        (
            pool.name,
            _limit(pool.limit_before),
            "not known" if pool.limit is None else str(pool.limit),
            pool.unit,
            ("would be set" if dry_run else "set") if pool.changes else "as it is",
            ", ".join(f"{each['instances']} × {each['instance_type']}" for each in pool.quotas if each["instances"]),
        )
        for pool in found.pools
    ]
    lines = table(("POOL", "BEFORE", "ACCOUNT", "UNIT", "", "QUOTAS"), rows)
    lines += [dim(f"Batch: {each['vcpus']} vCPUs, {each['quota']} ({each['quota_code']})") for each in found.batch]
    Output(as_json).finish(found.document, *lines)


@app.command("unset")
def unset_pool(
    ctx: typer.Context,
    pool: PoolName,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Take a pool's limit away: whoever waits is let in.

    Example:

      aimatrix capacity unset sagemaker/v100
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        client.capacity.remove_pool(pool)
    Output(as_json).finish({"pool": pool, "limit": None}, f"{bold(pool)} has no limit any more")


def _limit(limit: int | None) -> str:
    return "none" if limit is None else str(limit)
