"""The verbs put together, and the one place where an error becomes a message and an exit code."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Annotated, Any, NoReturn

import typer
from typer._click import Context as ClickContext
from typer.core import TyperGroup

from aimatrix.cli import (
    audit,
    backups,
    capacity,
    cloud,
    demo,
    deployments,
    environments,
    events,
    experiments,
    jobs,
    keys,
    lineage,
    logs,
    models,
    predict,
    quota,
    receipts,
    reconcile,
    retraining,
    rollouts,
    stats,
    submit,
    transforms,
    usage,
    webhooks,
)
from aimatrix.cli.exits import CommandError, ExitCode, exit_code
from aimatrix.cli.limits import refusal
from aimatrix.cli.output import Output, printable
from aimatrix.cli.tools import Tools, production

HELP = """Train machine-learning models, deploy them, ask them: in your own AWS account or whole on this laptop.

A first run:

  aimatrix up --detach                          start the embedded cloud
  aimatrix submit train.py --data data.csv --framework sklearn --follow
  aimatrix deploy MODEL --environment development
  aimatrix predict DEPLOYMENT '[[5.1, 3.5, 1.4, 0.2]]'
"""

EPILOG = (
    "Exit codes: 0 done, 1 the job or deployment failed, 2 wrong usage, 3 not found, 4 not allowed, 5 conflict, "
    "6 invalid request, 7 over quota, 8 service unreachable, 130 interrupted."
)


class ReportingGroup(TyperGroup):
    """Turns what the verbs raise into one message, one exit code and, with ``--json``, one document."""

    def parse_args(self, ctx: ClickContext, args: list[str]) -> list[str]:
        ctx.meta["json"] = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: ClickContext) -> Any:
        output = Output(as_json=bool(ctx.meta.get("json")))
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _fail(output, ExitCode.INTERRUPTED, {"code": "interrupted", "message": "interrupted"})
        except typer.TyperException as error:
            # Wrong usage: typer says it, in its own form. --json promised a document all the same.
            if output.as_json:
                output.finish({"error": {"code": "usage", "message": error.format_message()}})
            raise
        except Exception as error:
            report = _report(error)
            if report is None:
                raise
            _fail(output, *report)


def _report(error: Exception) -> tuple[ExitCode, dict[str, Any]] | None:
    """Exit code and document of an error that was raised on purpose; None for any other.

    Asks ``sys.modules``: an error of the client can't have been raised unless the client was imported.
    """
    if isinstance(error, CommandError):
        return error.exit_code, {"code": error.code, "message": str(error)}
    if "aimatrix.client.errors" not in sys.modules:
        return None
    from aimatrix.client import errors

    if not isinstance(error, errors.AimatrixError):
        return None
    document: dict[str, Any] = {"code": type(error).__name__, "message": str(error)}
    if isinstance(error, errors.ApiError):
        document = {
            "code": error.code,
            "message": error.detail,
            "status": error.status,
            "errors": [{"field": each.field, "message": each.message, "cure": each.cure} for each in error.errors],
            "request_id": error.request_id,
        }
    if isinstance(error, errors.QuotaExceededError):
        document |= {"limits": [asdict(each) for each in error.limits], "fits_at": error.fits_at}
    return exit_code(error), document


def _fail(output: Output, code: ExitCode, document: dict[str, Any]) -> NoReturn:
    limits = document.get("limits")
    message = "over quota" if limits else printable(document["message"])
    output.note(typer.style("error: ", fg="red", bold=True) + message)
    for line in refusal(document) if limits else _problems(document.get("errors", ())):
        output.note(line)
    if document.get("request_id"):
        output.note(typer.style(f"  request {document['request_id']}", dim=True))
    if output.as_json:
        output.finish({"error": document})
    raise typer.Exit(code)


def _problems(errors: Iterable[Mapping[str, str]]) -> Iterator[str]:
    for each in errors:
        where = typer.style(each["field"], bold=True) + ": " if each["field"] else ""
        yield f"  {where}{printable(each['message'])}"
        if each["cure"]:
            yield f"    {printable(each['cure'])}"


app = typer.Typer(
    name="aimatrix",
    cls=ReportingGroup,
    help=HELP,
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"aimatrix {importlib.metadata.version('aimatrix-training')}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback does it all
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if not isinstance(ctx.obj, Tools):
        ctx.obj = production()


CLOUD = "The embedded cloud"
TRAINING = "Training"
SERVING = "Models and predictions"
ACCESS = "Access"
LIMITS = "Limits and costs"
OPERATION = "Operation"

app.command(rich_help_panel=CLOUD)(cloud.up)
app.command(rich_help_panel=CLOUD)(cloud.down)
app.command(rich_help_panel=CLOUD)(cloud.status)
app.command(rich_help_panel=CLOUD)(cloud.token)
app.command(rich_help_panel=CLOUD)(demo.demo)
app.command(rich_help_panel=TRAINING)(submit.submit)
app.add_typer(jobs.app, name="jobs", rich_help_panel=TRAINING)
app.command(rich_help_panel=TRAINING)(logs.logs)
app.add_typer(retraining.app, name="retraining", rich_help_panel=TRAINING)
app.add_typer(models.app, name="models", rich_help_panel=SERVING)
app.command(rich_help_panel=SERVING)(deployments.deploy)
app.add_typer(deployments.app, name="deployments", rich_help_panel=SERVING)
app.command(rich_help_panel=SERVING)(predict.predict)
app.command(rich_help_panel=SERVING)(lineage.lineage)
app.add_typer(transforms.app, name="transforms", rich_help_panel=SERVING)
app.add_typer(environments.app, name="environments", rich_help_panel=SERVING)
app.add_typer(rollouts.app, name="rollouts", rich_help_panel=SERVING)
app.add_typer(experiments.app, name="experiments", rich_help_panel=SERVING)
app.add_typer(audit.app, name="audit", rich_help_panel=ACCESS)
app.add_typer(quota.app, name="quota", rich_help_panel=LIMITS)
app.add_typer(capacity.app, name="capacity", rich_help_panel=LIMITS)
app.command(rich_help_panel=LIMITS)(usage.usage)
app.add_typer(stats.app, name="stats", rich_help_panel=LIMITS)
app.command(rich_help_panel=LIMITS)(reconcile.reconcile)
app.add_typer(webhooks.app, name="webhooks", rich_help_panel=ACCESS)
app.add_typer(events.app, name="events", rich_help_panel=ACCESS)
app.add_typer(receipts.app, name="receipt", rich_help_panel=LIMITS)
app.add_typer(keys.app, name="keys", rich_help_panel=ACCESS)
app.command(rich_help_panel=OPERATION)(backups.export)
app.command("import", rich_help_panel=OPERATION)(backups.import_)
