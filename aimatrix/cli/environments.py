"""``aimatrix environments``: who may change what is served where, when, with whose approval, by which gates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimatrix.cli import options
from aimatrix.cli.output import Output, bold, facts, table
from aimatrix.cli.parsing import read_json
from aimatrix.cli.tools import Target, tools

if TYPE_CHECKING:
    from aimatrix.client import EnvironmentPolicy

app = typer.Typer(help="Say what environments ask of those who change what they serve.")

Environment = Annotated[options.Environment, typer.Argument(help="development, staging or production.")]


@app.command("list")
def list_environments(
    ctx: typer.Context,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Show what each environment asks for.

    Example:

      aimatrix environments list
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = client.environments.list()
    rows = [
        (
            each.environment,
            _deployers(each),
            _approvals(each),
            ", ".join(each.required_gates) or "none",
            str(len(each.change_windows) or "always"),
        )
        for each in found
    ]
    lines = table(("ENVIRONMENT", "DEPLOYERS", "APPROVALS", "GATES", "WINDOWS"), rows)
    Output(as_json).finish({"environments": [each.document for each in found]}, *lines)


@app.command()
def get(
    ctx: typer.Context,
    environment: Environment,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Show what an environment asks for.

    Example:

      aimatrix environments get production
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        policy = client.environments.get(environment)
    Output(as_json).finish(policy.document, *describe(policy))


@app.command("set")
def set_environment(
    ctx: typer.Context,
    environment: Environment,
    policy: Annotated[Path, typer.Option(help="A JSON file: docs/environments.md has one.", metavar="FILE")],
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Say what an environment asks for from now on. Needs the permission environments:manage.

    Example:

      aimatrix environments set production --policy production.json
    """
    document = read_json(policy, "--policy")
    if not isinstance(document, dict):
        raise typer.BadParameter(f"{policy} holds no JSON object", param_hint="--policy")
    with tools(ctx).connect(Target(api, profile, state)) as client:
        made = client.environments.set(environment, document)
    Output(as_json).finish(made.document, *describe(made))


@app.command()
def clear(
    ctx: typer.Context,
    environment: Environment,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Let an environment ask for nothing any more.

    Example:

      aimatrix environments clear staging
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        client.environments.clear(environment)
    Output(as_json).finish({"environment": environment.value}, f"{bold(environment.value)} asks for nothing")


def describe(policy: EnvironmentPolicy) -> list[str]:
    return facts(
        {
            "environment": bold(policy.environment),
            "deployers": _deployers(policy),
            "approvals": _approvals(policy),
            "gates": ", ".join(policy.required_gates) or "none",
            "windows": "; ".join(_window(window) for window in policy.change_windows) or "always",
            "idle": "no instances, unless asked for" if policy.scale_to_zero else "instances",
        }
    )


def _deployers(policy: EnvironmentPolicy) -> str:
    return "all" if policy.deployers is None else ", ".join(policy.deployers)


def _approvals(policy: EnvironmentPolicy) -> str:
    return f"{policy.approvals} of {', '.join(policy.approvers)}" if policy.approvals else "none"


def _window(window: Mapping[str, Any]) -> str:
    return f"{', '.join(window['days'])} {window['start']} to {window['end']} {window['time_zone']}"
