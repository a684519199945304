"""``aimatrix retraining``: what is uploaded below a prefix trains the next version of a model."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimatrix.cli import options
from aimatrix.cli.exits import ExitCode
from aimatrix.cli.output import Output, bold, dim, facts, printable, size, status, table
from aimatrix.cli.parsing import money, read_json, seconds
from aimatrix.cli.tools import Target, tools

if TYPE_CHECKING:
    from aimatrix.client import Client, RetrainingPolicy, RetrainingRun

app = typer.Typer(help="Train the next version of a model with whatever is uploaded below a prefix.")

Id = Annotated[str, typer.Argument(help="Id of the policy.", metavar="POLICY")]
File = Annotated[
    Path | None,
    typer.Option("--policy", help="All of it, a JSON file: docs/retraining.md has one.", metavar="FILE"),
]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Stay until the run is over.")]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds to wait at most.")]
_WEEK = 7 * 24 * 3600


@app.command()
def create(
    ctx: typer.Context,
    policy: File = None,
    script: Annotated[
        str | None, typer.Option(help="The training script: a local file, or s3://...", metavar="SCRIPT")
    ] = None,
    framework: Annotated[options.Framework | None, typer.Option(help="What the script trains with.")] = None,
    prefix: Annotated[
        str | None, typer.Option(help="Folder of yours in the artifact store that is watched.", metavar="s3://.../")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the policy, its jobs and its model (default: from the script's path).")
    ] = None,
    pattern: Annotated[str | None, typer.Option(help="Only what is called so: '*.csv'.")] = None,
    marker: Annotated[
        str | None, typer.Option(help="Train when an object of this name completes a set, and not before.")
    ] = None,
    debounce: Annotated[
        str | None, typer.Option(help="Train when nothing has come for so long: 90s, 30m (default: 60s).")
    ] = None,
    max_wait: Annotated[
        str | None, typer.Option(help="Train so long after the first object, whatever comes (default: 1h).")
    ] = None,
    deploy_to: Annotated[options.Environment | None, typer.Option(help="Deploy the model here.")] = None,
    budget: Annotated[str | None, typer.Option(help="Of all its jobs in a month.", metavar="USD")] = None,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Have uploads train the next version of a model. The jobs are yours, under your quota.

    Examples:

      aimatrix retraining create --script train.py --framework sklearn --prefix s3://my-artifacts/tenants/acme/users/ann/rows/

      aimatrix retraining create --script s3://... --framework xgboost --prefix s3://... --debounce 10m --deploy-to staging

      aimatrix retraining create --policy churn.json
    """
    source = {"uri_prefix": prefix, "pattern": pattern, "marker": marker}
    simple: dict[str, Any] = {
        "debounce": None if debounce is None else seconds(debounce, "--debounce"),
        "max_wait": None if max_wait is None else seconds(max_wait, "--max-wait"),
        "budget_usd": None if budget is None else float(money(budget, "--budget")),
    }
    output = Output(as_json)
    if policy is not None:
        if any(value is not None for value in (script, framework, name, deploy_to, *source.values(), *simple.values())):
            raise typer.BadParameter("the file says all of it: give it alone", param_hint="--policy")
        wanted = _read(policy)
        with tools(ctx).connect(Target(api, profile, state)) as client:
            made = client.retraining.create(wanted)
    else:
        if script is None or framework is None or prefix is None:
            needed = "give --script, --framework and --prefix, or --policy with a file"
            raise typer.BadParameter(needed, param_hint="--policy")
        if not prefix.startswith("s3://"):
            raise typer.BadParameter(f"{prefix!r} is not an s3:// URI", param_hint="--prefix")
        if deploy_to is not None:
            simple["on_success"] = {"deploy_to": deploy_to.value}
        simple["source"] = {"type": "s3", **_given(source)}
        with tools(ctx).connect(Target(api, profile, state)) as client:
            job = _job(client, output, script, framework, name)
            made = client.retraining.create({"name": job["name"], "job": job, **_given(simple)})
    output.finish(made.document, *_shown(made))


