"""``aimatrix reconcile``: have jobs compared with what runs."""

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
    """Compare open jobs with what drives and runs them, now, and put right what differs. For administrators.

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
    rows = [(each["kind"], each["tenant"], each["job_id"], each["detail"]) for each in found.repairs]
    lines = table(("REPAIR", "TENANT", "JOB", "WHY"), rows) if rows else []
    said = counted(len(rows), "repairs") if rows else "nothing to repair"
    looked = f"{counted(found.open_jobs, 'open jobs')}, {counted(found.running, 'running attempts')}"
    unfinished = "" if found.complete else "; the sweep was not complete, the next one goes on"
    output.finish(found.document, *lines, f"{looked}: {bold(said)}, {found.orphan_seconds} orphan-seconds{unfinished}")
