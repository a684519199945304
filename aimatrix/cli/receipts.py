"""``aimatrix receipt``: show, verify, public-key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimatrix.cli import options
from aimatrix.cli.exits import CommandError, ExitCode
from aimatrix.cli.output import Output, bold, dim, facts, printable, table
from aimatrix.cli.tools import Target, tools

if TYPE_CHECKING:
    from aimatrix.client import Receipt

app = typer.Typer(help="What a finished job cost, line by line, signed by the service.", no_args_is_help=True)

_MAX_BYTES = 1_000_000


@app.command()
def show(
    ctx: typer.Context,
    job_id: Annotated[str, typer.Argument(help="Id of a finished job.", metavar="JOB")],
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Show a job's receipt. With --json: the signed document, to keep and to verify later.

    Of a job that ended a moment ago it is waited for.

    Example:

      aimatrix receipt show 0b7c3c1e-... --json > receipt.json
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        receipt = client.costs.receipt(job_id)
    Output(as_json).finish(receipt.document, *describe(receipt))


@app.command()
def verify(
    ctx: typer.Context,
    what: Annotated[str, typer.Argument(help="A file that `receipt show --json` wrote, or a job's id.")],
    public_key: Annotated[
        Path | None,
        typer.Option(help="The service's public key, a PEM file (default: ask the service).", metavar="FILE"),
    ] = None,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Check that a receipt is as the service signed it, and that it adds up. With two files nothing is asked of anybody.

    Ends with 1 when it is not.

    Example:

      aimatrix receipt verify receipt.json --public-key receipts.pem
    """
    file = Path(what)
    target = Target(api, profile, state)
    if file.is_file() and public_key is not None:
        receipt, key = _read(file), _text(public_key)
    else:
        with tools(ctx).connect(target) as client:
            receipt = _read(file) if file.is_file() else client.costs.receipt(what)
            key = _text(public_key) if public_key else str(client.costs.public_key()["public_key"])
    try:
        problems = receipt.problems(key)
    except ValueError as error:
        raise CommandError(ExitCode.USAGE, "unusable_key", f"the public key can't be used: {error}") from error
    output = Output(as_json)
    told = [typer.style("not valid", fg="red", bold=True), *map(printable, problems)] if problems else [_valid(receipt)]
    output.finish({"job_id": receipt.job_id, "valid": not problems, "problems": problems}, *told)
    if problems:
        raise typer.Exit(ExitCode.FAILED)


@app.command("public-key")
def show_public_key(
    ctx: typer.Context,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Print the key that receipts are verified with, as PEM.

    Example:

      aimatrix receipt public-key > receipts.pem
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        document = client.costs.public_key()
    Output(as_json).finish(document, str(document["public_key"]).rstrip("\n"))


def describe(receipt: Receipt) -> list[str]:
    told, totals = receipt.contents, receipt.contents["totals"]
    lines = facts(
        {
            "job": f"{bold(printable(told['name']))} {told['job_id']}",
            "user": printable(told["user_id"]),
            "status": told["status"],
            "month": told["month"],
            "ended": told["ended_at"],
        }
    )
    if told["attempts"]:
        headers = ("ATTEMPT", "INSTANCE", "BILLED", "USD/H", "DISCOUNT", "INSTANCES", "DISK")
        lines += ["", *table(headers, [_attempt(line) for line in told["attempts"]])]
    rows = [(line["unit"], line["count"], line["usd"]) for line in told["control_plane"]]
    lines += ["", *table(("CONTROL PLANE", "COUNT", "USD"), rows)] if rows else []
    return [
        *lines,
        "",
        *facts({name.removesuffix("_usd").replace("_", " "): f"$ {usd}" for name, usd in totals.items()}),
        dim(f"signed with {receipt.signature.get('key_id')}"),
    ]


def _attempt(line: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(line["number"]),
        f"{line['instance_count']} × {line['instance_type']}",
        f"{line['billable_seconds']} s",
        line["price_per_hour_usd"],
        f"{line['spot_discount_percent']} %",
        line["instances_usd"],
        line["storage_usd"],
    )


def _valid(receipt: Receipt) -> str:
    return f"{typer.style('valid', fg='green', bold=True)}  job {printable(receipt.job_id)}, $ {receipt.total_usd}"


def _read(file: Path) -> Receipt:
    from aimatrix.client import Receipt

    try:
        return Receipt.from_document(json.loads(_text(file)))
    except ValueError as error:
        raise CommandError(ExitCode.USAGE, "no_receipt", f"{file} holds no receipt") from error


def _text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return stream.read(_MAX_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(ExitCode.USAGE, "unreadable_file", f"{file} can't be read: {error}") from error
