"""``aimatrix submit``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimatrix.cli import options, parsing
from aimatrix.cli.exits import ExitCode
from aimatrix.cli.options import RESOURCES
from aimatrix.cli.output import Output, bold, dim, facts, number, size
from aimatrix.cli.tools import Target, tools

if TYPE_CHECKING:
    from aimatrix.cli.files import Sources
    from aimatrix.cli.tools import Tools
    from aimatrix.client import Client, Job, JobRequest, Model, SecretReference, Upload

EXTRA = "How it runs"
SPOT = "Spot"


class Priority(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Backend(StrEnum):
    SAGEMAKER = "sagemaker"
    BATCH = "batch"


class Arguments(StrEnum):
    AUTO = "auto"
    DOCUMENT = "document"
    SCRIPT_MODE = "script_mode"


def submit(
    ctx: typer.Context,
    script: Annotated[str, typer.Argument(help="The training script: a local file, or s3://...", metavar="SCRIPT")],
    framework: Annotated[options.Framework, typer.Option(help="What the script trains with.")],
    data: Annotated[
        str | None, typer.Option(help="The data set: a local file or folder, which is uploaded.", metavar="PATH")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="The data set, where it lies in the artifact store already.", metavar="s3://...")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the job and of its model (default: from the script's path).")
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(help="A parameter; the value is read as JSON, else as text. Repeatable.", metavar="NAME=VALUE"),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Stay until the job has finished; show its lines and metrics.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show what it would run on and cost; make no job. Local files are uploaded to be checked."
        ),
    ] = False,
    description: Annotated[str | None, typer.Option(help="A sentence about the job.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag. Repeatable.")] = None,
    priority: Annotated[Priority | None, typer.Option(help="Who goes first when there is a queue.")] = None,
    gpus: Annotated[int, typer.Option(min=0, max=8, help="GPUs.", rich_help_panel=RESOURCES)] = 0,
    gpu_type: Annotated[options.GpuType | None, typer.Option(help="GPU model.", rich_help_panel=RESOURCES)] = None,
    cpus: Annotated[int, typer.Option(min=2, max=64, help="CPU cores.", rich_help_panel=RESOURCES)] = 2,
    memory: Annotated[int, typer.Option(min=4, max=512, help="Memory in GB.", rich_help_panel=RESOURCES)] = 8,
    disk: Annotated[int, typer.Option(min=20, max=2000, help="Disk in GB.", rich_help_panel=RESOURCES)] = 30,
    env: Annotated[
        list[str] | None,
        typer.Option(help="An environment variable of the script. Repeatable.", metavar="K=V", rich_help_panel=EXTRA),
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            help="A secret variable of the script, from your environment's variable of that name, or asked for. Repeatable.",
            metavar="NAME",
            rich_help_panel=EXTRA,
        ),
    ] = None,
    secret_arn: Annotated[
        list[str] | None,
        typer.Option(
            help="A secret variable from AWS Secrets Manager; :KEY behind the ARN takes one key of a JSON. Repeatable.",
            metavar="NAME=ARN[:KEY]",
            rich_help_panel=EXTRA,
        ),
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="Container image (default: AWS's own for the framework).", rich_help_panel=EXTRA)
    ] = None,
    backend: Annotated[Backend | None, typer.Option(help="What runs it.", rich_help_panel=EXTRA)] = None,
    arguments: Annotated[
        Arguments | None, typer.Option(help="How the script is called.", rich_help_panel=EXTRA)
    ] = None,
    max_runtime: Annotated[
        str | None, typer.Option(help="Stop it after this time: 90s, 30m, 2h.", metavar="TIME", rich_help_panel=EXTRA)
    ] = None,
    max_cost: Annotated[
        str | None,
        typer.Option(help="Stop it before it costs more than this.", metavar="USD", rich_help_panel=EXTRA),
    ] = None,
    shorten: Annotated[
        bool,
        typer.Option(
            "--shorten", help="Run it as long as this month's money lasts, if not to its end.", rich_help_panel=EXTRA
        ),
    ] = False,
    spot: Annotated[
        bool,
        typer.Option("--spot", help="Run it on spot instances: cheaper, may be interrupted.", rich_help_panel=SPOT),
    ] = False,
    max_wait: Annotated[
        str | None, typer.Option(help="Give up after this time, waits included.", metavar="TIME", rich_help_panel=SPOT)
    ] = None,
    expected_runtime: Annotated[
        str | None, typer.Option(help="How long it takes undisturbed.", metavar="TIME", rich_help_panel=SPOT)
    ] = None,
    checkpoint_interval: Annotated[
        str | None, typer.Option(help="How often it writes a checkpoint.", metavar="TIME", rich_help_panel=SPOT)
    ] = None,
    checkpoint_path: Annotated[
        str | None,
        typer.Option(
            help="Keep checkpoints in this s3:// folder, and begin with them.", metavar="URI", rich_help_panel=SPOT
        ),
    ] = None,
    max_attempts: Annotated[
        int | None, typer.Option(min=1, max=20, help="Try it at most so often.", rich_help_panel=EXTRA)
    ] = None,
    retry_on: Annotated[
        list[str] | None,
        typer.Option(
            help="Try again only after this cause: capacity, internal, out-of-memory, script, ... Repeatable.",
            metavar="CAUSE",
            rich_help_panel=EXTRA,
        ),
    ] = None,
    larger_instance: Annotated[
        bool,
        typer.Option("--larger-instance", help="Out of memory: go on on the next larger.", rich_help_panel=EXTRA),
    ] = False,
    other_instance_type: Annotated[
        bool,
        typer.Option("--other-instance-type", help="No capacity: go on on another type.", rich_help_panel=EXTRA),
    ] = False,
    other_backend: Annotated[
        bool, typer.Option("--other-backend", help="No capacity on SageMaker: go on on Batch.", rich_help_panel=EXTRA)
    ] = False,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="A metric to read from printed lines: a regular expression with one group. Repeatable.",
            metavar="NAME=REGEX",
            rich_help_panel=EXTRA,
        ),
    ] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(help="Makes this submission safe to repeat: the same key never makes a second job."),
    ] = None,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Train a script on a data set.

    A requirements.txt and an inference.py beside the script go along with it.

    Examples:

      aimatrix submit train.py --data data.csv --framework sklearn --param max_depth=6 --follow

      aimatrix submit train.py --data images/ --framework pytorch --gpus 1 --gpu-type t4 --max-runtime 2h --max-cost 1.50

      aimatrix submit s3://bucket/train.py --dataset s3://bucket/data/ --framework xgboost --backend batch --json
    """
    from aimatrix.cli.files import gather, is_uri
    from aimatrix.client import JobRequest, ResourceRequirements

    if (data is None) == (dataset is None):
        raise typer.BadParameter("give one of the two", param_hint="--data / --dataset")
    if dataset is not None and not is_uri(dataset):
        raise typer.BadParameter(f"{dataset!r} is not an s3:// URI; local files go with --data", param_hint="--dataset")
    sources = gather(script, data or dataset or "")
    request = JobRequest(
        name=name or default_name(script),
        framework=framework,
        script_path=sources.script,
        dataset_path=sources.dataset,
        parameters=parsing.parameters(param or ()),
        description=description,
        priority=priority,
        tags=tag or (),
        resource_requirements=ResourceRequirements(gpus, gpu_type, memory, cpus, disk),
        docker_image=image,
        environment_variables=parsing.pairs(env or (), "--env"),
        secret_variables=secrets(secret or (), parsing.references(secret_arn or ())),
        backend=backend,
        arguments=arguments,
        max_runtime_seconds=_seconds(max_runtime, "--max-runtime"),
        max_cost_usd=parsing.money(max_cost, "--max-cost") if max_cost is not None else None,
        over_budget="shorten" if shorten else None,
        metric_definitions=parsing.pairs(metric or (), "--metric"),
        max_attempts=max_attempts,
        retry_on=retry_on or None,
        larger_instance=larger_instance,
        other_instance_type=other_instance_type,
        other_backend=other_backend,
        spot=spot,
        max_wait_seconds=_seconds(max_wait, "--max-wait"),
        expected_runtime_seconds=_seconds(expected_runtime, "--expected-runtime"),
        checkpoint_interval_seconds=_seconds(checkpoint_interval, "--checkpoint-interval"),
        checkpoint_path=checkpoint_path,
    )
    used, output = tools(ctx), Output(as_json)
    with used.connect(Target(api, profile, state)) as client:
        request = send(client, output, sources, request)
        if dry_run:
            planned = client.jobs.plan(request)
            output.finish(planned, *plan_lines(planned))
            return
        job = client.jobs.submit(request, idempotency_key)
        announce(output, job)
        if not follow:
            hint = dim(f"follow it:  aimatrix logs {job.job_id} --follow")
            output.finish(job.document, job.job_id if not output.is_lively() else bold(job.job_id), hint)
            return
        conclude(client, output, follow_job(client, used, output, job))


