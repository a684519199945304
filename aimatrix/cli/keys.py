"""``aimatrix keys``: create, list, revoke."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from aimatrix.cli import options
from aimatrix.cli.output import Output, bold, dim, facts, table
from aimatrix.cli.tools import Target, tools

app = typer.Typer(help="Make an API key for a program, list keys, revoke one.")


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Make an API key for a program, list keys, revoke one. Without a command: list the latest."""
    if ctx.invoked_subcommand is None:
        _list(ctx, Target(api, profile, state), Output(as_json), None, 20)


@app.command()
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[list[str], typer.Option(help="A permission that it has. Repeatable.", metavar="PERMISSION")],
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires (default: 90).")] = None,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Make an API key. It is shown once: keep it where secrets are kept, and give it to programs as AIMATRIX_API_KEY.

    Example:

      aimatrix keys create nightly --scope jobs:read --scope jobs:submit --scope uploads:create --days 30
    """
    output = Output(as_json)
    with tools(ctx).connect(Target(api, profile, state)) as client:
        made = client.api_keys.create(name, scope, expires_in_days=days)
    key = made.key
    output.note(dim(f"key {key.key_id} for {', '.join(key.scopes)} until {key.expires_at}; it is shown this once:"))
    output.finish({**key.document, "key": made.text}, made.text)


@app.command("list")
def list_keys(
    ctx: typer.Context,
    user: Annotated[str | None, typer.Option(help="Only keys of this user (for administrators).")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, latest first.")] = 20,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """List API keys, latest first; not the keys themselves, which nobody has but their owners.

    Example:

      aimatrix keys list
    """
    _list(ctx, Target(api, profile, state), Output(as_json), user, limit)


def _list(ctx: typer.Context, target: Target, output: Output, user: str | None, limit: int) -> None:
    with tools(ctx).connect(target) as client:
        found = list(islice(client.api_keys.list(user_id=user, page_size=min(limit, 100)), limit))
    rows = [
        (each.key_id, each.name, each.user_id, each.status, each.expires_at, each.last_used_at or "never")
        for each in found
    ]
    lines = table(("KEY", "NAME", "USER", "STATUS", "EXPIRES", "LAST USED"), rows) if rows else [dim("no keys")]
    output.finish({"api_keys": [each.document for each in found]}, *lines)


@app.command()
def get(
    ctx: typer.Context,
    key_id: Annotated[str, typer.Argument(help="Id of the key.", metavar="KEY")],
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Show what an API key may do, until when, and when it was last used.

    Example:

      aimatrix keys get 0123456789abcdef
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        key = client.api_keys.get(key_id)
    lines = facts(
        {
            "key": f"{bold(key.name)} {key.key_id}",
            "status": key.status,
            "acts as": key.user_id,
            "scopes": " ".join(key.scopes),
            "created": key.created_at,
            "expires": key.expires_at,
            "revoked": key.revoked_at,
            "last used": key.last_used_at or "never",
        }
    )
    Output(as_json).finish(key.document, *lines)


@app.command()
def revoke(
    ctx: typer.Context,
    key_id: Annotated[str, typer.Argument(help="Id of the key.", metavar="KEY")],
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """End an API key, from the next request on.

    Example:

      aimatrix keys revoke 0123456789abcdef
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        client.api_keys.revoke(key_id)
    Output(as_json).finish({"key_id": key_id, "status": "revoked"}, f"{bold(key_id)} is revoked")
