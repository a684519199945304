"""One transform job from its slot to its end: a serving process, and every object of the input through it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import IO

from localcloud.compute.aws_clients import ObjectError
from localcloud.compute.credentials import Grant
from localcloud.compute.errors import ApiError
from localcloud.compute.host import Host, ObjectStore, to_end
from localcloud.compute.hosting.arns import key_of
from localcloud.compute.hosting.instance import (
    AnswerTooLarge,
    ConnectionLost,
    Instance,
    InstanceFailed,
    InvocationTimedOut,
    Reply,
)
from localcloud.compute.hosting.models import SERVICE
from localcloud.compute.hosting.settings import HostingSettings
from localcloud.compute.jobs import channels
from localcloud.compute.jobs.capacity import Slots
from localcloud.compute.jobs.channels import DownloadFailed, PlannedObject
from localcloud.compute.jobs.layout import JobDirectory
from localcloud.compute.jobs.s3_uri import S3Uri
from localcloud.compute.jobs.sagemaker_record import COMPLETED, FAILED, STOPPED
from localcloud.compute.jobs.storage import RoleStorage
from localcloud.compute.log_shipping import LogDeliveryError, LogDestination
from localcloud.compute.transforming.payloads import RecordTooLarge, payloads
from localcloud.compute.transforming.record import TransformRecord
from localcloud.compute.transforming.requests import MEBIBYTE, Transform

logger = logging.getLogger(__name__)

LOG_GROUP = "/aws/sagemaker/TransformJobs"
INTERNAL = "InternalServerError: We encountered an internal error. Please try again."
RETRY_SECONDS = 1.0
POLL_SECONDS = 0.1
MESSAGE_CHARACTERS = 2048


class JobFailed(Exception):
    """The job ends as Failed; the text is its FailureReason."""


class ObjectFailed(Exception):
    """An object could not be transformed.

    Args:
        whose: the word that SageMaker's reason begins with.
        said: for the job's log.
    """

    def __init__(self, whose: str, said: str) -> None:
        super().__init__(said)
        self.whose = whose


class TransformRun:
    """Drives one record. `changed` is called after every change of it, and makes it durable and known."""

    def __init__(
        self, host: Host, record: TransformRecord, slots: Slots, changed: Callable[[TransformRecord], None]
    ) -> None:
        self._host = host
        self._record = record
        self._slots = slots
        self._changed = changed
        self._transform = Transform.of(record.request)
        self._directory = directory_of(host, record.name)
        self._cancelled = Event()
        self._is_storing = False
        self._work: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Returns when the job is terminal, or when the emulator is ending: the next one begins it again."""
        self._work = asyncio.create_task(self._run())
        if self._cancelled.is_set():
            # Stopped before it came to its first step.
            self._work.cancel()
        status, reason = COMPLETED, None
        try:
            await self._work
        except JobFailed as failure:
            status, reason = FAILED, str(failure)
        except asyncio.CancelledError:
            if not self._record.stop_requested:
                raise
            status = STOPPED
        except Exception:
            # Whatever the fault in the emulator, the job must end and say so; the log has the story.
            logger.exception("transform job failed inside the emulator", extra={"job": self._record.name})
            status, reason = FAILED, INTERNAL
        self._record.become(status, self._host.now(), reason)
        self._changed(self._record)

    def stop(self) -> None:
        """The user wants it stopped: nothing more is asked or stored. What is being stored is stored as a whole."""
        if self._is_storing:
            return
        self._cancelled.set()
        if self._work is not None:
            self._work.cancel()

    async def _run(self) -> None:
        try:
            await self._slots.acquire()
            try:
                self._record.begin(self._host.now())
                self._changed(self._record)
                await self._with_instance()
            finally:
                self._slots.release()
        finally:
            self._cancelled.set()
            # Told last: who hears of the end may count on nothing of the job being left.
            await self._host.blocking.run_to_end(self._directory.remove)

    async def _with_instance(self) -> None:
        host, plan = self._host, self._record.plan
        grant = host.credentials.open(plan.role_arn, SERVICE, "SageMaker")
        instance = Instance(
            host,
            self._settings,
            replace(plan, environment={**plan.environment, **self._record.request.get("Environment", {})}),
            self._directory.root / "instance",
            LogDestination(LOG_GROUP, f"{self._record.name}/algo-1"),
            "The primary container did not pass the ping health check. See job logs for more information.",
        )
        try:
            await self._all_objects(instance, RoleStorage(host, grant, self._cancelled))
        except InstanceFailed as failure:
            raise JobFailed(f"AlgorithmError: {failure}") from failure
        except DownloadFailed as failure:
            raise JobFailed(f"ClientError: {failure}") from failure
        except ApiError as error:
            raise JobFailed(f"ClientError: Cannot assume the role {plan.role_arn}: {error.message}") from error
        except ObjectError as error:
            raise JobFailed(f"ClientError: {error.message or error.code}") from error
        finally:
            await self._end(instance, grant)

    async def _end(self, instance: Instance, grant: Grant) -> None:
        ending = asyncio.ensure_future(instance.stop(drain=False, remove=True))
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            await asyncio.gather(ending, return_exceptions=True)
            raise
        finally:
            self._host.credentials.close(grant)

    @property
    def _settings(self) -> HostingSettings:
        transform = self._transform
        return HostingSettings(request_timeout=transform.timeout_seconds, payload_bytes=100 * MEBIBYTE)

    async def _all_objects(self, instance: Instance, storage: RoleStorage) -> None:
        """
        Raises:
            JobFailed: one of them could not be transformed; the others are stored.
        """
        source = self._transform.source
        planned = await to_end(storage.run(_objects_of, source))
        if not planned:
            raise DownloadFailed(f'No S3 objects found under S3 URL "{source}" given in input data source.')
        await instance.start()
        done: list[tuple[PlannedObject, Path]] = []
        failures: list[ObjectFailed] = []
        for number, item in enumerate(planned):
            try:
                done.append((item, await self._one(instance, storage, item, number)))
            except ObjectFailed as failure:
                failures.append(failure)
                await self._say(f"{source.bucket}/{item.key}: {failure}")
        # All at the end: of a job that is stopped SageMaker stores nothing.
        self._is_storing = True
        for item, output in done:
            target = self._transform.target.under(f"{item.path}.out")
            await to_end(storage.run(_upload, output, target))
        if failures:
            raise JobFailed(f"{failures[0].whose}: See job logs for more information")

    async def _one(self, instance: Instance, storage: RoleStorage, item: PlannedObject, number: int) -> Path:
        """The file with the answers to one object.

        Raises:
            ObjectFailed: it could not be transformed.
        """
        given, output = self._directory.root / "input", self._directory.root / f"output-{number}"
        await to_end(storage.run(_download, self._transform.source.bucket, item.key, given, self._cancelled))
        transform = self._transform
        pieces = payloads(
            given, by_line=transform.by_line, together=transform.together, most_bytes=transform.payload_bytes
        )
        asked: deque[asyncio.Task[bytes]] = deque()
        try:
            with output.open("wb") as file:
                while (piece := await self._host.blocking.run(next, pieces, None)) is not None:
                    if len(asked) >= transform.at_once:
                        await self._write(file, await asked.popleft())
                    asked.append(asyncio.create_task(self._ask(instance, piece)))
                while asked:
                    await self._write(file, await asked.popleft())
        except RecordTooLarge as error:
            said = f"a record is larger than MaxPayloadInMB ({transform.payload_bytes // MEBIBYTE})"
            raise ObjectFailed("ClientError", said) from error
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        return output

    async def _write(self, file: IO[bytes], answer: bytes) -> None:
        await self._host.blocking.run(file.write, answer.rstrip(b"\n") + b"\n" if self._transform.joined_by else answer)

    async def _ask(self, instance: Instance, body: bytes) -> bytes:
        """
        Raises:
            ObjectFailed: the container did not answer, or refused, as often as it was asked.
        """
        failure: ObjectFailed | None = None
        for attempt in range(self._transform.retries + 1):
            if attempt:
                await self._host.sleep(RETRY_SECONDS)
            await self._until_healthy(instance)
            try:
                reply = await instance.invoke(body, self._headers)
            except (ConnectionLost, InvocationTimedOut):
                failure = ObjectFailed("AlgorithmError", "Unable to get response from algorithm")
            except AnswerTooLarge as error:
                raise ObjectFailed("AlgorithmError", "The answer is larger than 100 MB") from error
            else:
                if reply.status == 200:
                    return reply.body
                failure = _refusal(reply)
                if reply.status < 500:
                    break
        assert failure is not None  # noqa: S101  an answer was returned
        raise failure

    async def _until_healthy(self, instance: Instance) -> None:
        """A container that died over one record comes up again for the next.

        Raises:
            JobFailed: it does not.
        """
        try:
            async with asyncio.timeout(self._settings.startup_timeout):
                while not instance.healthy:
                    await self._host.sleep(POLL_SECONDS)
        except TimeoutError as error:
            raise JobFailed("AlgorithmError: The container does not come up again. See job logs") from error

    @property
    def _headers(self) -> dict[str, str]:
        given = {"Content-Type": self._transform.content_type, "Accept": self._transform.accept}
        return {name: value for name, value in given.items() if value is not None}

    async def _say(self, message: str) -> None:
        """A line in the job's data log."""
        stream = f"{self._record.name}/algo-1/data-log"
        line = (int(self._host.now().timestamp() * 1000), message)
        with contextlib.suppress(LogDeliveryError):
            await self._host.blocking.run(self._host.logs.create_stream, LOG_GROUP, stream)
            await self._host.blocking.run(self._host.logs.put, LOG_GROUP, stream, [line])


def directory_of(host: Host, name: str) -> JobDirectory:
    """Where a job's model, input and answers lie while it lasts."""
    return JobDirectory(host.settings.state / "transforms" / key_of(name))


def _refusal(reply: Reply) -> ObjectFailed:
    message = reply.body.decode("utf-8", "replace")[:MESSAGE_CHARACTERS]
    said = f"Bad HTTP status received from algorithm: {reply.status} Message: {message}"
    return ObjectFailed("ClientError" if reply.status < 500 else "AlgorithmError", said)


def _objects_of(objects: ObjectStore, source: S3Uri) -> list[PlannedObject]:
    return channels.plan(source, objects.list(source.bucket, source.key))


def _download(objects: ObjectStore, bucket: str, key: str, target: Path, cancelled: Event) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Of the object before, or of a try that broke off.
    target.unlink(missing_ok=True)
    objects.download(bucket, key, target, cancelled)


def _upload(objects: ObjectStore, output: Path, target: S3Uri) -> None:
    objects.upload(output, target.bucket, target.key)
