"""``aimatrix events``: dead letters, their redrive, replays. For administrators of the installation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated

import typer

from aimatrix.cli import options, parsing
from aimatrix.cli.exits import CommandError, ExitCode
from aimatrix.cli.limits import counted
from aimatrix.cli.output import Output, bold, dim, printable, table
from aimatrix.cli.tools import Target, tools

app = typer.Typer(
    help="Events that could not be told, and events that shall be told again (for administrators).",
    no_args_is_help=True,
)


@app.command("dead-letters")
def dead_letters(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, oldest first.")] = 20,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """List the events that could not be published or delivered, and why.

    Example:

      aimatrix events dead-letters
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = list(islice(client.events.dead_letters(page_size=min(limit, 100)), limit))
    rows = [
        (each.noted_at, each.type or "-", each.subject, each.stage, str(each.times), printable(each.reason))
        for each in found
    ]
    headers = ("SINCE", "TYPE", "SUBJECT", "STAGE", "TIMES", "WHY")
    lines = table(headers, rows) if rows else [dim("no dead letters")]
    Output(as_json).finish({"dead_letters": [each.document for each in found]}, *lines)


@app.command()
def redrive(
    ctx: typer.Context,
    subject: Annotated[
        str | None, typer.Argument(help="Only what is about this, as the list shows it.", metavar="SUBJECT")
    ] = None,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Send dead letters again, those of one subject in their order. Doing it twice doubles nothing.

    Exits with 1 when some could not be sent: they stay in the list, with the reason.

    Example:

      aimatrix events redrive
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        done = client.events.redrive(subject)
    stay = f"; {done.failed} could not be: see aimatrix events dead-letters" if done.failed else ""
    document = {"sent": done.sent, "failed": done.failed}
    Output(as_json).finish(document, f"{bold(counted(done.sent, 'events'))} sent again{stay}")
    if done.failed:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def replay(
    ctx: typer.Context,
    since: Annotated[
        str, typer.Option("--from", help="From then on: 2026-03-01T12:00Z, or 90m, 2h, 1h30m ago.", metavar="TIME")
    ],
    until: Annotated[str | None, typer.Option("--to", help="Until then (default: now).", metavar="TIME")] = None,
    rule: Annotated[str | None, typer.Option(help="The only rule of the bus that gets them.", metavar="NAME")] = None,
    name: Annotated[
        str | None, typer.Option(help="Tells it from other replays of the same time.", metavar="NAME")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it has ended.")] = True,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Have the archived events of a time put on the bus again. The same times and rule are the same replay.

    Consumers know an event by its id: what they have seen changes nothing.

    Example:

      aimatrix events replay --from 2026-03-01T12:00Z --to 2026-03-01T13:00Z --rule nightly
    """
    now = tools(ctx).now()
    first, last = _moment(since, "--from", now), _moment(until, "--to", now) if until else None
    output = Output(as_json)
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = client.events.start_replay(first, last, rule=rule, name=name)
        if wait and found.is_under_way:
            output.note(dim(f"{found.replay_id} is {found.state}"))
            found = client.events.wait(found)
    output.finish(found.document, f"{bold(found.replay_id)} is {found.state}")
    if found.state == "failed":
        raise CommandError(ExitCode.FAILED, "replay-failed", f"the replay failed: {found.reason or 'no reason given'}")


def _moment(text: str, option: str, now: datetime) -> str:
    """A time as the service reads it."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = now - timedelta(seconds=parsing.seconds(text, option))
    if moment.tzinfo is None:
        raise typer.BadParameter(f"{text!r} has no time zone: add Z for UTC", param_hint=option)
    return moment.astimezone(UTC).isoformat()
