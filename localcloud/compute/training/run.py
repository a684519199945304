"""One training job from Starting to its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event

from localcloud.compute.aws_clients import ObjectError
from localcloud.compute.credentials import Grant
from localcloud.compute.errors import ApiError
from localcloud.compute.faults import Rule
from localcloud.compute.host import Host, ObjectStore
from localcloud.compute.jobs import archive, disk
from localcloud.compute.jobs.capacity import Slots
from localcloud.compute.jobs.channels import DownloadFailed
from localcloud.compute.jobs.checkpoints import CheckpointSync
from localcloud.compute.jobs.execution import NICENESS, Cause, Execution, Limits, Outcome
from localcloud.compute.jobs.layout import argument_list, environment_of, job_directory
from localcloud.compute.jobs.notice import image_notice
from localcloud.compute.jobs.s3_uri import S3Uri
from localcloud.compute.jobs.sagemaker_record import COMPLETED, FAILED, IN_PROGRESS, STOPPED, STOPPING
from localcloud.compute.jobs.storage import RoleStorage
from localcloud.compute.log_shipping import OWN_MARK, LogDeliveryError, LogDestination
from localcloud.compute.processes import Command, SpawnError
from localcloud.compute.training import inputs
from localcloud.compute.training.final_metrics import final_metrics
from localcloud.compute.training.record import TrainingRecord

logger = logging.getLogger(__name__)

SERVICE = "sagemaker.amazonaws.com"
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
DEFAULT_RUNTIME_SECONDS = 86400
# How much is kept of the outputs, and of the checkpoints, of a job that broke its disk allowance.
KEPT_BYTES = 64 * 1024 * 1024
OUT_OF_CAPACITY = (
    "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance type "
    "or after some time."
)
INTERNAL = "InternalServerError: We encountered an internal error. Please try again."

NEVER_STARTED = {
    "image_pull": (
        "ClientError: Cannot pull algorithm container. Either the image does not exist or its permissions are incorrect."
    ),
    "data_missing": "ClientError: Data download failed: NoSuchKey (404): The specified key does not exist.",
    "host_failure": INTERNAL,
}
"""FailureReason of the injected faults that come before the training process, in SageMaker's words."""


class JobFailed(Exception):
    """The job ends as Failed; the text is its FailureReason."""


class WaitedTooLong(Exception):
    """A managed spot job got no instance within MaxWaitTimeInSeconds."""


@dataclass(frozen=True)
class End:
    """How a job ends. One that would have completed has stopped if that was asked for meanwhile."""

    status: str
    secondary: str = ""
    reason: str | None = None

    def enter(self, record: TrainingRecord, now: datetime) -> None:
        if self.reason is not None:
            record.fail(self.reason, now)
        elif self.status == COMPLETED and record.stop_requested:
            record.enter(STOPPED, STOPPED, now)
        else:
            record.enter(self.status, self.secondary or self.status, now)


