"""``aimatrix reconcile``: have jobs and deployments compared with what runs."""

from __future__ import annotations

from typing import Annotated

import typer

from aimatrix.cli import options
from aimatrix.cli.limits import counted
from aimatrix.cli.output import Output, bold, table
from aimatrix.cli.tools import Target, tools


def reconcile(
    ctx: typer.Context,
    last: Annotated[bool, typer.Option("--last", help="Only show the last sweep's report.")] = False,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Compare open jobs and deployments with what drives and runs them, now, and put right what differs.

    For administrators of the installation.

    The service does so by itself every five minutes.

    Example:

      aimatrix reconcile
    """
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = client.reconciler.latest() if last else client.reconciler.run()
    output = Output(as_json)
    if found is None:
        output.finish({"repairs": []}, "no sweep yet")
        return
    rows = [(each["kind"], each["tenant"], each["subject"], each["detail"]) for each in found.repairs]
    lines = table(("REPAIR", "TENANT", "ABOUT", "WHY"), rows) if rows else []
    said = counted(len(rows), "repairs") if rows else "nothing to repair"
    counts = (
        (found.open_jobs, "open jobs"),
        (found.running, "running attempts"),
        (found.deployments, "deployments"),
        (found.endpoints, "endpoints"),
    )
    looked = ", ".join(counted(number, what) for number, what in counts)
    if found.unanswered:
        lines.append(
            f"AWS did not answer about {counted(found.unanswered, 'things')}; the next sweep looks at them again"
        )
    unfinished = "" if found.complete else "; the sweep was not complete, the next one goes on"
    output.finish(found.document, *lines, f"{looked}: {bold(said)}, {found.orphan_seconds} orphan-seconds{unfinished}")
