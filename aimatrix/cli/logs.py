"""``aimatrix logs``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from aimatrix.cli import options
from aimatrix.cli.exits import ExitCode
from aimatrix.cli.output import Output, dim, printable
from aimatrix.cli.tools import Target, tools


def logs(
    ctx: typer.Context,
    job_id: Annotated[str, typer.Argument(help="Id of the job.", metavar="JOB")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stay until the job's last line.")] = False,
    cursor: Annotated[str | None, typer.Option(help="Go on from here (printed when following is interrupted).")] = None,
    times: Annotated[bool, typer.Option("--times", "-t", help="Put each line's time before it.")] = False,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Print what a job has printed.

    Ctrl-C while following leaves the job alone and says how to go on from the same line.

    Examples:

      aimatrix logs JOB

      aimatrix logs JOB --follow | grep loss
    """
    output = Output(as_json)
    entries, ended = [], False
    with tools(ctx).connect(Target(api, profile, state)) as client:
        try:
            for page in client.jobs.log_pages(job_id, cursor, follow=follow):
                for entry in page.entries:
                    if as_json:
                        entries.append(asdict(entry))
                    else:
                        stamp = f"{dim(entry.timestamp)}  " if times else ""
                        output.line(stamp + printable(entry.message))
                cursor, ended = page.next_cursor, page.ended
        except KeyboardInterrupt:
            resume = f"aimatrix logs {job_id} --follow" + (f" --cursor {cursor}" if cursor else "")
            output.note(f"\nThe job goes on without you. To come back:  {resume}")
            if as_json:
                output.finish({"job_id": job_id, "entries": entries, "next_cursor": cursor, "ended": False})
            raise typer.Exit(ExitCode.INTERRUPTED) from None
    output.finish({"job_id": job_id, "entries": entries, "next_cursor": cursor, "ended": ended})
