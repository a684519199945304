"""``aimatrix webhooks``: have events sent to a server of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from aimatrix.cli import options
from aimatrix.cli.exits import ExitCode
from aimatrix.cli.output import Output, bold, dim, facts, printable, table
from aimatrix.cli.output import status as coloured
from aimatrix.cli.tools import Target, tools

if TYPE_CHECKING:
    from aimatrix.client import Client, Delivery, Webhook

app = typer.Typer(help="Have your events sent to a server of yours, and see what became of them.")

Id = Annotated[str, typer.Argument(help="Id of the webhook.", metavar="WEBHOOK")]
Event = Annotated[str, typer.Argument(help="Id of the event.", metavar="EVENT")]
Types = Annotated[
    list[str] | None,
    typer.Option(
        "--event", help="A type of event that it wants. Repeatable (default: all but metrics).", metavar="TYPE"
    ),
]


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Have your events sent to a server of yours, and see what became of them. Without a command: list the latest."""
    if ctx.invoked_subcommand is None:
        _list(ctx, Target(api, profile, state), Output(as_json), None, 20)


@app.command()
def create(
    ctx: typer.Context,
    url: Annotated[str, typer.Argument(help="https://..., on port 443 or 8443.", metavar="URL")],
    event: Types = None,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Make a webhook. Its secret, which deliveries are signed with, is shown once.

    Example:

      aimatrix webhooks create https://hooks.example.com/aimatrix --event training.job.status-changed
    """
    output = Output(as_json)
    with tools(ctx).connect(Target(api, profile, state)) as client:
        made = client.webhooks.create(url, event or (), description=description)
    output.note(dim(f"webhook {made.webhook.webhook_id}; its secret is shown this once:"))
    output.finish({**made.webhook.document, "secret": made.secret}, made.secret)


@app.command("list")
def list_webhooks(
    ctx: typer.Context,
    user: Annotated[str | None, typer.Option(help="Only webhooks of this user (for administrators).")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, latest first.")] = 20,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """List webhooks, latest first.

    Example:

      aimatrix webhooks list
    """
    _list(ctx, Target(api, profile, state), Output(as_json), user, limit)


def _list(ctx: typer.Context, target: Target, output: Output, user: str | None, limit: int) -> None:
    with tools(ctx).connect(target) as client:
        found = list(islice(client.webhooks.list(user_id=user, page_size=min(limit, 100)), limit))
    rows = [(each.webhook_id, each.status, each.user_id, _types(each.event_types), each.url) for each in found]
    lines = table(("WEBHOOK", "STATUS", "USER", "EVENTS", "URL"), rows) if rows else [dim("no webhooks")]
    output.finish({"webhooks": [each.document for each in found]}, *lines)


@app.command()
def show(
    ctx: typer.Context,
    webhook_id: Id,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Show a webhook: where it leads, what it wants, whether anything comes through.

    Example:

      aimatrix webhooks show 0b7c3c1e-0000-4000-8000-000000000001
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = client.webhooks.get(webhook_id)
    Output(as_json).finish(found.document, *_facts(found))


@app.command()
def change(
    ctx: typer.Context,
    webhook_id: Id,
    url: Annotated[str | None, typer.Option(help="Another address.", metavar="URL")] = None,
    event: Types = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    enable: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Let it be sent to again, or no longer.")
    ] = None,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Change a webhook: what is not given stays as it is.

    Example:

      aimatrix webhooks change 0b7c3c1e-0000-4000-8000-000000000001 --enable
    """
    status = None if enable is None else ("active" if enable else "disabled")
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = client.webhooks.change(webhook_id, url=url, event_types=event, description=description, status=status)
    Output(as_json).finish(found.document, *_facts(found))


@app.command()
def rotate(
    ctx: typer.Context,
    webhook_id: Id,
    overlap: Annotated[
        int | None,
        typer.Option(min=0, max=168, help="Hours that the old secret goes on (default: 24).", metavar="HOURS"),
    ] = None,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Make a new secret. Until the overlap is over, deliveries are signed with both.

    Example:

      aimatrix webhooks rotate 0b7c3c1e-0000-4000-8000-000000000001 --overlap 48
    """
    output = Output(as_json)
    with tools(ctx).connect(Target(api, profile, state)) as client:
        made = client.webhooks.rotate(webhook_id, overlap_hours=overlap)
    output.note(dim("the new secret is shown this once:"))
    output.finish({**made.webhook.document, "secret": made.secret}, made.secret)


@app.command()
def delete(
    ctx: typer.Context,
    webhook_id: Id,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Delete a webhook: nothing is sent to it any more, not even what waits.

    Example:

      aimatrix webhooks delete 0b7c3c1e-0000-4000-8000-000000000001
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        client.webhooks.delete(webhook_id)
    Output(as_json).finish({"webhook_id": webhook_id, "status": "deleted"}, f"{bold(webhook_id)} is deleted")


@app.command()
def ping(
    ctx: typer.Context,
    webhook_id: Id,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Send a test, and wait for the answer. Exits with 1 when it did not come through.

    Example:

      aimatrix webhooks ping 0b7c3c1e-0000-4000-8000-000000000001
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        _attempted(client, webhook_id, client.webhooks.ping(webhook_id), Output(as_json))


@app.command()
def deliveries(
    ctx: typer.Context,
    webhook_id: Id,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, latest first.")] = 20,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """List what was sent to a webhook, and is to be, with status, latency, attempts and expiry.

    Example:

      aimatrix webhooks deliveries 0b7c3c1e-0000-4000-8000-000000000001
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = list(islice(client.webhooks.deliveries(webhook_id, page_size=min(limit, 100)), limit))
    rows = [
        (
            each.event_id,
            each.type,
            each.status,
            str(each.attempts),
            _answer(each),
            "-" if each.latency_ms is None else f"{each.latency_ms} ms",
            each.next_attempt_at or "-",
            each.expires_at,
        )
        for each in found
    ]
    headers = ("EVENT", "TYPE", "STATUS", "ATTEMPTS", "ANSWER", "LATENCY", "NEXT", "EXPIRES")
    lines = table(headers, rows) if rows else [dim("no deliveries")]
    Output(as_json).finish({"deliveries": [each.document for each in found]}, *lines)


@app.command()
def redeliver(
    ctx: typer.Context,
    webhook_id: Id,
    event_id: Event,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Send an event again, now, and wait for the answer. Exits with 1 when it did not come through.

    Example:

      aimatrix webhooks redeliver 0b7c3c1e-0000-4000-8000-000000000001 5f0c8f4e-7a0b-4f57-9d3e-2f6f6c1d9a11
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        _attempted(client, webhook_id, client.webhooks.redeliver(webhook_id, event_id), Output(as_json))


def _attempted(client: Client, webhook_id: str, delivery: Delivery, output: Output) -> None:
    output.note(dim(f"event {delivery.event_id} is on its way"))
    found = client.webhooks.wait(webhook_id, delivery)
    latency = "" if found.latency_ms is None else f" in {found.latency_ms} ms"
    output.finish(found.document, f"{coloured(found.status)}: {_answer(found)}{latency}")
    if found.status != "delivered":
        raise typer.Exit(ExitCode.FAILED)


def _facts(found: Webhook) -> list[str]:
    secrets = found.document.get("secrets") or ()
    old = next((each["valid_until"] for each in secrets if each["valid_until"]), None)
    return facts(
        {
            "webhook": found.webhook_id,
            "status": coloured(found.status),
            "reason": printable(found.reason) if found.reason else None,
            "failing since": found.failing_since,
            "url": found.url,
            "events": _types(found.event_types),
            "for": printable(found.description),
            "owner": found.user_id,
            "created": found.created_at,
            "old secret until": old,
        }
    )


def _types(types: Sequence[str]) -> str:
    return " ".join(types) or "all but metrics"


def _answer(delivery: Delivery) -> str:
    if delivery.last_error:
        return printable(delivery.last_error)
    return "-" if delivery.last_status is None else str(delivery.last_status)
