"""One instance of a variant: a serving process in a directory of its own.

Preparing (download, unpack) happens once; a mark in the directory says it is done, so a process that is started again,
by this emulator or the next, needs no S3. The process tells its port in a file; from then on `/ping` decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import httpx

from localcloud.compute.aws_clients import ObjectError
from localcloud.compute.credentials import Grant
from localcloud.compute.errors import ApiError
from localcloud.compute.host import Host, ObjectStore
from localcloud.compute.hosting.archive import ArchiveRefused, unpack
from localcloud.compute.hosting.models import SERVICE
from localcloud.compute.hosting.plan import VariantPlan
from localcloud.compute.hosting.settings import HostingSettings
from localcloud.compute.jobs.layout import JobDirectory, environment_of
from localcloud.compute.jobs.s3_uri import S3Uri
from localcloud.compute.jobs.storage import RoleStorage
from localcloud.compute.log_shipping import LogDestination, LogPump
from localcloud.compute.processes import Command, Exit, ManagedProcess, SpawnError
from trainer.serving import server

logger = logging.getLogger(__name__)

SERVER = Path(server.__file__)
# An endpoint lives for months: its log is not cut off as a job's is.
UNLIMITED = 1 << 62
KEEPALIVE_SECONDS = 10.0  # shorter than the server's own patience with a silent connection


class InstanceFailed(Exception):
    """The instance can't serve; the text is the endpoint's FailureReason."""


class InvocationTimedOut(Exception):
    """No complete answer within the time of one request."""


class ConnectionLost(Exception):
    """The process went away. `accepted`: it may have seen the request."""

    def __init__(self, accepted: bool) -> None:
        super().__init__("the serving process ended")
        self.accepted = accepted


class AnswerTooLarge(Exception):
    """The model answered more than a response may hold."""


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Instance:
    """Args:
        destination: of what the process prints.
        unhealthy: what is said of one that does not come up.

    Attributes:
        in_flight: requests that were sent and not yet answered.
    """

    def __init__(
        self,
        host: Host,
        settings: HostingSettings,
        plan: VariantPlan,
        root: Path,
        destination: LogDestination,
        unhealthy: str,
    ) -> None:
        self._unhealthy = unhealthy
        self._host = host
        self._settings = settings
        self._plan = plan
        self._directory = JobDirectory(root)
        self._destination = destination
        self._client = httpx.AsyncClient(
            # The whole exchange has a time limit of its own, see `invoke`.
            timeout=httpx.Timeout(settings.request_timeout),
            trust_env=False,
            limits=httpx.Limits(max_connections=None, keepalive_expiry=KEEPALIVE_SECONDS),
            # Plain HTTP to this machine: an empty context, because loading certificates takes 20 ms.
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )
        self._grant: Grant | None = None
        self._process: ManagedProcess | None = None
        self._output: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._url: str | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._doubt = asyncio.Event()
        self._cancelled = Event()
        self.in_flight = 0

    @property
    def healthy(self) -> bool:
        return self._url is not None

    @property
    def pid(self) -> int | None:
        """The root of its processes."""
        return self._process.guardian_pid if self._process is not None else None

    # Life

    async def start(self) -> None:
        """Brings the instance up once and keeps it up from then on.

        Raises:
            InstanceFailed: it did not come up; `stop` it.
        """
        await self._prepare()
        await self._launch()
        self._keeper = asyncio.create_task(self._keep(), name=f"instance {self._directory.root.name}")

    def recover(self) -> None:
        """Brings the instance up as often as it takes: it was in service before."""
        self._keeper = asyncio.create_task(self._keep(), name=f"instance {self._directory.root.name}")

    async def stop(self, *, drain: bool, remove: bool) -> None:
        """Ends the process; with `drain`, after the requests in progress. Returns when it is gone."""
        if drain:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.drain_timeout):
                    await self._idle.wait()
        self._cancelled.set()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._end_process()
        await self._client.aclose()
        if self._grant is not None:
            self._host.credentials.close(self._grant)
        if remove:
            await self._host.blocking.run(shutil.rmtree, self._directory.root, ignore_errors=True)

    async def _keep(self) -> None:
        wait = self._settings.restart_first
        loop = asyncio.get_running_loop()
        while True:
            if self._process is not None:
                begun = loop.time()
                ended = await self._until_ended(self._process)
                if loop.time() - begun >= self._settings.healthy_after:
                    wait = self._settings.restart_first
                logger.warning(
                    "serving process ended, it is started again",
                    extra={"instance": str(self._directory.root), "exit": ended.shell_code, "in": wait},
                )
                await self._end_process()
                await self._host.sleep(wait)
                wait = min(2 * wait, self._settings.restart_most)
            try:
                await self._prepare()
                await self._launch()
            except (InstanceFailed, OSError) as failure:
                logger.warning("serving process not started", extra={"reason": str(failure), "again_in": wait})
                await self._end_process()
                await self._host.sleep(wait)
                wait = min(2 * wait, self._settings.restart_most)

    async def _until_ended(self, process: ManagedProcess) -> Exit:
        """Waits for the end of the process; one that dropped a connection gets no request until it answers `/ping`."""
        end = asyncio.ensure_future(process.wait())
        end.add_done_callback(lambda _: self._doubt.set())
        try:
            while True:
                await self._doubt.wait()
                self._doubt.clear()
                if end.done():
                    self._url = None
                    return end.result()
                try:
                    await self._until_ready(process)
                except InstanceFailed:
                    process.kill()  # it ended meanwhile, or runs and serves no more
        finally:
            end.cancel()

    async def _end_process(self) -> None:
        self._url = None
        if self._process is not None:
            self._process.terminate()
            try:
                # Not wait_for: Python 3.11's loses a cancellation that comes as the process ends, and whoever stops this
                # instance would wait for a keeper that goes on for ever.
                async with asyncio.timeout(self._settings.stop_grace):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        if self._output is not None:
            # Whoever is cancelled here must not take the log along: another one waits for it too.
            await asyncio.shield(self._output)
        self._process = self._output = None

    # Preparing

    @property
    def _prepared_mark(self) -> Path:
        return self._directory.root / "prepared"

    async def _prepare(self) -> None:
        if self._grant is None:
            self._grant = self._host.credentials.open(self._plan.role_arn, SERVICE, "SageMaker")
        if self._prepared_mark.exists():
            return
        url = self._plan.model_data_url
        archive = self._directory.root / "model.tar.gz"
        try:
            await RoleStorage(self._host, self._grant, self._cancelled).run(self._fetch, S3Uri.parse(url), archive)
        except ApiError as error:
            raise InstanceFailed(f"The role {self._plan.role_arn} could not be assumed: {error.message}") from error
        except ObjectError as error:
            raise InstanceFailed(
                f'Failed to download model data for container "container_1" from URL: "{url}". Please ensure that there '
                f"is an object located at the URL and that the role passed to CreateModel has permissions to download "
                f"the model. ({error.code})"
            ) from error
        limits = (self._settings.model_bytes, self._settings.model_files)
        try:
            await self._host.blocking.run_to_end(unpack, archive, self._directory.model, *limits)
        except ArchiveRefused as error:
            raise InstanceFailed(
                f'Failed to extract model data archive for container "container_1" from URL "{url}". Please ensure that '
                f"the object located at the URL is a valid tar.gz archive: {error}."
            ) from error
        archive.unlink()
        self._prepared_mark.touch()

    def _fetch(self, objects: ObjectStore, source: S3Uri, archive: Path) -> None:
        self._make_directories()
        objects.download(source.bucket, source.key, archive, self._cancelled)

    def _make_directories(self) -> None:
        self._directory.remove()
        for folder in (self._directory.model, self._directory.root / "tmp", self._directory.root / "home"):
            folder.mkdir(parents=True)
        self._directory.root.chmod(0o700)

    # Starting

    async def _launch(self) -> None:
        _forget(self._port_file)
        try:
            process = self._host.launcher.spawn(self._command())
        except SpawnError as error:
            raise InstanceFailed(f"{self._unhealthy} ({error})") from error
        pump = LogPump(
            self._host.logs, self._destination, self._host.blocking, self._host.now, self._host.sleep, UNLIMITED
        )
        self._process = process
        self._output = asyncio.create_task(pump.run(process.output))
        self._doubt.clear()
        await self._until_ready(process)

    async def _until_ready(self, process: ManagedProcess) -> None:
        seconds = self._plan.startup_timeout or self._settings.startup_timeout
        try:
            async with asyncio.timeout(seconds):
                await self._until_ping(process)
        except TimeoutError as error:
            raise InstanceFailed(self._unhealthy) from error

    @property
    def _port_file(self) -> Path:
        return self._directory.root / "port"

    def _command(self) -> Command:
        own = {"SM_MODEL_DIR": str(self._directory.model)}
        if self._grant is not None:
            own |= self._grant.environment(self._host.settings.own_url)
        python = self._host.settings.python
        limits = {
            "--max-body-bytes": self._settings.payload_bytes,
            # Of a shorter limit the emulator itself tells the caller.
            "--request-seconds": max(server.REQUEST_SECONDS, self._settings.request_timeout),
        }
        return Command(
            [
                *(python, str(SERVER), "--model", str(self._directory.model), "--port-file", str(self._port_file)),
                *(word for name, limit in limits.items() for word in (name, str(limit))),
            ],
            environment_of(self._directory, self._host.settings, self._plan.environment, own),
            self._directory.ml,
        )

    async def _until_ping(self, process: ManagedProcess) -> None:
        """Asks until `/ping` says 200, at shorter intervals first: most models load in a second or two."""
        wait = self._settings.ping_first
        while process.running:
            port = _content(self._port_file)
            if port:
                url = f"http://127.0.0.1:{port}"
                with contextlib.suppress(httpx.HTTPError):
                    response = await self._client.get(f"{url}/ping", timeout=2.0)
                    if response.status_code == 200:
                        self._url = url
                        return
            await self._host.sleep(wait)
            wait = min(1.5 * wait, self._settings.ping_most)
        raise InstanceFailed(self._unhealthy)

    # Invoking

    async def invoke(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Sends one request to the process.

        Raises:
            ConnectionLost: there is no process, or it ended before it answered.
            InvocationTimedOut: the answer took too long.
            AnswerTooLarge: it is larger than a response may be.
        """
        if self._url is None:
            raise ConnectionLost(accepted=False)
        self.in_flight += 1
        self._idle.clear()
        try:
            async with asyncio.timeout(self._settings.request_timeout):
                return await self._exchange(f"{self._url}/invocations", body, headers)
        except TimeoutError as error:
            raise InvocationTimedOut from error
        except httpx.ConnectError as error:
            raise ConnectionLost(accepted=False) from error
        except httpx.HTTPError as error:
            self._url = None
            self._doubt.set()
            raise ConnectionLost(accepted=True) from error
        finally:
            self.in_flight -= 1
            if self.in_flight == 0:
                self._idle.set()

    async def _exchange(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        async with self._client.stream("POST", url, content=body, headers=headers) as response:
            chunks, size = [], 0
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                if size > self._settings.payload_bytes:
                    raise AnswerTooLarge
                chunks.append(chunk)
            return Reply(response.status_code, response.headers, b"".join(chunks))


def _content(path: Path) -> str:
    """Of a file of a few bytes, empty while it is not there."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _forget(path: Path) -> None:
    path.unlink(missing_ok=True)
