"""``aimatrix deploy`` and ``aimatrix deployments``: list, get, weights, delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimatrix.cli import options
from aimatrix.cli.exits import ExitCode
from aimatrix.cli.models import Reference as ModelReference
from aimatrix.cli.output import Output, bold, dim, facts, status, table
from aimatrix.cli.tools import Target, tools

if TYPE_CHECKING:
    from aimatrix.client import Client, Deployment, Revision, Variant

app = typer.Typer(help="List deployments, look at one, roll one back, take one down.")

Reference = Annotated[
    str, typer.Argument(help="Id of the deployment, or MODEL-NAME@ENVIRONMENT.", metavar="DEPLOYMENT")
]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Stay until it has settled.")]


def deploy(
    ctx: typer.Context,
    model: ModelReference,
    environment: Annotated[
        options.Environment, typer.Option("--environment", "-e", help="Where it is to serve.")
    ] = options.Environment.DEVELOPMENT,
    replicas: Annotated[
        int | None, typer.Option(min=1, max=100, help="Instances behind the endpoint, of each version (default: 1).")
    ] = None,
    serverless: Annotated[
        bool | None,
        typer.Option(
            "--serverless/--instances",
            help="No instances while nobody asks, and nothing to pay for then (default: as the environment has it).",
        ),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            help="Serve this version beside others, with its part of the requests. Repeatable, the deployed one too.",
            metavar="VERSION=WEIGHT",
        ),
    ] = None,
    shadow: Annotated[
        str | None,
        typer.Option(
            help="Give this version copies of the requests, of all or of so many percent; it answers nobody.",
            metavar="VERSION[=PERCENT]",
        ),
    ] = None,
    max_replicas: Annotated[
        int | None,
        typer.Option(
            min=1, max=100, help="Let instances be added up to so many as load comes, and removed as it goes."
        ),
    ] = None,
    wait: Wait = True,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait at most.")] = 1800,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Serve a model. Another version of it in the same environment is replaced in place.

    Examples:

      aimatrix deploy wine

      aimatrix deploy wine --environment staging --serverless

      aimatrix deploy wine:3 --environment production --replicas 4

      aimatrix deploy wine:3 --environment production --replicas 2 --max-replicas 8

      aimatrix deploy wine:4 --environment production --variant 3=90 --variant 4=10

      aimatrix deploy wine:3 --environment production --shadow 4=50
    """
    from aimatrix.cli.models import resolve as resolve_model
    from aimatrix.client import DeploymentConfig

    output = Output(as_json)
    split = _weights(variant or (), "--variant")
    copies = _weights([shadow if "=" in shadow else f"{shadow}=100"], "--shadow") if shadow else {}
    with tools(ctx).connect(Target(api, profile, state)) as client:
        chosen = resolve_model(client, model)
        known = {chosen.version: chosen.id}

        def id_of(version: str) -> str:
            return known.get(version) or client.models.find(f"{chosen.name}:{version}").id

        weights = {id_of(version): weight for version, weight in split.items()}
        shadowing = {id_of(version): percentage for version, percentage in copies.items()}
        asks = replicas or max_replicas or weights or shadowing or serverless is False
        # Where nothing asks for instances the environment says whether there are any.
        has_instances = asks or (serverless is None and not _scales_to_zero(client, environment))
        count = (replicas or 1) if has_instances else None
        config = DeploymentConfig(
            environment,
            count,
            scaling_policy={"min_replicas": count or 1, "max_replicas": max_replicas} if max_replicas else None,
            variants=weights or None,
            serverless=serverless,
            shadow=next(iter(shadowing), None),
            shadow_percentage=next(iter(shadowing.values()), 100.0),
        )
        deployment = client.models.deploy(chosen.id, config)
        output.note(f"{dim('deploying')}  {bold(chosen.reference)} to {environment}")
        if wait:
            deployment = client.deployments.wait(deployment.id, timeout)
    output.finish(deployment.document, *describe(deployment))
    if wait and not deployment.is_active():
        raise typer.Exit(ExitCode.FAILED)


def _scales_to_zero(client: Client, environment: str) -> bool:
    """Whether the environment has it so; of one that the caller may not read, what it has at first."""
    from aimatrix.client import ForbiddenError

    try:
        return client.environments.get(environment).scale_to_zero
    except ForbiddenError:
        return environment == options.Environment.DEVELOPMENT


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """List deployments, look at one, roll one back, take one down. Without a command: list them."""
    if ctx.invoked_subcommand is None:
        _list(ctx, Target(api, profile, state), Output(as_json), 20)


