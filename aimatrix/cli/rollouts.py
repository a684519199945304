"""``aimatrix rollouts``: another version takes over a deployment's requests in steps."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimatrix.cli import options
from aimatrix.cli.deployments import Reference, Wait
from aimatrix.cli.deployments import resolve as resolve_deployment
from aimatrix.cli.exits import ExitCode
from aimatrix.cli.models import Reference as ModelReference
from aimatrix.cli.output import Output, bold, dim, facts, status, table
from aimatrix.cli.parsing import read_json
from aimatrix.cli.tools import Target, tools

if TYPE_CHECKING:
    from aimatrix.client import Client, Rollout, RolloutStep

app = typer.Typer(
    help="Let another version take over a deployment's requests in steps, and undo it when a gate is breached."
)

Id = Annotated[str | None, typer.Argument(help="Number of the rollout; the latest without it.", metavar="[ROLLOUT]")]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds to wait at most.")]


@app.command()
def start(
    ctx: typer.Context,
    reference: Reference,
    model: ModelReference,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="all-at-once, blue-green, canary, linear or shadow-first. Without it, and without --plan: canary."
        ),
    ] = None,
    plan: Annotated[
        Path | None, typer.Option(help="Steps and gates, a JSON file: docs/rollouts.md has one.", metavar="FILE")
    ] = None,
    max_error_rate: Annotated[
        float | None, typer.Option(min=0.0001, max=0.9999, help="Go back when more of its requests fail.")
    ] = None,
    max_p99_ms: Annotated[
        float | None, typer.Option(min=0.1, max=60_000, help="Go back when more than 1 % of them take longer.")
    ] = None,
    max_drift: Annotated[
        float | None,
        typer.Option(min=0.01, max=0.99, help="Go back when its answers are further than this from the old version's."),
    ] = None,
    wait: Wait = True,
    timeout: Timeout = 7 * 24 * 3600,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Begin a rollout. One that is under way is overtaken.

    Examples:

      aimatrix rollouts start wine@production wine:5

      aimatrix rollouts start wine@production wine:5 --strategy linear --max-error-rate 0.02 --max-p99-ms 300

      aimatrix rollouts start wine@production wine:5 --strategy shadow-first

      aimatrix rollouts start wine@production wine:5 --plan steps.json --no-wait
    """
    from aimatrix.cli.models import resolve as resolve_model

    wanted = _plan(plan, strategy, max_error_rate, max_p99_ms, max_drift)
    output = Output(as_json)
    with tools(ctx).connect(Target(api, profile, state)) as client:
        deployment = resolve_deployment(client, reference)
        rollout = client.rollouts.start(deployment.id, resolve_model(client, model).id, wanted)
        output.note(f"{dim('rolling out')}  version {bold(rollout.model_version)} on {deployment.reference}")
        if wait:
            rollout = client.rollouts.wait(deployment.id, rollout.id, timeout, _Progress(output))
    output.finish(rollout.document, *_shown(rollout))
    if wait and not rollout.has_succeeded():
        raise typer.Exit(ExitCode.FAILED)