class TrainingRun:
    """Drives one record. `changed` is called after every change of it, and makes it durable and known."""

    def __init__(
        self, host: Host, record: TrainingRecord, slots: Slots, changed: Callable[[TrainingRecord], None]
    ) -> None:
        self._host = host
        self._record = record
        self._slots = slots
        self._changed = changed
        self._directory = job_directory(host.settings, record.name)
        self._cancelled = Event()
        self._preparation: asyncio.Task[None] | None = None
        self._execution: Execution | None = None
        self._checkpoints: CheckpointSync | None = None
        self._grant: Grant | None = None

    async def run(self) -> None:
        """Returns when the job is terminal. Never raises: what goes wrong is the job's failure reason."""
        end = await self._end_of_run()
        self._cancelled.set()
        if self._grant is not None:
            self._host.credentials.close(self._grant)
        # Told last: who hears of the end may count on nothing of the job being left.
        try:
            if not self._host.settings.keep_directories:
                await self._host.blocking.run_to_end(self._directory.remove)
        finally:
            end.enter(self._record, self._host.now())
            self._changed(self._record)

    async def _end_of_run(self) -> End:
        try:
            return await self._run()
        except JobFailed as failure:
            return End(FAILED, reason=str(failure))
        except WaitedTooLong:
            return End(STOPPED, "MaxWaitTimeExceeded")
        except asyncio.CancelledError:
            # The emulator is going down in order; its next start would say the same.
            return End(FAILED, reason=f"{INTERNAL} (the host was shut down)")
        except Exception:
            # Whatever the fault in the emulator, the job must end and say so; the log has the story.
            logger.exception("training job failed inside the emulator", extra={"job": self._record.name})
            return End(FAILED, reason=INTERNAL)

    def stop(self) -> None:
        """The user wants it stopped: waiting and downloading end at once, a process gets its grace period."""
        self._cancelled.set()
        if self._execution is not None:
            self._execution.end(Cause.STOPPED)
        elif self._preparation is not None:
            self._preparation.cancel()

    async def _run(self) -> End:
        record, host = self._record, self._host
        fault = host.faults.on_job("CreateTrainingJob", record.name)
        while True:
            ready = await self._prepare_stoppably(fault)
            if not ready:
                return End(STOPPED)
            try:
                outcome = await self._train(fault)
                if outcome.cause is not Cause.INTERRUPTED:
                    return await self._finish(outcome)
                await self._upload_checkpoints()
            finally:
                self._slots.release()
            if not record.spot:
                raise JobFailed(INTERNAL)
            record.release(host.now())
            self._enter(IN_PROGRESS, "Interrupted")
            self._enter(IN_PROGRESS, "Starting")
            fault = host.faults.on_job("CreateTrainingJob", record.name)

    # Starting and Downloading

    async def _prepare_stoppably(self, fault: Rule | None) -> bool:
        """Waits for a slot and fetches the data; False when the job was stopped meanwhile. Holds a slot when True."""
        self._execution = None
        if self._record.stop_requested:
            return False
        self._preparation = asyncio.create_task(self._prepare(fault))
        try:
            await self._preparation
        except asyncio.CancelledError:
            if not self._record.stop_requested:
                self._preparation.cancel()
                raise
            return False
        finally:
            self._preparation = None
        if self._record.stop_requested:
            self._slots.release()
            return False
        return True

    async def _prepare(self, fault: Rule | None) -> None:
        record, host = self._record, self._host
        try:
            async with asyncio.timeout(self._wait_seconds()):
                if fault is not None and fault.seconds:
                    await host.sleep(fault.seconds)
                if fault is None or fault.fault != "no_capacity":
                    await self._slots.acquire()
        except TimeoutError as error:
            raise WaitedTooLong from error
        if fault is not None and fault.fault == "no_capacity":
            raise JobFailed(OUT_OF_CAPACITY)
        try:
            record.occupy(host.now())
            self._enter(IN_PROGRESS, "Downloading")
            if fault is not None and (reason := NEVER_STARTED.get(fault.fault)):
                raise JobFailed(reason)
            if self._grant is None:
                self._grant = host.credentials.open(record.request["RoleArn"], SERVICE, "SageMaker")
            await self._download()
        except BaseException:
            self._slots.release()
            raise

    async def _download(self) -> None:
        host, record = self._host, self._record
        storage = self._storage(self._cancelled)
        working = storage.run(inputs.prepare, self._directory, record, host.settings.region, self._cancelled)
        task = asyncio.ensure_future(working)
        try:
            self._checkpoints = await asyncio.shield(task)
        except asyncio.CancelledError:
            # The thread sees the event at its next chunk; the directory is its own until then.
            self._cancelled.set()
            await asyncio.gather(task, return_exceptions=True)
            raise
        except DownloadFailed as error:
            raise JobFailed(f"ClientError: {error}") from error
        except ApiError as error:
            raise JobFailed(self._no_role(error)) from error
        except OSError as error:
            raise JobFailed(f"ClientError: Data download failed: {error}") from error

    # Training

    async def _train(self, fault: Rule | None) -> Outcome:
        host, record = self._host, self._record
        settings = host.settings
        self._enter(IN_PROGRESS, "Training")
        with ExitStack() as stack:
            copy = None
            if record.request["AlgorithmSpecification"].get("MetricDefinitions"):
                copy = stack.enter_context(self._directory.output_copy.open("ab"))
            algorithm = record.request["AlgorithmSpecification"]
            entrypoint, image = algorithm["ContainerEntrypoint"][0], algorithm["TrainingImage"]
            notice = await host.blocking.run(image_notice, image, entrypoint, settings.python)
            try:
                self._execution = Execution(
                    host, self._command(), self._directory.root, self._limits(), self._log, copy, notice
                )
            except SpawnError as error:
                raise JobFailed(f"AlgorithmError: {error}, exit code: 127") from error
            if record.stop_requested:
                self._execution.end(Cause.STOPPED)
            self._execution.end_by(fault)
            syncing = asyncio.create_task(self._sync_checkpoints())
            outcome = await self._execution.run()
            syncing.cancel()
            await asyncio.gather(syncing, return_exceptions=True)
        if settings.keep_directories:
            logger.info("job directory kept", extra={"directory": str(self._directory.root)})
        return outcome

    def _command(self) -> Command:
        host, record = self._host, self._record
        algorithm = record.request["AlgorithmSpecification"]
        words = [*algorithm["ContainerEntrypoint"], *algorithm.get("ContainerArguments", [])]
        own = {"TRAINING_JOB_NAME": record.name, "TRAINING_JOB_ARN": record.arn}
        if self._grant is not None:
            own |= self._grant.environment(host.settings.own_url)
        return Command(
            argument_list(self._directory, words, host.settings.python),
            environment_of(self._directory, host.settings, record.request.get("Environment", {}), own),
            self._directory.ml,
            file_size_limit=inputs.volume_bytes(record),
            niceness=NICENESS,
        )

    def _wait_seconds(self) -> float | None:
        """How long a managed spot job may still wait for an instance; other jobs wait as long as it takes."""
        longest = self._record.request["StoppingCondition"].get("MaxWaitTimeInSeconds")
        if longest is None:
            return None
        waited = (self._host.now() - self._record.document["created"]).total_seconds()
        return max(0.0, float(longest) - float(waited))

    def _limits(self) -> Limits:
        """The time limit is one for all runs of a job that was interrupted."""
        longest = self._record.request["StoppingCondition"].get("MaxRuntimeInSeconds", DEFAULT_RUNTIME_SECONDS)
        return Limits(max(1.0, longest - self._record.document["occupied"]), inputs.volume_bytes(self._record))

    async def _sync_checkpoints(self) -> None:
        """Checkpoints go out as they are written, so that a job that is cut off can resume."""
        while self._checkpoints is not None:
            await self._host.sleep(self._host.settings.checkpoint_sync_interval)
            try:
                await self._upload_checkpoints()
            except JobFailed as failure:
                logger.info("checkpoints not uploaded yet", extra={"job": self._record.name, "reason": str(failure)})

    async def _upload_checkpoints(self) -> None:
        if self._checkpoints is None:
            return
        try:
            await self._storage().run(self._checkpoints.upload_changes)
        except ApiError as error:
            raise JobFailed(self._no_role(error)) from error
        except (archive.UnsafeLink, ObjectError, OSError) as error:
            raise JobFailed(f"ClientError: Artifact upload failed: checkpoints: {error}") from error

    # The end

    async def _finish(self, outcome: Outcome) -> End:
        record, host = self._record, self._host
        failure = self._failure(outcome)
        self._enter(IN_PROGRESS, "Uploading")
        most_bytes = KEPT_BYTES if outcome.cause is Cause.DISK else None
        await self._upload(with_model=failure is None, most_bytes=most_bytes)
        record.document["metrics"] = await final_metrics(
            record.request["AlgorithmSpecification"].get("MetricDefinitions", []),
            self._directory.output_copy,
            host.now(),
        )
        if failure is not None:
            raise JobFailed(failure)
        return End(STOPPED, "MaxRuntimeExceeded") if outcome.cause is Cause.MAX_RUNTIME else End(COMPLETED)

    def _failure(self, outcome: Outcome) -> str | None:
        if outcome.start_error is not None:
            return f"AlgorithmError: {outcome.start_error}, exit code: 127"
        if outcome.cause is Cause.DISK:
            size = self._record.request["ResourceConfig"]["VolumeSizeInGB"]
            return (
                f"ClientError: The job used more disk than its volume of {size} GB has. Please raise VolumeSizeInGB, or "
                f"write less.\n{self._directory.failure_text() or outcome.last_words}"
            ).rstrip()
        if outcome.cause in (Cause.STOPPED, Cause.MAX_RUNTIME) or outcome.exit.succeeded:
            return None
        return f"AlgorithmError: {self._directory.failure_text()}, exit code: {outcome.exit.shell_code}"

    async def _upload(self, *, with_model: bool, most_bytes: int | None) -> None:
        """model/ and output/data/, each as one archive when there is something in it, with the role's credentials.

        With `most_bytes`, a folder that holds more is left out, which the log says.
        """
        record = self._record
        target = S3Uri.parse(record.request["OutputDataConfig"]["S3OutputPath"]).under(record.name, "output")
        if self._checkpoints is not None and await self._may_upload(self._checkpoints.folder, most_bytes):
            await self._upload_checkpoints()
        folders = [(self._directory.output_data, target.under("output.tar.gz"))]
        if with_model:
            folders.append((self._directory.model, target.under("model.tar.gz")))
            record.document["model_artifacts"] = str(target.under("model.tar.gz"))
        for folder, address in folders:
            if not await self._may_upload(folder, most_bytes):
                continue
            try:
                await self._storage().run(_upload_folder, folder, address, self._directory.root)
            except ApiError as error:
                raise JobFailed(self._no_role(error)) from error
            except (archive.UnsafeLink, ObjectError, OSError) as error:
                raise JobFailed(f"ClientError: Artifact upload failed: {folder.name}: {error}") from error

    async def _may_upload(self, folder: Path, most_bytes: int | None) -> bool:
        if most_bytes is None or await self._host.blocking.run(disk.usage, folder, most_bytes, Event()) <= most_bytes:
            return True
        where = folder.relative_to(self._directory.ml)
        await self._say(
            f"{where} was not uploaded: it holds more than the {most_bytes} bytes that are kept of a job that broke its "
            f"disk allowance"
        )
        return False

    async def _say(self, message: str) -> None:
        """A line of the emulator's own in the job's log, once the process has ended."""
        line = (int(self._host.now().timestamp() * 1000), f"{OWN_MARK}{message}")
        try:
            await self._host.blocking.run(self._host.logs.put, self._log.group, self._log.stream, [line])
        except LogDeliveryError as error:
            logger.warning("log line not delivered", extra={"job": self._record.name, "reason": str(error)})

    @property
    def _log(self) -> LogDestination:
        return LogDestination(LOG_GROUP, self._record.document["log_stream"])

    def _storage(self, cancelled: Event | None = None) -> RoleStorage:
        if self._grant is None:
            raise JobFailed(INTERNAL)
        return RoleStorage(self._host, self._grant, cancelled)

    def _no_role(self, error: ApiError) -> str:
        return f"ClientError: Cannot assume the role {self._record.request['RoleArn']}: {error.message}"

    def _enter(self, status: str, secondary: str) -> None:
        if self._record.stop_requested and status == IN_PROGRESS:
            status = STOPPING
        self._record.enter(status, secondary, self._host.now())
        self._changed(self._record)


def _upload_folder(objects: ObjectStore, folder: Path, address: S3Uri, scratch: Path) -> None:
    if not folder.is_dir() or folder.is_symlink() or archive.is_empty(folder):
        return
    packed = scratch / address.key.rpartition("/")[2]
    archive.make_archive(folder, packed)
    objects.upload(packed, address.bucket, address.key)
    packed.unlink()