def secrets(names: Iterable[str], references: Mapping[str, SecretReference]) -> dict[str, str | SecretReference]:
    """Values come from the environment or from whoever sits there, never from the command line: others can read that."""
    found: dict[str, str | SecretReference] = dict(references)
    for name in names:
        if name in found:
            raise typer.BadParameter(f"{name} is given twice", param_hint="--secret")
        found[name] = os.environ.get(name) or _asked(name)
    return found


def _asked(name: str) -> str:
    try:
        value: str = typer.prompt(f"Value of {name}", hide_input=True, err=True)
    except typer.Abort:
        why = f"{name} is not set in your environment, and nobody is there to be asked"
        raise typer.BadParameter(why, param_hint="--secret") from None
    return value


def default_name(script: str) -> str:
    """The script's own name, or its folder's where scripts are called ``train.py`` in every folder."""
    path = PurePosixPath(script) if script.startswith("s3://") else Path(script).resolve()
    return path.parent.name if path.stem in ("train", "main", "run") and path.parent.name else path.stem


def send(client: Client, output: Output, sources: Sources, request: JobRequest) -> JobRequest:
    """Uploads what is local, and puts the URIs into the request."""
    if not sources.files:
        return request
    upload = _upload(client, output, sources)
    if sources.companions:
        output.note(f"{dim('with it')}   {', '.join(sources.companions)}")
    return replace(
        request,
        script_path=_uri(upload, sources.script),
        dataset_path=_uri(upload, sources.dataset),
    )