@app.command("list")
def list_rollouts(
    ctx: typer.Context,
    reference: Reference,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, latest first.")] = 20,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """List a deployment's rollouts, latest first.

    Example:

      aimatrix rollouts list wine@production
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        deployment = resolve_deployment(client, reference)
        found = list(islice(client.rollouts.list(deployment.id, page_size=min(limit, 100)), limit))
    rows = [
        (each.id, each.model_version, each.status, f"{each.step}/{len(each.steps)}", each.created_at) for each in found
    ]
    lines = table(("ROLLOUT", "VERSION", "STATUS", "STEP", "CREATED"), rows) if rows else [dim("no rollouts")]
    Output(as_json).finish({"rollouts": [each.document for each in found]}, *lines)


@app.command()
def get(
    ctx: typer.Context,
    reference: Reference,
    rollout_id: Id = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Stay until it has ended.")] = False,
    timeout: Timeout = 7 * 24 * 3600,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Show a rollout: its steps, its gates, and why it ended.

    Example:

      aimatrix rollouts get wine@production --wait
    """
    output = Output(as_json)
    with tools(ctx).connect(Target(api, profile, state)) as client:
        rollout = _resolve(client, reference, rollout_id)
        if wait:
            rollout = client.rollouts.wait(rollout.deployment_id, rollout.id, timeout, _Progress(output))
    output.finish(rollout.document, *_shown(rollout))


@app.command()
def pause(
    ctx: typer.Context,
    reference: Reference,
    rollout_id: Id = None,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Go no step further. The weights stay, and the gates are watched as before.

    Example:

      aimatrix rollouts pause wine@production
    """
    _act(ctx, Target(api, profile, state), Output(as_json), reference, rollout_id, lambda c: c.rollouts.pause)


@app.command()
def resume(
    ctx: typer.Context,
    reference: Reference,
    rollout_id: Id = None,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Go on where it was paused.

    Example:

      aimatrix rollouts resume wine@production
    """
    _act(ctx, Target(api, profile, state), Output(as_json), reference, rollout_id, lambda c: c.rollouts.resume)


@app.command()
def promote(
    ctx: typer.Context,
    reference: Reference,
    rollout_id: Id = None,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Let the new version be alone, whatever steps are left.

    Example:

      aimatrix rollouts promote wine@production
    """
    _act(ctx, Target(api, profile, state), Output(as_json), reference, rollout_id, lambda c: c.rollouts.promote)


@app.command()
def abort(
    ctx: typer.Context,
    reference: Reference,
    rollout_id: Id = None,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Bring the old weights back, at once.

    Example:

      aimatrix rollouts abort wine@production
    """
    _act(ctx, Target(api, profile, state), Output(as_json), reference, rollout_id, lambda c: c.rollouts.abort)


def _act(
    ctx: typer.Context,
    target: Target,
    output: Output,
    reference: str,
    rollout_id: str | None,
    action: Callable[[Client], Callable[[str, str], Rollout]],
) -> None:
    with tools(ctx).connect(target) as client:
        rollout = _resolve(client, reference, rollout_id)
        rollout = action(client)(rollout.deployment_id, rollout.id)
    output.finish(rollout.document, *_shown(rollout))


def _resolve(client: Client, reference: str, rollout_id: str | None) -> Rollout:
    deployment = resolve_deployment(client, reference)
    if rollout_id is not None:
        return client.rollouts.get(deployment.id, rollout_id)
    latest = next(client.rollouts.list(deployment.id, page_size=1), None)
    if latest is None:
        raise typer.BadParameter(f"{deployment.reference} has had no rollout", param_hint="ROLLOUT")
    return latest


def _plan(
    plan: Path | None,
    strategy: str | None,
    max_error_rate: float | None,
    max_p99_ms: float | None,
    max_drift: float | None,
) -> dict[str, Any]:
    wanted: Any = {}
    if plan is not None:
        wanted = read_json(plan, "--plan")
        if not isinstance(wanted, dict):
            raise typer.BadParameter(f"{plan} is no JSON object", param_hint="--plan")
    if strategy is not None:
        wanted["strategy"] = {"type": strategy}
    gates: list[dict[str, Any]] = []
    if max_error_rate is not None:
        gates.append({"type": "error_rate", "maximum": max_error_rate})
    if max_p99_ms is not None:
        gates.append({"type": "latency", "percentile": 99.0, "maximum_ms": max_p99_ms})
    if max_drift is not None:
        gates.append({"type": "drift", "maximum": max_drift})
    if gates:
        wanted["gates"] = [*wanted.get("gates", ()), *gates]
    return dict(wanted)


class _Progress:
    """Says once what has changed since it was told last."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._last: tuple[object, ...] = ()

    def __call__(self, rollout: Rollout) -> None:
        step = rollout.steps[rollout.step - 1]
        state = (rollout.status, rollout.step, step.status)
        if state != self._last:
            self._last = state
            where = f"step {rollout.step} of {len(rollout.steps)}, {_weight(step)}: {step.status}"
            self._output.note(f"{status(rollout.status)}  {dim(where)}")


def _weight(step: RolloutStep) -> str:
    return f"{step.weight:g} % as shadow" if step.shadow else f"{step.weight:g} %"


def _shown(rollout: Rollout) -> list[str]:
    rows = [
        (_weight(each), each.duration, f"{each.samples or 0:,}/{each.minimum_samples:,}", each.status)
        for each in rollout.steps
    ]
    gates = [f"{dim('gate')}  {each.gate}: {each.finding or 'not looked at yet'}" for each in rollout.gates]
    about = facts(
        {
            "rollout": f"{bold(rollout.id)} of {rollout.deployment_id}",
            "version": rollout.model_version,
            "status": status(rollout.status),
            "reason": rollout.reason,
        }
    )
    return [*about, *table(("WEIGHT", "DURATION", "REQUESTS", "STATUS"), rows), *gates]
