"""``aimatrix audit``: search the log of who did what, and verify that nobody has changed it."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from aimatrix.cli import options
from aimatrix.cli.exits import ExitCode
from aimatrix.cli.output import Output, bold, dim, facts, printable, table
from aimatrix.cli.tools import Target, tools

if TYPE_CHECKING:
    from chalicelib.audit.chain import Position

app = typer.Typer(help="Search the log of who did what, verify that nobody has changed it.", no_args_is_help=True)

_NOTE = re.compile(r"([0-9]{1,12}):([0-9a-f]{64})")


@app.command()
def search(
    ctx: typer.Context,
    actor: Annotated[str | None, typer.Option(help="Only what this user did.", metavar="USER")] = None,
    subject: Annotated[
        str | None, typer.Option(help="Only what was done to this, such as job/ID.", metavar="KIND/ID")
    ] = None,
    action: Annotated[str | None, typer.Option(help="Only this, such as submit_job.", metavar="NAME")] = None,
    since: Annotated[str | None, typer.Option(help="From this date or time on, in UTC.", metavar="TIME")] = None,
    until: Annotated[str | None, typer.Option(help="Before this date or time, in UTC.", metavar="TIME")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, latest first.")] = 50,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Who did what, when, from where, and how it ended; latest first.

    Example:

      aimatrix audit search --actor alice --action cancel_job --since 2026-03-01
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        listing = client.audit.search(
            actor=actor, subject=subject, action=action, since=since, until=until, page_size=min(limit, 200)
        )
        found = list(islice(listing, limit))
    rows = [
        tuple(
            printable(cell)
            for cell in (
                str(row.seq),
                row.at,
                row.user,
                row.action,
                row.subject or "-",
                row.outcome if row.code is None else f"{row.outcome}: {row.code}",
                row.source_ip or "-",
            )
        )
        for row in found
    ]
    lines = table(("ROW", "AT", "USER", "ACTION", "SUBJECT", "OUTCOME", "FROM"), rows) if rows else [dim("no rows")]
    Output(as_json).finish({"rows": [row.document for row in found]}, *lines)


@app.command()
def verify(
    ctx: typer.Context,
    noted: Annotated[
        str | None,
        typer.Option(help="What an earlier verification gave: the row must still be that one.", metavar="ROW:HASH"),
    ] = None,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Read the whole log and hash it here. Ends with 1 and names the first row that is missing or was changed.

    Example:

      aimatrix audit verify
    """
    output = Output(as_json)
    place = _place(noted)
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = client.audit.verify(place, lambda at: output.note(dim(f"{at.seq:,} rows")))
    at, broken = found.verified, found.broken
    lines = facts(
        {
            "rows": f"{bold(f'{at.seq:,}')} as they were sealed" + ("" if broken is None else ", then a break"),
            "not sealed yet": str(found.waiting) if found.waiting else None,
            "note this": f"{at.seq}:{at.hash}" if at.seq and broken is None else None,
            "broken": f"row {broken.seq} is {broken.fault.value}" if broken else None,
            "that is": broken.detail if broken else None,
        }
    )
    output.finish(found.document, *lines)
    if broken is not None:
        raise typer.Exit(ExitCode.FAILED)


def _place(noted: str | None) -> Position | None:
    if noted is None:
        return None
    from chalicelib.audit.chain import Position

    parts = _NOTE.fullmatch(noted)
    if parts is None:
        raise typer.BadParameter(f"{noted[:80]!r} is not ROW:HASH, as `verify` prints it", param_hint="--noted")
    return Position(int(parts[1]), parts[2])
