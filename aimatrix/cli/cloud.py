"""``aimatrix up | down | status | token``: the embedded cloud."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from aimatrix.cli import options, parsing
from aimatrix.cli.exits import ExitCode
from aimatrix.cli.output import Output, dim, facts, table
from aimatrix.cli.tools import tools

if TYPE_CHECKING:
    from localcloud.commands import Addresses


def up(
    ctx: typer.Context,
    port: Annotated[
        int | None, typer.Option(min=1024, max=65535, help="Port of the front door (default: the last one, or 8000).")
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            help="A value for a parameter of the template. Repeatable; kept for the next up.", metavar="NAME=VALUE"
        ),
    ] = None,
    webhook_port: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            max=65535,
            help="A port of this machine that webhooks may lead to, by plain HTTP. Repeatable; kept for the next up.",
        ),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once every part is healthy.")] = False,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Start the embedded cloud: the whole service, on this machine, on loopback.

    Without --detach it runs until Ctrl-C. What it keeps lies in the state directory, and is there at the next up.

    Examples:

      aimatrix up --detach

      aimatrix up --port 8100 --state ./cloud --detach --json
    """
    output = Output(as_json)

    def ready(addresses: Addresses) -> None:
        output.finish(addresses.document(), *facts(addresses.document()))
        if addresses.already_running:
            output.note(dim("it was running already"))
        elif not detach:
            output.note(dim("Ctrl-C ends it"))

    launcher = tools(ctx).launcher()
    given = parsing.pairs(parameter, "--parameter") if parameter else None
    launcher.up(
        state,
        port,
        parameters=given,
        webhook_ports=webhook_port,
        detach=detach,
        progress=lambda step: output.note(dim(step)),
        ready=ready,
    )


def down(ctx: typer.Context, state: options.State = None, as_json: options.Json = False) -> None:
    """Stop the embedded cloud. What it keeps stays, for the next up.

    Example:

      aimatrix down --state ./cloud
    """
    stopped = tools(ctx).launcher().down(state)
    Output(as_json).finish({"stopped": stopped}, "stopped" if stopped else "nothing was running")


def status(ctx: typer.Context, state: options.State = None, as_json: options.Json = False) -> None:
    """Show the embedded cloud's parts. Exit code 8 unless all of them are healthy.

    Example:

      aimatrix status --json
    """
    parts = tools(ctx).launcher().status(state)
    rows = [
        (part.name, part.health, str(part.pid or ""), part.address, part.since, str(part.restarts)) for part in parts
    ]
    lines = table(("PART", "HEALTH", "PID", "ADDRESS", "SINCE", "RESTARTS"), rows) if parts else ["nothing is running"]
    Output(as_json).finish({"running": bool(parts), "parts": [asdict(part) for part in parts]}, *lines)
    if not parts or any(part.health != "healthy" for part in parts):
        raise typer.Exit(ExitCode.UNREACHABLE)


def token(
    ctx: typer.Context,
    user: Annotated[str, typer.Option(help="Who the token is for.")],
    role: Annotated[list[str] | None, typer.Option(help="A role. Repeatable (default: USER).", metavar="ROLE")] = None,
    tenant: Annotated[str, typer.Option(help="Whose data the user sees.")] = "default",
    permission: Annotated[
        list[str] | None, typer.Option(help="A permission beyond the roles'. Repeatable.", metavar="PERMISSION")
    ] = None,
    ttl: Annotated[str, typer.Option(help="How long it is good for: 30m, 12h.", metavar="TIME")] = "12h",
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Print a token of the embedded cloud's own issuer.

    Examples:

      aimatrix token --user ada --role USER --role MODEL_DEPLOYER

      curl -H "Authorization: Bearer $(aimatrix token --user ada)" http://127.0.0.1:8000/api/v1/training/jobs
    """
    seconds = parsing.seconds(ttl, "--ttl")
    made = (
        tools(ctx)
        .launcher()
        .token(
            state,
            user=user,
            roles=role or ["USER"],
            tenant=tenant,
            permissions=permission or [],
            ttl=timedelta(seconds=seconds),
        )
    )
    Output(as_json).finish({"token": made}, made)