@app.command("list")
def list_policies(
    ctx: typer.Context,
    limit: Limit = 20,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """List the tenant's policies.

    Example:

      aimatrix retraining list
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = list(islice(client.retraining.list(page_size=min(limit, 100)), limit))
    rows = [
        (each.id, printable(each.name), each.user_id, _state(each), each.deploy_to or "-", each.uri_prefix)
        for each in found
    ]
    headers = ("POLICY", "NAME", "USER", "STATE", "DEPLOYS TO", "PREFIX")
    lines = table(headers, rows) if rows else [dim("no retraining policies")]
    Output(as_json).finish({"retraining_policies": [each.document for each in found]}, *lines)


@app.command()
def show(
    ctx: typer.Context,
    policy_id: Id,
    run: Annotated[str | None, typer.Option(help="One run of it: its number.", metavar="RUN")] = None,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Show a policy, or one of its runs. With --json it can be changed in a file, and set.

    Examples:

      aimatrix retraining show 0b7c...

      aimatrix retraining show 0b7c... --run 3
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        if run is not None:
            found = client.retraining.run(policy_id, run)
            Output(as_json).finish(found.document, *_run_shown(found))
            return
        policy = client.retraining.get(policy_id)
    Output(as_json).finish(policy.document, *_shown(policy))


@app.command("set")
def set_policy(
    ctx: typer.Context,
    policy_id: Id,
    policy: File = None,
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Switch it on or off; the rest stays.")
    ] = None,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Replace what a policy says, or switch it on or off. It and its jobs are yours from now on.

    Examples:

      aimatrix retraining set 0b7c... --policy churn.json

      aimatrix retraining set 0b7c... --disable
    """
    if policy is None and enabled is None:
        raise typer.BadParameter("give a file, or --enable or --disable", param_hint="--policy")
    wanted = _read(policy) if policy is not None else None
    with tools(ctx).connect(Target(api, profile, state)) as client:
        if wanted is None:
            wanted = client.retraining.get(policy_id).settings()
        if enabled is not None:
            wanted["enabled"] = enabled
        changed = client.retraining.set(policy_id, wanted)
    Output(as_json).finish(changed.document, *_shown(changed))


@app.command()
def delete(
    ctx: typer.Context,
    policy_id: Id,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Remove a policy; its runs can still be listed. A job that trains goes on, and its model is not deployed.

    Example:

      aimatrix retraining delete 0b7c...
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        client.retraining.delete(policy_id)
    Output(as_json).finish({"policy_id": policy_id, "deleted": True}, f"{policy_id} is removed")


@app.command()
def start(
    ctx: typer.Context,
    policy_id: Id,
    wait: Wait = True,
    timeout: Timeout = _WEEK,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Train now, with what lies below the prefix. Exit code 1 where no model came of it.

    Examples:

      aimatrix retraining start 0b7c...

      aimatrix retraining start 0b7c... --no-wait
    """
    output = Output(as_json)
    with tools(ctx).connect(Target(api, profile, state)) as client:
        run = client.retraining.start(policy_id)
        output.note(f"{dim('started')}  run {bold(run.id)}")
        if wait:
            run = client.retraining.wait(policy_id, run.id, timeout)
    output.finish(run.document, *_run_shown(run))
    if wait and not run.has_succeeded():
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def runs(
    ctx: typer.Context,
    policy_id: Id,
    limit: Limit = 20,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """List a policy's runs, latest first.

    Example:

      aimatrix retraining runs 0b7c...
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = list(islice(client.retraining.runs(policy_id, page_size=min(limit, 100)), limit))
    rows = [
        (
            each.id,
            each.status,
            each.trigger,
            "-" if each.objects is None else str(each.objects),
            "-" if each.bytes is None else size(each.bytes),
            each.job_id or "-",
            each.opened_at,
            printable(each.reason or ""),
        )
        for each in found
    ]
    headers = ("RUN", "STATUS", "TRIGGER", "OBJECTS", "SIZE", "JOB", "OPENED", "REASON")
    lines = table(headers, rows) if rows else [dim("no runs")]
    Output(as_json).finish({"runs": [each.document for each in found]}, *lines)


def _read(path: Path) -> dict[str, Any]:
    """A policy in a file; also one as the service shows it."""
    from aimatrix.client.retraining import settings_of

    wanted = read_json(path, "--policy")
    if not isinstance(wanted, dict):
        raise typer.BadParameter(f"{path} is no JSON object", param_hint="--policy")
    return settings_of(wanted)


def _job(client: Client, output: Output, script: str, framework: options.Framework, name: str | None) -> dict[str, Any]:
    """The job's request without its data; a local script is uploaded."""
    from aimatrix.cli.files import gather
    from aimatrix.cli.submit import default_name, send
    from aimatrix.client import JobRequest

    # No data goes along: that is what is uploaded later.
    sources = gather(script, "s3://")
    request = JobRequest(name or default_name(script), framework.value, sources.script, sources.dataset)
    document = send(client, output, sources, request).to_document()
    del document["config"]["dataset_path"]
    return document


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _state(policy: RetrainingPolicy) -> str:
    if not policy.enabled:
        return "disabled"
    return "watching" if policy.is_watched else "by hand"


def _shown(policy: RetrainingPolicy) -> list[str]:
    document = policy.document
    source = document["source"]
    budget = document.get("budget_usd")
    return facts(
        {
            "policy": bold(policy.id),
            "name": printable(policy.name),
            "state": _state(policy),
            "prefix": policy.uri_prefix,
            "pattern": source.get("pattern"),
            "marker": source.get("marker"),
            "trains after": f"{policy.debounce} without another object, {document['max_wait']} at most",
            "of at least": f"{document['min_objects']} object(s), {size(document['min_bytes'])}",
            "while one trains": document["concurrency"],
            "schema check": document["schema_check"],
            "budget": f"{budget:.2f} USD a month" if budget is not None else None,
            "deploys to": policy.deploy_to,
            "user": policy.user_id,
        }
    )


def _run_shown(run: RetrainingRun) -> list[str]:
    data = run.data
    pairs = {
        "run": bold(run.id),
        "status": status(run.status),
        "reason": printable(run.reason) if run.reason else None,
        "started by": f"{run.trigger} ({run.document.get('user_id')})" if run.trigger == "person" else run.trigger,
        "came": f"{run.objects} object(s), {size(run.bytes or 0)}" if run.objects is not None else None,
        "data": f"{data.objects} object(s), {size(data.bytes)}, {data.checksum}" if data else None,
        "job": run.job_id,
        "cost": f"{run.cost_usd:.4f} USD" if run.cost_usd is not None else None,
        "model": run.model_id,
        "deployment": run.deployment_id,
        "deployed": printable(run.deployment_reason) if run.deployment_reason else None,
    }
    return [*facts(pairs), *(f"  {printable(warning)}" for warning in run.warnings)]