def _uri(upload: Upload, source: str) -> str:
    if source.startswith("s3://"):
        return source
    return upload.prefix(source) if source.endswith("/") else upload[source]


def _upload(client: Client, output: Output, sources: Sources) -> Upload:
    total = sum(file.path.stat().st_size for file in sources.files)
    count = len(sources.files)
    said = f"{dim('uploading')}  {count} file{'s' if count != 1 else ''}, {size(total)}"
    if not output.is_lively():
        output.note(said)
        return client.upload(sources.files)
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    sent: dict[str, int] = {}
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("uploading", total=total)

        def advance(file: str, done: int, _size: int) -> None:
            sent[file] = done
            progress.update(task, completed=sum(sent.values()))

        upload = client.upload(sources.files, advance)
    output.note(said)
    return upload


def plan_lines(planned: dict[str, Any]) -> list[str]:
    """A plan for people: where it would run, for how long, at what price."""
    estimate, given = planned["estimate"], planned["resource_allocation"]
    usd, took = estimate["usd"], estimate["duration"]
    return facts(
        {
            "would run on": f"{given['instance_count']} × {given['instance_type']}, ${given['price_per_hour_usd']}/h",
            "image": planned["image"],
            "time limit": f"{planned['time_limit']['seconds']} s ({planned['time_limit']['set_by']})",
            "would take": f"{took['expected']} ({took['low']} to {took['high']})",
            "would cost": f"$ {usd['expected']:.4f} ({usd['low']:.4f} to {usd['high']:.4f})",
            "by": estimate["basis"],
            "on spot": _on_spot(planned.get("spot")),
            "prices": f"{estimate['price_source']}, {estimate['price_date']}",
            **queue_facts(planned.get("queue") or {}),
        }
    )


