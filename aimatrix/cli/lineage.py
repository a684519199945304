"""``aimatrix lineage``: from data to deployment, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from aimatrix.cli import options
from aimatrix.cli.output import Output, bold, dim, printable
from aimatrix.cli.tools import Target, tools

if TYPE_CHECKING:
    from aimatrix.client.lineage import LineageNode

_SHOWN = ("name", "version", "environment", "status", "uri", "objects")


def lineage(
    ctx: typer.Context,
    node: Annotated[str, typer.Argument(help="Id of a data version, a job, a model or a deployment.", metavar="ID")],
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Show what something came from and what came of it: data, job, model, deployments.

    Example:

      aimatrix lineage 3f1c0a52-9d1e-4c59-8a39-0d6f0b6d7c11
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = client.lineage.get(node)
    lines = [
        *(_line(each, "  ") for each in reversed(found.upstream)),
        bold(_line(found.asked, "→ ")),
        *(_line(each, "  ") for each in found.downstream),
    ]
    Output(as_json).finish(found.document, *lines)


def _line(node: LineageNode, before: str) -> str:
    about = "  ".join(printable(str(node.document[name])) for name in _SHOWN if node.document.get(name) is not None)
    return f"{before}{node.type:<11}{node.id or dim('unversioned')}  {about}"
