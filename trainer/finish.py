"""After the script: its outputs, its model, its MLflow run, and the report of it all."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from trainer import outputs
from trainer.archive import pack
from trainer.disk import usage
from trainer.errors import AgentError, StorageError
from trainer.model import Prepared, left_out, prepare
from trainer.outputs import Artifact
from trainer.reason import compose, headline
from trainer.tracking.artifacts import fetch
from trainer.upload import upload

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.console import Console
    from trainer.layout import Layout
    from trainer.report import Report
    from trainer.s3 import S3Client
    from trainer.spec import Spec
    from trainer.supervisor import Outcome
    from trainer.tracking.tracking import Tracking

# How long to wait for an MLflow server that is away before its run is left as it is.
MLFLOW_SECONDS = 30.0
_MLFLOW_SECONDS_WHEN_STOPPED = 5.0
_MODEL_NAME = "model.tar.gz"
_SPOOL_NAME = "mlflow-undelivered.jsonl"
# How much is kept of the outputs, and of the checkpoints, of a job that broke its disk allowance.
KEPT_BYTES = 64 * 1024 * 1024


def finish(
    report: Report,
    outcome: Outcome,
    last_lines: list[tuple[int, str]],
    *,
    layout: Layout,
    spec: Spec,
    s3: S3Client,
    console: Console,
    tracking: Tracking | None,
    interpreter: Path,
    scratch: Path,
    mlflow_seconds: float = MLFLOW_SECONDS,
) -> int:
    """Uploads what the script left, ends the MLflow run, delivers the report. Returns the agent's exit code.

    A failed script's outputs are uploaded too; its model is not.
    """
    report.code = outcome.code
    report.signal = outcome.signal
    if outcome.code != 0:
        report.reason = compose(headline(outcome.code, outcome.signal, outcome.stopped), last_lines)
    elif outcome.stopped is not None:
        # A script that tidies up after SIGTERM and exits 0 has still not done what it was asked to.
        report.fail(compose(outcome.stopped, last_lines))
    if report.code != 0:
        report.record_failure(s3, layout, console)
    try:
        if report.code == 0:
            _deliver_model(report, layout, spec, s3, console, tracking, interpreter, scratch)
        _deliver_outputs(report, layout, spec, s3, console)
    except (AgentError, OSError) as error:
        console.say(str(error))
        report.fail(str(error))
    if tracking is not None:
        _end_run(report, outcome, spec, s3, console, tracking, mlflow_seconds)
    return report.deliver(s3, layout, console)


def _deliver_model(
    report: Report,
    layout: Layout,
    spec: Spec,
    s3: S3Client,
    console: Console,
    tracking: Tracking | None,
    interpreter: Path,
    scratch: Path,
) -> None:
    logged, model_id = _logged_model(tracking, s3, console, scratch / "logged")
    prepared = prepare(
        layout.model,
        output_dir=layout.output_data,
        staging_dir=scratch / "staging",
        script_dir=layout.code,
        framework=spec.framework,
        python=os.fspath(interpreter),
        logged_model=logged,
    )
    if prepared is None:
        for note in left_out(layout.model):
            console.say(note)
        console.say("the script left no model")
        # SageMaker would refuse, or upload, what is of no use.
        outputs.empty(layout.model)
        return
    for note in prepared.notes:
        console.say(note)
    archive = scratch / _MODEL_NAME
    pack(prepared.directory, archive)
    shutil.rmtree(prepared.directory, ignore_errors=True)
    uri = spec.prefix.join(_MODEL_NAME)
    size, sha256 = upload(s3, archive, uri)
    archive.unlink()
    report.artifacts.append(Artifact(_MODEL_NAME, "model", str(uri), size, sha256))
    report.model = {
        "kind": prepared.kind,
        "file": prepared.file,
        "uri": str(uri),
        "size_bytes": size,
        "checksum": sha256,
        "servable": prepared.servable,
        "reason": prepared.reason,
        "mlflow_model_id": _model_id(prepared, model_id),
        "signature": prepared.signature,
        "input_example": prepared.input_example,
    }
    # SageMaker uploads what it finds here once the agent has ended; it is uploaded already.
    outputs.empty(layout.model)


def _logged_model(
    tracking: Tracking | None, s3: S3Client, console: Console, directory: Path
) -> tuple[Path | None, str | None]:
    """The files of the model that was logged to MLflow, and its id there. A failure costs the model, not the job."""
    model = tracking.logged_model() if tracking is not None else None
    if tracking is None or model is None:
        return None, None
    try:
        if fetch(model.artifact_uri, directory, upstream=tracking.upstream, s3=s3):
            return directory, model.model_id
    except StorageError as error:
        console.say(str(error))
    return None, model.model_id


def _model_id(prepared: Prepared, logged_id: str | None) -> str | None:
    return prepared.mlflow_model_id or (logged_id if prepared.kind == "mlflow" else None)


def _deliver_outputs(report: Report, layout: Layout, spec: Spec, s3: S3Client, console: Console) -> None:
    files, notes = outputs.collect(layout.output_data)
    if report.code != 0 and _allowance_is_used_up(files, layout, spec):
        files, dropped = outputs.within(files, KEPT_BYTES)
        notes += dropped
        outputs.empty(layout.model)
        if usage([layout.checkpoints], stop_above=KEPT_BYTES) > KEPT_BYTES:
            outputs.empty(layout.checkpoints)
            notes.append(f"the checkpoints were removed: they hold more than {KEPT_BYTES} bytes of a used-up disk")
    for note in notes:
        console.say(note)
    report.artifacts.extend(outputs.upload_all(s3, files, spec.prefix.join("output")))
    outputs.empty(layout.output_data)


def _allowance_is_used_up(files: list[tuple[str, Path]], layout: Layout, spec: Spec) -> bool:
    """Whether the disk is full by what files occupy, or by their length: a file full of holes is as long to upload."""
    if spec.disk_bytes is None:
        return False
    length = sum(path.stat().st_size for _, path in files)
    return max(length, usage(layout.written(), stop_above=spec.disk_bytes)) >= spec.disk_bytes


def _end_run(
    report: Report,
    outcome: Outcome,
    spec: Spec,
    s3: S3Client,
    console: Console,
    tracking: Tracking,
    seconds: float,
) -> None:
    status = "KILLED" if outcome.cancelled else "FINISHED" if report.code == 0 else "FAILED"
    if outcome.cancelled:
        seconds = min(seconds, _MLFLOW_SECONDS_WHEN_STOPPED)
    undelivered = tracking.finish(status, seconds=seconds)
    report.run = tracking.identity()
    if undelivered:
        uri = spec.prefix.join(_SPOOL_NAME)
        try:
            sha256 = s3.put_bytes(uri, undelivered, content_type="application/jsonl")
        except StorageError as error:
            console.say(str(error))
        else:
            report.artifacts.append(Artifact(_SPOOL_NAME, "log", str(uri), len(undelivered), sha256))
