"""``aimatrix demo``: the whole chain once, on this machine, with a real model and real data."""

from __future__ import annotations

import csv
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aimatrix.cli import options
from aimatrix.cli.exits import CommandError, ExitCode
from aimatrix.cli.output import Output, bold, dim, facts, number, status
from aimatrix.cli.tools import Target, Tools, tools

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimatrix.cli.views import Plain
    from aimatrix.client import Client, Deployment, Job, Model
    from localcloud.commands import Addresses

PROJECT = Path(__file__).resolve().parents[2]
STATE = Path(".aimatrix/demo")
TARGET = "cultivar"
PARAMETERS = {"algorithm": "random_forest", "n_estimators": 100, "max_depth": 6}
PREFERRED_PORT = 8000
DEPLOY_SECONDS = 300.0
MAKE_DATA_SECONDS = 120


def demo(
    ctx: typer.Context,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the cloud running afterwards.")] = False,
    port: Annotated[
        int | None, typer.Option(min=1024, max=65535, help="Port of the front door (default: 8000, if free).")
    ] = None,
    examples: Annotated[
        Path, typer.Option(help="The folder of examples (comes with the source).", metavar="DIR")
    ] = PROJECT / "examples",
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Train, deploy and ask a real model, all on this machine.

    Starts the embedded cloud if it isn't running, and then stops it afterwards; its state (default .aimatrix/demo) stays.

    Example:

      aimatrix demo --keep
    """
    output, used = Output(as_json), tools(ctx)
    started = used.monotonic()
    example = examples / "sklearn"
    if not (example / "train.py").is_file():
        raise CommandError(
            ExitCode.USAGE, "no_examples", f"{example} doesn't exist: the examples come with the source, see --examples"
        )
    from aimatrix.cli.views import Plain

    teller = Plain(output.line, lambda line: output.line(f"          {dim('│')} {line}"), used.now)
    output.line(f"\n{bold('A real model on real data, through the whole service, on this machine')}")
    with _cloud(used, output, teller, state or STATE, port, keep=keep) as addresses:
        with used.connect(Target(state=state or STATE)) as client:
            story = _Story(used, client, output, teller).tell(example)
        seconds = used.monotonic() - started
        output.line(f"\n{bold('Done')} in {seconds:.0f} s.")
    left = [f"Stop it with  aimatrix down --state {addresses.state}"] if keep and not addresses.already_running else []
    output.finish({**addresses.document(), **story, "seconds": round(seconds, 1)}, *left)


@contextmanager
def _cloud(
    used: Tools, output: Output, teller: Plain, state: Path, port: int | None, *, keep: bool
) -> Iterator[Addresses]:
    """The embedded cloud; ended again if it was started for this, unless it is to be kept."""
    _chapter(output, 1, "The embedded cloud")
    launcher = used.launcher()
    addresses = launcher.up(
        state,
        port or _free_port(),
        parameters=None,
        webhook_ports=None,
        detach=True,
        progress=lambda step: teller.tell(dim("starting"), step),
        ready=lambda _: None,
    )
    if addresses.already_running:
        output.line(dim("It is running already, and will be left so."))
    for line in facts({"API": addresses.api, "MLflow": addresses.mlflow, "state": addresses.state}):
        output.line(line)
    try:
        yield addresses
    finally:
        if not keep and not addresses.already_running:
            launcher.down(state)


@dataclass(frozen=True)
class _Story:
    """From the data to the prediction, told as it happens."""

    used: Tools
    client: Client
    output: Output
    teller: Plain

    def tell(self, example: Path) -> dict[str, object]:
        with tempfile.TemporaryDirectory(prefix="aimatrix-demo-") as folder:
            _chapter(self.output, 2, "Data: the wines that come with scikit-learn")
            data = Path(folder) / "wine.csv"
            self.output.line(_make_data(example, data))
            rows = _sample(data)
            job = self._train(example / "train.py", data)
        model = self._model(job)
        deployment = self._deploy(model)
        predictions = self._predict(deployment, rows)
        return {
            "job": job.document,
            "model": model.document,
            "deployment": deployment.document,
            "predictions": predictions,
        }

    def _train(self, script: Path, data: Path) -> Job:
        from aimatrix.cli.files import gather
        from aimatrix.cli.submit import allocated
        from aimatrix.cli.watching import Watch
        from aimatrix.client import JobRequest, ResourceRequirements

        _chapter(self.output, 3, f"Training: {script.parent.name}/{script.name}, unmodified")
        sources = gather(str(script), str(data))
        upload = self.client.upload(sources.files)
        job = self.client.jobs.submit(
            JobRequest(
                name="wine",
                framework="sklearn",
                script_path=upload[sources.script],
                dataset_path=upload[sources.dataset],
                parameters=PARAMETERS,
                resource_requirements=ResourceRequirements(memory_gb=8, cpu_cores=2, disk_gb=30),
                description="aimatrix demo",
            )
        )
        self.teller.tell(dim("submitted"), f"{bold(job.name)} {job.job_id}{allocated(job)}")
        watch = Watch(self.client, job, monotonic=self.used.monotonic, sleep=self.used.sleep)
        for event in watch:
            self.teller.show(event)
        if not watch.job.succeeded():
            raise CommandError(ExitCode.FAILED, "job_failed", f"the job {watch.job.status}: {watch.job.failure_reason}")
        return watch.job

    def _model(self, job: Job) -> Model:
        _chapter(self.output, 4, "The model, registered")
        if job.model_id is None:
            raise CommandError(ExitCode.FAILED, "no_model", f"job {job.job_id} completed without a model")
        model = self.client.models.get(job.model_id)
        self._facts(
            {
                "model": f"{bold(model.name)} version {bold(model.version)}",
                "id": model.id,
                "status": status(model.status),
                "metrics": " · ".join(f"{name} {number(value)}" for name, value in model.metrics.items()),
                "in MLflow": " ".join(str(model.mlflow[key]) for key in ("name", "version") if model.mlflow.get(key)),
            }
        )
        return model

    def _deploy(self, model: Model) -> Deployment:
        from aimatrix.client import DeploymentConfig

        _chapter(self.output, 5, "Deployment to development")
        deployment = self.client.models.deploy(model.id, DeploymentConfig("development", replicas=1))
        seen: list[str] = []

        def observe(now: Deployment) -> None:
            if now.status not in seen:
                seen.append(now.status)
                self.teller.tell(status(now.status, 9), f"revision {now.revision}")

        observe(deployment)
        deployment = self.client.deployments.wait(deployment.id, DEPLOY_SECONDS, observe)
        if not deployment.is_active():
            raise CommandError(
                ExitCode.FAILED, "deployment_failed", f"the deployment {deployment.status}: {deployment.failure_reason}"
            )
        address = f"{self.client.connection.api}/deployments/{deployment.id}/invocations"
        self._facts({"endpoint": deployment.endpoint, "ask it": f"POST {address}"})
        return deployment

    def _predict(self, deployment: Deployment, rows: list[dict[str, str]]) -> list[object]:
        _chapter(self.output, 6, "A prediction")
        columns = [name for name in rows[0] if name != TARGET]
        inputs = {"columns": columns, "data": [[float(row[name]) for name in columns] for row in rows]}
        answer = self.client.deployments.predict(deployment.id, {"dataframe_split": inputs})
        predictions = list(answer["predictions"])
        for row, predicted in zip(rows, predictions, strict=True):
            asked = ", ".join(f"{name} {row[name]}" for name in columns[:3])
            self.output.line(
                f"{asked}, …  {dim('→')}  cultivar {bold(str(predicted))}  {dim(f'(it is {row[TARGET]})')}"
            )
        return predictions

    def _facts(self, pairs: dict[str, str | None]) -> None:
        for line in facts(pairs):
            self.output.line(line)


def _chapter(output: Output, number_: int, title: str) -> None:
    output.line(f"\n{bold(f'{number_}  {title}')}")


def _make_data(example: Path, data: Path) -> str:
    """Has the example write its data set, and gives back what it says of it."""
    done = subprocess.run(
        [sys.executable, str(example / "make_data.py"), str(data)],
        capture_output=True,
        text=True,
        check=False,
        timeout=MAKE_DATA_SECONDS,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise CommandError(
            ExitCode.FAILED,
            "no_data",
            f"{example / 'make_data.py'} failed ({last[0]}); the demo needs pip install 'aimatrix-training[laptop,sklearn]'",
        )
    return done.stdout.strip().replace(str(data), data.name)


def _sample(data: Path) -> list[dict[str, str]]:
    """The first wine of each cultivar."""
    with data.open(encoding="utf-8", newline="") as source:
        first: dict[str, dict[str, str]] = {}
        for row in csv.DictReader(source):
            first.setdefault(row[TARGET], row)
    return [first[cultivar] for cultivar in sorted(first)]


def _free_port() -> int:
    """The usual port, or any other when that is taken: a demonstration shouldn't fail for that."""
    for port in (PREFERRED_PORT, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    raise CommandError(ExitCode.FAILED, "no_port", "no port is free on 127.0.0.1")