@app.command("list")
def list_deployments(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 20,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """List deployments.

    Example:

      aimatrix deployments list --json
    """
    _list(ctx, Target(api, profile, state), Output(as_json), limit)


def _list(ctx: typer.Context, target: Target, output: Output, limit: int) -> None:
    with tools(ctx).connect(target) as client:
        found = list(islice(client.deployments.list(page_size=min(limit, 100)), limit))
    rows = [(each.id, each.name, each.environment, each.status, str(each.revision), each.created_at) for each in found]
    headers = ("DEPLOYMENT", "MODEL", "ENVIRONMENT", "STATUS", "REVISION", "CREATED")
    lines = table(headers, rows) if rows else [dim("no deployments")]
    output.finish({"deployments": [each.document for each in found]}, *lines)


@app.command()
def get(
    ctx: typer.Context,
    reference: Reference,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Show a deployment.

    Example:

      aimatrix deployments get wine@staging
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        deployment = resolve(client, reference)
    Output(as_json).finish(deployment.document, *describe(deployment))


@app.command()
def weights(
    ctx: typer.Context,
    reference: Reference,
    split: Annotated[
        list[str], typer.Argument(help="Each version that it serves, and its part.", metavar="VERSION=WEIGHT...")
    ],
    wait: Wait = True,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait at most.")] = 1800,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Split the requests of a deployment anew among the versions that it serves.

    Example:

      aimatrix deployments weights wine@production 3=50 4=50
    """
    wanted = _weights(split, "VERSION=WEIGHT")
    with tools(ctx).connect(Target(api, profile, state)) as client:
        deployment = resolve(client, reference)
        ids = {each.model_version: each.model_id for each in deployment.variants}
        if unknown := [version for version in wanted if version not in ids]:
            said = f"{deployment.reference} serves {', '.join(ids)}, not {', '.join(unknown)}"
            raise typer.BadParameter(said, param_hint="VERSION=WEIGHT")
        weights = {ids[version]: weight for version, weight in wanted.items()}
        deployment = client.deployments.change_weights(deployment.id, weights)
        if wait:
            deployment = client.deployments.wait(deployment.id, timeout)
    Output(as_json).finish(deployment.document, *describe(deployment))
    # What could not be changed stays as it was, and the deployment active: the record says why.
    if wait and (not deployment.is_active() or {each.model_id: each.weight for each in deployment.variants} != weights):
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def revisions(
    ctx: typer.Context,
    reference: Reference,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, latest first.")] = 20,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """List what a deployment has served or tried, latest first.

    Example:

      aimatrix deployments revisions wine@production
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        deployment = resolve(client, reference)
        found = list(islice(client.deployments.revisions(deployment.id, page_size=min(limit, 100)), limit))
    rows = [
        (str(each.number), _served(each), each.outcome, each.user, each.settled_at, each.reason or "") for each in found
    ]
    headers = ("REVISION", "VERSIONS", "OUTCOME", "USER", "SETTLED", "REASON")
    lines = table(headers, rows) if rows else [dim("no revision has settled yet")]
    Output(as_json).finish({"revisions": [each.document for each in found]}, *lines)


@app.command()
def capture(
    ctx: typer.Context,
    reference: Reference,
    percentage: Annotated[float, typer.Option(min=0, max=100, help="Of the requests; 0 ends it.")] = 100.0,
    redact: Annotated[
        list[str] | None, typer.Option(help="A field whose values are not kept. Repeatable.", metavar="NAME")
    ] = None,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Keep a part of a deployment's requests and answers in S3, in the form of SageMaker's data capture.

    Examples:

      aimatrix deployments capture wine@production --percentage 10 --redact customer --redact email

      aimatrix deployments capture wine@production --percentage 0
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        calls, found = client.deployments, resolve(client, reference)
        deployment = calls.capture(found.id, percentage, redact or ()) if percentage else calls.end_capture(found.id)
    said = f"{percentage:g} % of its requests" if percentage else "nothing any more"
    Output(as_json).finish(deployment.document, f"{bold(deployment.reference)} captures {said}")


@app.command()
def captures(
    ctx: typer.Context,
    reference: Reference,
    variant: Annotated[
        str | None, typer.Option(help="Which version's, as v3 (default: the first that it serves).")
    ] = None,
    date: Annotated[str | None, typer.Option(help="Day in UTC, as 2026-03-01 (default: today).")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 100,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """List what was captured of a deployment on a day.

    Example:

      aimatrix deployments captures wine@production --variant v3 --date 2026-03-01
    """
    day = date or f"{datetime.now(UTC):%Y-%m-%d}"
    with tools(ctx).connect(Target(api, profile, state)) as client:
        deployment = resolve(client, reference)
        of = variant or next((each.name for each in deployment.variants), "")
        found = list(islice(client.deployments.captures(deployment.id, of, day, page_size=min(limit, 1000)), limit))
    rows = [(each["uri"], str(each["size"])) for each in found]
    lines = table(("OBJECT", "BYTES"), rows) if rows else [dim(f"nothing of {of} on {day}")]
    Output(as_json).finish({"captures": [dict(each) for each in found]}, *lines)


@app.command()
def scaling(
    ctx: typer.Context,
    reference: Reference,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Show how many instances a deployment has now, and what auto scaling did lately.

    Example:

      aimatrix deployments scaling wine@production
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        deployment = resolve(client, reference)
        report = client.deployments.scaling(deployment.id)
    policy = report.get("scaling_policy")
    bounds = f"{policy['min_replicas']} to {policy['max_replicas']}" if policy else "not scaled"
    instances = [(each["model_version"], str(each["instances"]), bounds) for each in report["variants"]]
    lines = [*table(("VERSION", "INSTANCES", "BOUNDS"), instances)]
    done = [
        (each["started_at"], each["variant"], each["status"], each["description"], _why(each))
        for each in report["activities"]
    ]
    if done:
        lines += ["", *table(("AT", "VARIANT", "STATUS", "WHAT", "WHY"), done)]
    Output(as_json).finish(report, *lines)


def _why(activity: Mapping[str, Any]) -> str:
    """What it was for; of one that failed, what it failed of."""
    failed = activity["status"] == "Failed" and activity.get("message")
    return str(failed or activity["cause"])


@app.command()
def rollback(
    ctx: typer.Context,
    reference: Reference,
    to: Annotated[
        int | None,
        typer.Option(
            "--to",
            min=1,
            help="Number of the revision. Without it: the last one without the version that has most of the requests.",
            metavar="REVISION",
        ),
    ] = None,
    wait: Wait = True,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait at most.")] = 1800,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Let an earlier revision serve again.

    Examples:

      aimatrix deployments rollback wine@production

      aimatrix deployments rollback wine@production --to 3
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        calls = client.deployments
        deployment = calls.roll_back(resolve(client, reference).id, to)
        wanted = deployment.revision
        if wait:
            deployment = calls.wait(deployment.id, timeout)
    Output(as_json).finish(deployment.document, *describe(deployment))
    # What does not come up leaves what served before, and the deployment active: the record says why.
    if wait and (not deployment.is_active() or deployment.revision != wanted):
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def delete(
    ctx: typer.Context,
    reference: Reference,
    wait: Wait = True,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait at most.")] = 600,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Take a deployment's endpoint down.

    Example:

      aimatrix deployments delete wine@development
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        deployment = resolve(client, reference)
        client.deployments.delete(deployment.id)
        calls = client.deployments
        deployment = calls.wait_down(deployment.id, timeout) if wait else calls.get(deployment.id)
    Output(as_json).finish(deployment.document, f"{bold(deployment.reference)} is {status(deployment.status)}")
    if wait and not deployment.is_down():
        raise typer.Exit(ExitCode.FAILED)


def _weights(pairs: Sequence[str], hint: str) -> dict[str, float]:
    """``3=90`` words: weight by version."""
    found: dict[str, float] = {}
    for pair in pairs:
        version, _, text = pair.rpartition("=")
        try:
            weight = float(text)
        except ValueError:
            weight = -1.0
        if not version or not 0 <= weight < float("inf"):
            raise typer.BadParameter(f"{pair!r} is not VERSION=WEIGHT, such as 3=90", param_hint=hint)
        if version in found:
            raise typer.BadParameter(f"{version} comes twice", param_hint=hint)
        found[version] = weight
    return found


def resolve(client: Client, reference: str) -> Deployment:
    """The deployment that an id or ``MODEL-NAME@ENVIRONMENT`` means."""
    return client.deployments.find(reference) if "@" in reference else client.deployments.get(reference)


def describe(deployment: Deployment) -> list[str]:
    return facts(
        {
            "deployment": f"{bold(deployment.reference)} revision {deployment.revision}",
            "id": deployment.id,
            "status": status(deployment.status),
            "reason": deployment.failure_reason,
            "model": deployment.model_id,
            "versions": _versions(deployment),
            "shadow": f"{shadow.model_version} ({shadow.percentage:.4g} %)" if (shadow := deployment.shadow) else None,
            "endpoint": deployment.endpoint,
            "ask it": f"aimatrix predict {deployment.reference} '[[...]]'" if deployment.is_active() else None,
        }
    )


def _served(revision: Revision) -> str:
    if len(revision.variants) < 2:
        return revision.model_version
    return _split(revision.variants)


def _versions(deployment: Deployment) -> str | None:
    """What each of several versions gets."""
    if len(deployment.variants) < 2:
        return None
    return _split(deployment.variants)


def _split(variants: Sequence[Variant]) -> str:
    return ", ".join(f"{each.model_version} ({each.percentage:.4g} %)" for each in variants)
