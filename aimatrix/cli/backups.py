"""``aimatrix export | import``: everything a tenant owns as a folder, and back. For operators."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aimatrix.cli import options
from aimatrix.cli.output import Output, dim, facts, size
from aimatrix.cli.tools import Installed, Progress, tools

if TYPE_CHECKING:
    from rich.progress import TaskID

    from backup.importing import Imported
    from backup.layout import Manifest

Stack = Annotated[
    str | None,
    typer.Option(
        help="An installation in AWS, by its stack's name, with the credentials of the aws command line "
        "(default: the embedded cloud).",
        metavar="NAME",
        rich_help_panel=options.WHERE,
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        help="The stack's region (default: the aws command line's).", metavar="REGION", rich_help_panel=options.WHERE
    ),
]
AwsProfile = Annotated[
    str | None,
    typer.Option(help="A profile of the aws command line.", metavar="NAME", rich_help_panel=options.WHERE),
]


def export(
    ctx: typer.Context,
    tenant: Annotated[str, typer.Argument(help="Whose records and objects.", metavar="TENANT")],
    folder: Annotated[Path, typer.Argument(help="An empty folder, or one that is not there.", metavar="DIR")],
    stack: Stack = None,
    region: Region = None,
    aws_profile: AwsProfile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Write everything a tenant owns into a folder, with checksums: to keep, or to move it.

    An export that was cut off goes on when it is run again.

    Examples:

      aimatrix export acme ./acme-2026-11-28

      aimatrix export acme ./acme --stack aimatrix --region eu-west-1
    """
    output = Output(as_json)
    where = Installed(state, stack, region, aws_profile)
    with _progress(output) as progress:
        made = tools(ctx).backups().export(where, tenant, folder, progress)
    output.finish(_exported(made, folder), *facts(_told(made)), *_left_open(made))


def import_(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(help="What `aimatrix export` wrote.", metavar="DIR")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Only check the folder against its checksums; needs no installation.")
    ] = False,
    stack: Stack = None,
    region: Region = None,
    aws_profile: AwsProfile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Bring an exported tenant into an installation that does not have it.

    The folder is checked first. An import that was cut off goes on when it is run again; nothing is ever overwritten.

    Examples:

      aimatrix import ./acme-2026-11-28 --verify

      aimatrix import ./acme-2026-11-28 --stack aimatrix --region eu-west-1
    """
    output = Output(as_json)
    with _progress(output) as progress:
        if verify:
            manifest = tools(ctx).backups().verify(folder, progress)
        else:
            done = tools(ctx).backups().import_(Installed(state, stack, region, aws_profile), folder, progress)
    if verify:
        output.finish(_exported(manifest, folder), *facts(_told(manifest)), "every file is as it was written")
    else:
        output.finish(asdict(done), *_brought(done))


def _exported(made: Manifest, folder: Path) -> dict[str, object]:
    return {
        "export_id": made.export_id,
        "tenant": made.tenant,
        "folder": str(folder),
        "taken_at": made.taken_at,
        "source": asdict(made.source),
        "records": made.records(),
        "objects": made.objects,
        "bytes": made.bytes,
        "open": dict(made.open),
    }


def _told(made: Manifest) -> dict[str, str | None]:
    return {
        "tenant": made.tenant,
        "export": made.export_id,
        "taken at": made.taken_at,
        "from": f"{made.source.stack} ({made.source.region})",
        **{name: str(count) for name, count in made.records().items() if count},
        "objects": f"{made.objects} ({size(made.bytes)})",
    }


def _left_open(made: Manifest) -> Iterator[str]:
    still_open = [f"{count} {kind}" for kind, count in made.open.items() if count]
    if still_open:
        yield dim(f"not ended: {', '.join(still_open)}; an import ends them")


def _brought(done: Imported) -> list[str]:
    if done.was_done:
        return [f"{done.tenant} was imported from this export before: nothing was done"]
    lines = facts(
        {
            "tenant": done.tenant,
            "records": f"{done.written} written, of {done.records}",
            "objects": f"{done.brought} brought, of {done.objects}",
        }
    )
    ended = [f"{count} {kind}" for kind, count in (done.settled or {}).items() if count]
    return [*lines, *([dim(f"ended: {', '.join(ended)}")] if ended else [])]


@contextmanager
def _progress(output: Output) -> Iterator[Progress]:
    """A line that counts, on a terminal; else a line for each step."""
    if not output.is_lively():
        told: set[str] = set()

        def say(step: str, _done: int) -> None:
            if step not in told:
                told.add(step)
                output.note(dim(step))

        yield say
        return

    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,}"), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        rows: dict[str, TaskID] = {}

        def show(step: str, done: int) -> None:
            if step not in rows:
                rows[step] = bar.add_task(step, total=None)
            bar.update(rows[step], completed=done)

        yield show