def _on_spot(found: dict[str, Any] | None) -> str | None:
    if found is None:
        return None
    hours = f"{found['expected_instance_hours']} h on instances, {found['expected_wall_hours']} h with waits"
    guess = "" if found["length_is_known"] else "; its length is not known, the time limit was taken"
    return f"{hours}, {found['expected_billed_hours']} h billed, {found['expected_interruptions']} interruptions{guess}"


def queue_facts(queue: dict[str, Any]) -> dict[str, str | None]:
    """Whether it would wait for capacity, for what, and until when."""
    if not queue:
        return {}
    if not queue["would_wait"]:
        return {"would start": f"at once: {queue['reason']}"}
    position = queue.get("position")
    ahead = "" if queue.get("jobs_ahead_is_exact") else " or later"
    return {
        "would wait": queue["reason"],
        "position": f"{position}{ahead}" if position else None,
        "expected start": queue.get("expected_start") or "not known",
        "start by": queue.get("expected_start_basis"),
    }


def announce(output: Output, job: Job) -> None:
    from aimatrix.cli.views import time_limit

    output.note(f"{dim('submitted')}  {bold(job.name)} {job.job_id}{allocated(job)}")
    if job.time_limit is not None and job.time_limit.set_by != "max_runtime_seconds":
        output.note(f"{dim('stops after')}  {time_limit(job)}")
    for notice in job.document.get("notices") or ():
        output.note(f"{dim('notice')}     {notice}")


def allocated(job: Job) -> str:
    from aimatrix.cli.views import allocation

    where = allocation(job)
    return f" on {where}" if where else ""


def follow_job(client: Client, used: Tools, output: Output, job: Job, cursor: str | None = None) -> Job:
    """Shows a job until it has finished.

    Raises:
        typer.Exit: interrupted; the job goes on, and the way back to it was said.
    """
    from aimatrix.cli.views import job_view
    from aimatrix.cli.watching import Watch

    watch = Watch(client, job, cursor, used.monotonic, used.sleep)
    try:
        with job_view(output, used.now) as view:
            for event in watch:
                view.show(event)
    except KeyboardInterrupt:
        resume = f"aimatrix logs {job.job_id} --follow" + (f" --cursor {watch.cursor}" if watch.cursor else "")
        output.note(f"\nThe job goes on without you. To come back:  {resume}")
        output.note(f"To stop it:  aimatrix jobs cancel {job.job_id}")
        if output.as_json:
            output.finish({"job_id": job.job_id, "status": watch.job.status, "detached": True, "cursor": watch.cursor})
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    return watch.job


def conclude(client: Client, output: Output, job: Job) -> None:
    """The last word about a followed job: its model, or why there is none.

    Raises:
        typer.Exit: with 1, when it didn't succeed.
    """
    model = client.models.get(job.model_id) if job.model_id else None
    document = {**job.document, "model": None if model is None else model.document}
    output.finish(document, *outcome(job, model))
    if not job.succeeded():
        raise typer.Exit(ExitCode.FAILED)


def outcome(job: Job, model: Model | None) -> list[str]:
    if not job.succeeded():
        reason = (job.failure_reason or "").strip()
        return ["", typer.style(f"{job.name} {job.status}", fg="red", bold=True), *(["", reason] if reason else [])]
    lines = ["", typer.style(f"{job.name} completed", fg="green", bold=True)]
    if model is None:
        return lines
    metrics = " · ".join(f"{name} {number(value)}" for name, value in model.metrics.items())
    lines += facts(
        {
            "model": f"{bold(model.name)} version {bold(model.version)}",
            "id": model.id,
            "metrics": metrics,
            "serve it": f"aimatrix deploy {model.reference} --environment development"
            if model.servable
            else f"not as it is: {model.servable_reason}",
        }
    )
    return lines


def _seconds(text: str | None, option: str) -> int | None:
    return parsing.seconds(text, option) if text else None
