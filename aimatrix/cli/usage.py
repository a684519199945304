"""``aimatrix usage``."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from aimatrix.cli import options
from aimatrix.cli.output import Output, dim, printable, table
from aimatrix.cli.tools import Target, tools

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


_AMOUNTS = ("GPU HOURS", "CPU HOURS", "STORAGE GB HOURS", "USD")


class By(StrEnum):
    USER = "user"
    TENANT = "tenant"
    FRAMEWORK = "framework"
    NAME = "name"


def usage(
    ctx: typer.Context,
    month: Annotated[str | None, typer.Option(help="Which month (default: this one).", metavar="YYYY-MM")] = None,
    by: Annotated[By | None, typer.Option(help="Sums instead of single jobs.")] = None,
    user: Annotated[
        str | None, typer.Option(help="Only this user's jobs (needs a role that sees them).", metavar="ID")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print all jobs as CSV.")] = False,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Show what finished jobs used and what they cost: instances and disks, without the control plane's share.

    Examples:

      aimatrix usage --month 2026-11

      aimatrix usage --by framework

      aimatrix usage --month 2026-11 --csv > usage.csv
    """
    if as_csv and (as_json or by):
        raise typer.BadParameter("goes with neither --json nor --by", param_hint="--csv")
    with tools(ctx).connect(Target(api, profile, state)) as client:
        if as_csv:
            for piece in client.costs.usage_csv(month, user_id=user):
                typer.echo(piece, nl=False)
            return
        if by is not None:
            sums = client.costs.summary(by.value, month)
            Output(as_json).finish({"summaries": sums}, *_of_groups(by, sums))
            return
        found = list(client.costs.usage(month, user_id=user))
    Output(as_json).finish({"usage": found}, *_of_jobs(found))


def _of_groups(by: By, sums: Sequence[Mapping[str, Any]]) -> list[str]:
    if not sums:
        return [dim("nothing was used")]
    rows = [(printable(str(each["value"])), str(each["jobs"]), *_amounts(each)) for each in sums]
    return table((by.value.upper(), "JOBS", *_AMOUNTS), rows)


def _of_jobs(found: Sequence[Mapping[str, Any]]) -> list[str]:
    if not found:
        return [dim("nothing was used")]
    rows = [
        (each["job_id"], printable(each["name"]), printable(each["user_id"]), each["status"], *_amounts(each))
        for each in found
    ]
    total = sum((Decimal(str(each["cost_usd"])) for each in found), Decimal(0))
    return [*table(("JOB", "NAME", "USER", "STATUS", *_AMOUNTS), rows), "", f"{dim('total')}  $ {total}"]


def _amounts(of: Mapping[str, Any]) -> tuple[str, ...]:
    hours = (f"{of[name]:.3f}" for name in ("gpu_hours", "cpu_hours", "storage_gb_hours"))
    return (*hours, f"{of['cost_usd']:.6f}")
