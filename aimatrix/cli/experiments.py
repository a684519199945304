"""``aimatrix experiments``: which of several variants is better, and when that is known."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aimatrix.cli import options
from aimatrix.cli.exits import CommandError, ExitCode
from aimatrix.cli.output import Output, bold, dim, facts, number, printable, table
from aimatrix.cli.output import status as coloured
from aimatrix.cli.parsing import read_json
from aimatrix.cli.tools import Target, tools

if TYPE_CHECKING:
    from aimatrix.client import Experiment, Results

app = typer.Typer(help="Find out which of several variants is better, looking as often as you like.")

Id = Annotated[str, typer.Argument(help="Id of the experiment.", metavar="EXPERIMENT")]


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Find out which of several variants is better, looking as often as you like. Without a command: list the latest."""
    if ctx.invoked_subcommand is None:
        _list(ctx, Target(api, profile, state), Output(as_json), None, 20)


@app.command("list")
def list_experiments(
    ctx: typer.Context,
    status: Annotated[str | None, typer.Option(help="running, decided or stopped.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, latest first.")] = 20,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """List experiments, latest first.

    Example:

      aimatrix experiments list --status running
    """
    _list(ctx, Target(api, profile, state), Output(as_json), status, limit)


def _list(ctx: typer.Context, target: Target, output: Output, status: str | None, limit: int) -> None:
    with tools(ctx).connect(target) as client:
        found = list(islice(client.experiments.list(status=status, page_size=min(limit, 100)), limit))
    rows = [
        (each.id, each.status, each.decision, printable(each.name), each.primary_metric, " ".join(each.variants))
        for each in found
    ]
    headers = ("EXPERIMENT", "STATUS", "DECISION", "NAME", "METRIC", "VARIANTS")
    lines = table(headers, rows) if rows else [dim("no experiments")]
    output.finish({"experiments": [each.document for each in found]}, *lines)


@app.command()
def create(
    ctx: typer.Context,
    plan: Annotated[Path, typer.Argument(help="The plan, a JSON file: docs/experiments.md has one.", metavar="FILE")],
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Begin an experiment, and say how many samples it takes. Its plan is fixed from then on.

    Example:

      aimatrix experiments create button.json
    """
    wanted = read_json(plan, "FILE")
    if not isinstance(wanted, dict):
        raise typer.BadParameter(f"{plan} is no JSON object", param_hint="FILE")
    with tools(ctx).connect(Target(api, profile, state)) as client:
        made = client.experiments.create(wanted)
    Output(as_json).finish(made.document, *_shown(made))


@app.command()
def get(
    ctx: typer.Context,
    experiment_id: Id,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Show the plan of an experiment, the samples it takes, and how it ended.

    Example:

      aimatrix experiments get 0b7c3c1e-0000-4000-8000-000000000001
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = client.experiments.get(experiment_id)
    Output(as_json).finish(found.document, *_shown(found))


@app.command()
def count(
    ctx: typer.Context,
    experiment_id: Id,
    counts: Annotated[
        Path, typer.Argument(help="A JSON list of {variant, metric, n, successes, ...}.", metavar="FILE")
    ],
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Add sums over many units, and look once.

    Example:

      aimatrix experiments count 0b7c3c1e-0000-4000-8000-000000000001 today.json
    """
    batch = read_json(counts, "FILE")
    if not isinstance(batch, list) or not all(isinstance(each, dict) for each in batch):
        raise typer.BadParameter(f"{counts} is no JSON list of objects", param_hint="FILE")
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = client.experiments.count(experiment_id, batch)
    Output(as_json).finish(found.document, *_found(found))


@app.command()
def results(
    ctx: typer.Context,
    experiment_id: Id,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw the effect at each look, with its interval, into this file (.png, .svg).", metavar="FILE"
        ),
    ] = None,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Show what the last look found: decision, reason, effects with their intervals. Asking is no look.

    Example:

      aimatrix experiments results 0b7c3c1e-0000-4000-8000-000000000001 --plot effect.png
    """
    output = Output(as_json)
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = client.experiments.results(experiment_id)
    if plot is not None:
        _draw(found, plot)
        output.note(dim(f"drawn into {plot}"))
    output.finish(found.document, *_found(found))


@app.command()
def assign(
    ctx: typer.Context,
    experiment_id: Id,
    keys: Annotated[list[str], typer.Argument(help="What units are told apart by.", metavar="KEY...")],
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Say which variant keys get: the same one whenever it is asked for.

    Example:

      aimatrix experiments assign 0b7c3c1e-0000-4000-8000-000000000001 user-17 user-18
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        variants = client.experiments.assign(experiment_id, keys)
    pairs = list(zip(keys, variants, strict=True))
    lines = table(("KEY", "VARIANT"), [(printable(key), variant) for key, variant in pairs])
    Output(as_json).finish({"variants": list(variants)}, *lines)


@app.command()
def stop(
    ctx: typer.Context,
    experiment_id: Id,
    reason: Annotated[str, typer.Option(help="Why, for those who read it later.")] = "",
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """End an experiment undecided. Exit code 5 when it has been decided already.

    Example:

      aimatrix experiments stop 0b7c3c1e-0000-4000-8000-000000000001 --reason "the button is gone"
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        stopped = client.experiments.stop(experiment_id, reason)
    Output(as_json).finish(stopped.document, *_shown(stopped))


def _shown(experiment: Experiment) -> list[str]:
    document = experiment.document
    size = document.get("sample_size") or {}
    needed = experiment.sample_size
    pairs = {
        "status": coloured(experiment.status),
        "decision": experiment.decision,
        "reason": document.get("reason"),
        "variants": " ".join(experiment.variants),
        "primary metric": experiment.primary_metric,
        "guardrails": " ".join(each["name"] for each in document.get("guardrails") or ()) or None,
        "method": document.get("method"),
        "allocation": _allocation(experiment),
        "traffic": _traffic(experiment),
        "samples per variant": f"{document.get('max_samples_per_variant'):,} at most",
        "that it takes": None if needed is None else f"{needed:,} at a power of {document.get('power'):.0%}",
        "note": size.get("note"),
    }
    return [f"{bold(experiment.id)}  {printable(experiment.name)}", *facts(pairs)]


def _allocation(experiment: Experiment) -> str | None:
    found = experiment.document.get("allocation")
    if not found:
        return None
    where = f", of deployment {found['deployment_id']}" if found.get("deployment_id") else ""
    return f"{found['type']}, no variant below {found['floor']:.3g}{where}"


def _traffic(experiment: Experiment) -> str | None:
    found = experiment.traffic
    if found is None:
        return None
    look = f", by look {found.look}" if found.look else ""
    return f"{coloured(found.status)}{look}{f': {printable(found.reason)}' if found.reason else ''}"


def _found(found: Results) -> list[str]:
    decided = f"{bold(found.decision)}" + (f" {found.promoted}" if found.promoted else "")
    rows = []
    for each in found.comparisons:
        relative = each.relative_interval
        rows.append(
            (
                each.metric,
                each.role,
                each.variant,
                *(number(each.values[name]) if name in each.values else "-" for name in (each.variant, each.control)),
                "-" if each.relative_effect is None else f"{each.relative_effect * 100:+.3g} %",
                "-" if relative is None else f"{relative[0] * 100:+.3g} % to {relative[1] * 100:+.3g} %",
                str(sum(each.n.values()) or "-"),
            )
        )
    headers = ("METRIC", "ROLE", "VARIANT", "ITS VALUE", "CONTROL'S", "CHANGE", "INTERVAL", "N")
    weights = ", ".join(f"{name} {weight * 100:.3g} %" for name, weight in found.weights.items())
    said = [decided, printable(found.reason), *([dim(f"weights: {weights}")] if weights else [])]
    return [*said, *(["", *table(headers, rows)] if rows else [])]


def _draw(found: Results, path: Path) -> None:
    """The primary metric's effect over the samples, variant by variant, with its always-valid interval."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        cure = "matplotlib is not installed: pip install 'aimatrix-training[plot]'"
        raise CommandError(ExitCode.FAILED, "no-matplotlib", cure) from None
    points = list(found.points())
    if not points:
        raise CommandError(ExitCode.FAILED, "nothing-to-draw", "no look has found an effect yet: nothing to draw")
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for variant in dict.fromkeys(point.variant for point in points):
        own = [point for point in points if point.variant == variant]
        samples = [point.samples for point in own]
        (line,) = axes.plot(samples, [point.effect for point in own], marker="o", label=variant)
        axes.fill_between(
            samples, [point.low for point in own], [point.high for point in own], alpha=0.15, color=line.get_color()
        )
    drawn = found.document["plot"]
    axes.axhline(0, color="gray", linewidth=1)
    axes.set_xlabel("samples per variant")
    axes.set_ylabel(f"{drawn['metric']}: difference to {drawn['control']}")
    axes.set_title(f"{found.document.get('name', '')}: {found.decision}")
    axes.legend()
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise CommandError(ExitCode.FAILED, "not-drawn", f"{path} could not be written: {error}") from None
