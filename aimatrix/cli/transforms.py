"""``aimatrix transforms``: a model over a dataset, without an endpoint."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimatrix.cli import options
from aimatrix.cli.deployments import Wait
from aimatrix.cli.exits import ExitCode
from aimatrix.cli.models import Reference as ModelReference
from aimatrix.cli.output import Output, bold, dim, facts, size, status, table
from aimatrix.cli.tools import Target, tools

if TYPE_CHECKING:
    from aimatrix.client import Client, Transform

app = typer.Typer(help="Ask a model for its answers to a whole dataset, without an endpoint.")

Id = Annotated[str, typer.Argument(help="Id of the transform.", metavar="TRANSFORM")]
Folder = Annotated[
    Path | None, typer.Option("--download", help="Write the answers below this folder.", metavar="DIR", file_okay=False)
]
_CSV, _JSON = "text/csv", "application/json"


@app.command()
def start(
    ctx: typer.Context,
    model: ModelReference,
    data: Annotated[str, typer.Argument(help="A file, a folder, or an S3 URI of yours.", metavar="DATA")],
    content_type: Annotated[
        str | None, typer.Option(help=f"Of the data (default: {_JSON} for .json files, else {_CSV}).")
    ] = None,
    accept: Annotated[str | None, typer.Option(help="Of the answers (default: as the data).")] = None,
    single_record: Annotated[bool, typer.Option(help="Ask for each line by itself, not for many at once.")] = False,
    max_payload_mb: Annotated[int | None, typer.Option(min=1, max=100, help="Of one request (default: 6).")] = None,
    at_once: Annotated[int | None, typer.Option(min=1, max=100, help="Requests at once (default: 1).")] = None,
    instances: Annotated[int | None, typer.Option(min=1, max=20, help="How many (default: 1).")] = None,
    download: Folder = None,
    wait: Wait = True,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait at most.")] = 3 * 24 * 3600,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Begin a transform. Each file gets a file of answers; each line of a CSV file is a row without a header.

    Examples:

      aimatrix transforms start wine:5 rows.csv --download answers

      aimatrix transforms start wine s3://my-artifacts/tenants/acme/shared/rows/ --instances 4 --no-wait
    """
    from aimatrix.cli.models import resolve

    output = Output(as_json)
    settings: dict[str, Any] = {
        "content_type": content_type or (_JSON if data.endswith(".json") else _CSV),
        "accept": accept,
        "batch_strategy": "single-record" if single_record else None,
        "max_payload_mb": max_payload_mb,
        "max_concurrent_transforms": at_once,
        "instance_count": instances,
    }
    with tools(ctx).connect(Target(api, profile, state)) as client:
        chosen = resolve(client, model)
        source = data if data.startswith("s3://") else _uploaded(client, output, Path(data))
        given = {name: value for name, value in settings.items() if value is not None}
        transform = client.transforms.start(chosen.id, source, given)
        output.note(f"{dim('transforming')}  {data} by {bold(chosen.reference)}")
        if wait:
            transform = client.transforms.wait(transform.id, timeout)
        if download is not None and transform.has_completed():
            written = client.transforms.download(transform.id, download)
            output.note(f"{dim('written')}  {len(written)} file(s) below {download}")
    output.finish(transform.document, *_shown(transform))
    if wait and not transform.has_completed():
        raise typer.Exit(ExitCode.FAILED)


@app.command("list")
def list_transforms(
    ctx: typer.Context,
    model_id: Annotated[str | None, typer.Option(help="Only those of this model.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, latest first.")] = 20,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """List transforms, latest first.

    Example:

      aimatrix transforms list
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = list(islice(client.transforms.list(model_id=model_id, page_size=min(limit, 100)), limit))
    rows = [(each.id, each.model, each.status, each.created_at) for each in found]
    lines = table(("TRANSFORM", "MODEL", "STATUS", "CREATED"), rows) if rows else [dim("no transforms")]
    Output(as_json).finish({"transforms": [each.document for each in found]}, *lines)


@app.command()
def get(
    ctx: typer.Context,
    transform_id: Id,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Stay until it has ended.")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait at most.")] = 3 * 24 * 3600,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Show a transform.

    Example:

      aimatrix transforms get 0f8e... --wait
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        transform = client.transforms.wait(transform_id, timeout) if wait else client.transforms.get(transform_id)
    Output(as_json).finish(transform.document, *_shown(transform))


@app.command()
def outputs(
    ctx: typer.Context,
    transform_id: Id,
    download: Folder = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 100,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """List a transform's files of answers, or fetch them all.

    Example:

      aimatrix transforms outputs 0f8e... --download answers
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = list(islice(client.transforms.outputs(transform_id, page_size=min(limit, 1000)), limit))
        if download is not None:
            client.transforms.download(transform_id, download)
    rows = [(each.name, size(each.size)) for each in found]
    lines = table(("FILE", "SIZE"), rows) if rows else [dim("no answers")]
    Output(as_json).finish({"outputs": [vars(each) for each in found]}, *lines)


@app.command()
def cancel(
    ctx: typer.Context,
    transform_id: Id,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Stop a transform; nothing is stored.

    Example:

      aimatrix transforms cancel 0f8e...
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        transform = client.transforms.cancel(transform_id)
    Output(as_json).finish(transform.document, *_shown(transform))


def _uploaded(client: Client, output: Output, data: Path) -> str:
    """S3 URI of what was uploaded: of the one file, or of what all of a folder's begin with."""
    from aimatrix.client import UploadFile

    if data.is_file():
        files = [UploadFile(data, data.name)]
    else:
        found = sorted(path for path in data.rglob("*") if path.is_file())
        files = [UploadFile(path, path.relative_to(data).as_posix()) for path in found]
    if not files:
        raise typer.BadParameter(f"{data} is neither a file nor a folder with files", param_hint="DATA")
    output.note(f"{dim('uploading')}  {len(files)} file(s)")
    uris = client.upload(files)
    first = uris[files[0].name]
    return first if data.is_file() else first.removesuffix(files[0].name)


def _shown(transform: Transform) -> list[str]:
    return facts(
        {
            "transform": bold(transform.id),
            "model": transform.model,
            "status": status(transform.status),
            "reason": transform.failure_reason,
            "answers": transform.output,
            "cost": f"{transform.cost_usd:.4f} USD" if transform.cost_usd is not None else None,
        }
    )
