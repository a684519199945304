"""``aimatrix models``: list, get, register, deprecate."""

from __future__ import annotations

from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from aimatrix.cli import options, parsing
from aimatrix.cli.output import Output, bold, dim, facts, number, size, status, table
from aimatrix.cli.tools import Target, tools

if TYPE_CHECKING:
    from aimatrix.client import Client, Model

app = typer.Typer(help="List models, look at one, register one from elsewhere, approve or deprecate one.")

Reference = Annotated[str, typer.Argument(help="Id of the model, or NAME, or NAME:VERSION.", metavar="MODEL")]


class ModelStatus(StrEnum):
    TRAINING = "training"
    READY = "ready"
    DEPLOYED = "deployed"
    DEPRECATED = "deprecated"


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """List models, look at one, register one from elsewhere, deprecate one. Without a command: list the latest."""
    if ctx.invoked_subcommand is None:
        _list(ctx, Target(api, profile, state), Output(as_json), None, None, 20)


@app.command("list")
def list_models(
    ctx: typer.Context,
    framework: Annotated[options.Framework | None, typer.Option(help="Only models of this framework.")] = None,
    only: Annotated[ModelStatus | None, typer.Option("--status", help="Only models of this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, latest first.")] = 20,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """List models, latest first.

    Example:

      aimatrix models list --framework xgboost --status ready
    """
    _list(ctx, Target(api, profile, state), Output(as_json), framework, only, limit)


def _list(
    ctx: typer.Context,
    target: Target,
    output: Output,
    framework: options.Framework | None,
    only: ModelStatus | None,
    limit: int,
) -> None:
    with tools(ctx).connect(target) as client:
        listing = client.models.list(framework=framework, status=only, page_size=min(limit, 100))
        found = list(islice(listing, limit))
    rows = [(each.id, each.name, each.version, each.framework, each.status, each.created_at) for each in found]
    headers = ("MODEL", "NAME", "VERSION", "FRAMEWORK", "STATUS", "CREATED")
    lines = table(headers, rows) if rows else [dim("no models")]
    output.finish({"models": [each.document for each in found]}, *lines)


@app.command()
def get(
    ctx: typer.Context,
    reference: Reference,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Show a model: status, metrics, artifacts, where it came from.

    Example:

      aimatrix models get wine:3
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        model = resolve(client, reference)
    Output(as_json).finish(model.document, *describe(model))


@app.command()
def register(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    artifact: Annotated[str, typer.Option(help="Where its file lies.", metavar="s3://...")],
    framework: Annotated[options.Framework, typer.Option(help="What it was trained with.")],
    version: Annotated[str | None, typer.Option(help="Version (default: the next one).")] = None,
    description: Annotated[str | None, typer.Option(help="A sentence about it.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag. Repeatable.")] = None,
    metric: Annotated[list[str] | None, typer.Option(help="A metric of it. Repeatable.", metavar="NAME=NUMBER")] = None,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Register a model that was trained elsewhere.

    Example:

      aimatrix models register churn --framework sklearn --artifact s3://bucket/model.tar.gz --metric accuracy=0.91
    """
    measured = {key: _figure(key, value) for key, value in parsing.pairs(metric or (), "--metric").items()}
    with tools(ctx).connect(Target(api, profile, state)) as client:
        model = client.models.register(
            name, framework, artifact, version=version, description=description, tags=tag or (), metrics=measured
        )
    Output(as_json).finish(model.document, *describe(model))


@app.command()
def deprecate(
    ctx: typer.Context,
    reference: Reference,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Mark a model as no longer to be used.

    Example:

      aimatrix models deprecate wine:1
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        model = client.models.deprecate(resolve(client, reference).id)
    Output(as_json).finish(model.document, f"{bold(model.reference)} is {status(model.status)}")


@app.command()
def approve(
    ctx: typer.Context,
    reference: Reference,
    environment: Annotated[options.Environment, typer.Option("--environment", "-e", help="Where it may serve.")],
    reject: Annotated[bool, typer.Option("--reject", help="Say that it may not.")] = False,
    comment: Annotated[str | None, typer.Option(help="Why.", metavar="TEXT")] = None,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Approve a version for an environment that names you as an approver. What you say last counts.

    Examples:

      aimatrix models approve wine:4 --environment production

      aimatrix models approve wine:4 --environment production --reject --comment "worse on young wines"
    """
    decision = "rejected" if reject else "approved"
    with tools(ctx).connect(Target(api, profile, state)) as client:
        model = resolve(client, reference)
        given = client.models.approve(model.id, environment, decision=decision, comment=comment)
    Output(as_json).finish(given.document, f"{bold(model.reference)} is {given.decision} for {given.environment}")


@app.command()
def approvals(
    ctx: typer.Context,
    reference: Reference,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """List who has approved or rejected a version, and where.

    Example:

      aimatrix models approvals wine:4
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = client.models.approvals(resolve(client, reference).id)
    rows = [(each.environment, each.user, each.decision, each.at, each.comment or "") for each in found]
    lines = (
        table(("ENVIRONMENT", "USER", "DECISION", "AT", "COMMENT"), rows) if rows else [dim("nobody has said anything")]
    )
    Output(as_json).finish({"approvals": [each.document for each in found]}, *lines)


def resolve(client: Client, reference: str) -> Model:
    """The model that an id, ``NAME`` or ``NAME:VERSION`` means."""
    from aimatrix.client import NotFoundError

    if ":" not in reference:
        try:
            return client.models.get(reference)
        except NotFoundError:
            return client.models.find(reference)
    return client.models.find(reference)


def describe(model: Model) -> list[str]:
    lines = facts(
        {
            "model": f"{bold(model.name)} version {bold(model.version)}",
            "id": model.id,
            "status": status(model.status),
            "framework": " · ".join(part for part in (model.framework, model.kind) if part),
            "metrics": " · ".join(f"{name} {number(value)}" for name, value in model.metrics.items()),
            "from job": model.training_job_id,
            "in MLflow": " ".join(str(model.mlflow[key]) for key in ("name", "version") if model.mlflow.get(key)),
            "created": model.created_at,
            "not servable": None if model.servable else model.servable_reason,
        }
    )
    return lines + [
        f"{dim('artifact')}  {artifact.path}  {size(artifact.size_bytes)}  sha256:{artifact.checksum}"
        for artifact in model.artifacts
    ]


def _figure(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise typer.BadParameter(f"{name} is given as {value!r}, not a number", param_hint="--metric") from None
