"""One attempt from beginning to end: the agent around a user's script.

    spec.json → code and dataset → environment → the script, watched → outputs, model → manifest

Everything up to the script's start is kept lean: a user waits for it. What is needed only later is imported later.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from trainer.conventions import arguments, style_of
from trainer.credentials import CredentialChain
from trainer.errors import AgentError, DataError, OutOfReach, SpecError, Stopped
from trainer.inputs import fetch_code, fetch_dataset, write_configuration
from trainer.layout import Layout
from trainer.s3 import S3Client, S3Uri
from trainer.spec import SIZE_LIMIT, Spec
from trainer.supervisor import Supervisor, grace_seconds
from trainer.tracking.tracking import Tracking
from trainer.tracking.upstream import Upstream
from trainer.variables import LONGEST_STRING, script_environment
from trainer.watch import Watch

TYPE_CHECKING = False  # `typing` costs the agent's start 10 ms
if TYPE_CHECKING:
    from collections.abc import Mapping

    from trainer.checkpoints import Checkpoints
    from trainer.console import Console

_FAILED = 1


def train(root: Path, environ: Mapping[str, str], console: Console) -> int:
    """Runs the attempt that `AIMATRIX_SPEC_URI` names under `root`. Returns the exit code: the script's own.

    Whatever goes wrong is said in the log, in `output/failure` and, once the spec is known, in manifest.json.
    """
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    layout = Layout(root)
    s3 = None
    try:
        layout.create()
        credentials = CredentialChain(environ)
        s3 = S3Client.from_environment(environ, credentials)
        spec = _read_spec(s3, environ)
    except (AgentError, OSError) as error:
        # Asking in vain for the manifest's place would take another minute.
        answers = s3 if not isinstance(error, OutOfReach) else None
        return _fail_early(layout, console, f"the job could not be started: {error}", _FAILED, answers, environ)
    except Stopped as stop:
        reason = "the job was stopped before its script started"
        return _fail_early(layout, console, reason, 128 + stop.signal_number, s3, environ)
    console.identify(spec)
    return Attempt(spec, layout, environ, console=console, s3=s3, credentials=credentials).run()


class Attempt:
    """One attempt whose spec is known."""

    def __init__(
        self,
        spec: Spec,
        layout: Layout,
        environ: Mapping[str, str],
        *,
        console: Console,
        s3: S3Client,
        credentials: CredentialChain,
    ) -> None:
        self._spec = spec
        self._layout = layout
        self._environ = environ
        self._console = console
        self._s3 = s3
        self._credentials = credentials
        self._interpreter = Path(sys.executable)
        self._tracking: Tracking | None = None
        self._checkpoints: Checkpoints | None = None

    def run(self) -> int:
        """Returns the exit code."""
        try:
            return self._run()
        except Exception as error:  # noqa: BLE001 - the agent's own fault must not leave a job without an end
            import traceback

            self._console.say(f"the agent failed: {traceback.format_exc()[-4000:]}")
            return self._finish_without_script(f"the agent failed: {error!r}", _FAILED, None)

    def _run(self) -> int:
        try:
            self._tracking = self._open_tracking()
            secrets = self._secrets()
            source = fetch_code(self._s3, self._spec, self._layout)
            self._fetch_dataset()
            self._fetch_checkpoints()
            write_configuration(self._spec, self._layout)
            if self._spec.requirements_uri is not None:
                self._install_requirements()
            style = style_of(source, self._spec.arguments)
            command = self._command(style)
            tracking = self._tracking.variables() if self._tracking is not None else {}
            env = script_environment(
                self._environ,
                self._spec,
                self._layout,
                interpreter=self._interpreter,
                secrets=secrets,
                tracking=tracking,
                console=self._console,
            )
        except (AgentError, OSError) as error:
            cause = "data" if isinstance(error, DataError) else None
            return self._finish_without_script(str(error), _FAILED, None, cause)
        except Stopped as stop:
            number = stop.signal_number
            return self._finish_without_script("the job was stopped before its script started", 128 + number, number)
        return self._run_script(style, command, env)

    def _open_tracking(self) -> Tracking | None:
        uri = self._environ.get("AIMATRIX_MLFLOW_TRACKING_URI")
        if not uri:
            return None
        upstream = Upstream.from_uri(uri, credentials=self._credentials)
        return Tracking(upstream, self._spec, console=self._console, spool_directory=self._scratch("spool"))

    def _secrets(self) -> dict[str, str]:
        """The values of the job's secret variables. Once they are known, whatever is printed is searched for them."""
        if not self._spec.secret_variables:
            return {}
        from trainer.mask import Mask
        from trainer.secret_values import reveal

        values = reveal(self._spec, self._environ, self._credentials)
        self._console.mask = Mask(values.values())
        return values

    def _fetch_dataset(self) -> None:
        """
        Raises:
            DataError: it is not there, or could not be fetched.
        """
        try:
            fetch_dataset(self._s3, self._spec, self._layout)
        except (AgentError, OSError) as error:
            raise DataError(str(error)) from error

    def _fetch_checkpoints(self) -> None:
        """Where the platform does not look after them, see `checkpoints.py`."""
        if self._spec.checkpoints_uri is None:
            return
        from trainer.checkpoints import Checkpoints

        self._checkpoints = Checkpoints(self._s3, self._spec.checkpoints_uri, self._layout.checkpoints, self._console)
        if count := self._checkpoints.fetch():
            self._console.say(f"{count} checkpoint file{'s' if count > 1 else ''} of earlier attempts are in place")

    def _install_requirements(self) -> None:
        from trainer.processes import become_subreaper
        from trainer.requirements import install

        become_subreaper()
        path = self._layout.code / "requirements.txt"
        self._interpreter = install(path, environ=self._environ, console=self._console)

    def _command(self, style: str) -> list[bytes]:
        """The argument list, encoded as UTF-8 whatever the container's locale."""
        words = [str(self._interpreter), self._spec.script_name, *arguments(style, self._spec, self._layout)]
        try:
            command = [word.encode("utf-8") for word in words]
        except UnicodeEncodeError as error:
            raise AgentError("a parameter holds half of a surrogate pair, which no argument can hold") from error
        for word in command:
            if b"\0" in word:
                raise AgentError("a parameter holds a NUL character, which no argument can hold")
            if len(word) > LONGEST_STRING:
                raise AgentError(
                    f"an argument of {len(word)} bytes is longer than Linux allows ({LONGEST_STRING}): pass large "
                    "parameters as a file of the dataset"
                )
        return command

    def _run_script(self, style: str, command: list[bytes], env: dict[bytes, bytes]) -> int:
        # From here on a signal is passed on to the script, and the agent finishes its own work, which is bounded.
        received: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: received.append(number))
        watch = Watch(self._spec, self._layout, self._environ, console=self._console, tracking=self._tracking)
        supervisor = Supervisor(
            watch.output,
            max_runtime_seconds=self._spec.max_runtime_seconds,
            grace_seconds=grace_seconds(self._environ),
            file_bytes=self._spec.disk_bytes,
            check=watch.check,
        )
        started_at = time.time()
        self._console.structured("started", at=int(started_at * 1000), arguments=style)
        if self._checkpoints is not None:
            self._checkpoints.begin()
        try:
            outcome = supervisor.run(command, env, self._layout.code, started=watch.begin, received=received)
        except OSError as error:
            return self._finish_without_script(f"the script could not be started: {error}", _FAILED, None)
        finally:
            # First: a machine that is taken away leaves little time.
            if self._checkpoints is not None:
                self._checkpoints.close()
            watch.close()
        from trainer.finish import MLFLOW_SECONDS, finish
        from trainer.report import Report

        report = Report(self._spec.job_id, self._spec.attempt, self._spec.prefix)
        report.arguments = style
        report.started_at = started_at
        report.ended_at = time.time()
        report.metrics = watch.latest_metrics()
        return finish(
            report,
            outcome,
            watch.output.last_lines(),
            layout=self._layout,
            spec=self._spec,
            s3=self._s3,
            console=self._console,
            tracking=self._tracking,
            interpreter=self._interpreter,
            scratch=self._scratch("model"),
            mlflow_seconds=float(self._environ.get("AIMATRIX_MLFLOW_PATIENCE_SECONDS") or MLFLOW_SECONDS),
        )

    def _finish_without_script(
        self, reason: str, code: int, signal_number: int | None, cause: str | None = None
    ) -> int:
        from trainer.processes import end_descendants
        from trainer.report import Report

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        end_descendants()
        self._console.say(reason)
        report = Report(self._spec.job_id, self._spec.attempt, self._spec.prefix)
        report.code = code
        report.signal = signal_number
        report.reason = reason[:1024]
        report.cause = cause
        report.ended_at = time.time()
        if self._tracking is not None:
            self._tracking.finish("KILLED" if signal_number else "FAILED", seconds=0.0)
            report.run = self._tracking.identity()
        return report.deliver(self._s3, self._layout, self._console)

    def _scratch(self, name: str) -> Path:
        return self._layout.root / ".agent" / name


def _read_spec(s3: S3Client, environ: Mapping[str, str]) -> Spec:
    uri = environ.get("AIMATRIX_SPEC_URI")
    if not uri:
        raise SpecError("AIMATRIX_SPEC_URI is not set")
    return Spec.parse(s3.get(S3Uri.parse(uri), limit=SIZE_LIMIT))


def _fail_early(
    layout: Layout, console: Console, reason: str, code: int, s3: S3Client | None, environ: Mapping[str, str]
) -> int:
    """Without a spec, its address tells whose manifest it is and where it goes."""
    from trainer.report import Report, write_failure

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    console.say(reason)
    named = _attempt_of(environ.get("AIMATRIX_SPEC_URI", ""))
    if s3 is None or named is None:
        write_failure(layout, reason)
        return code
    report = Report(*named)
    report.code = code
    report.signal = code - 128 if code > 128 else None
    report.reason = reason[:1024]
    report.ended_at = time.time()
    return report.deliver(s3, layout, console)


def _attempt_of(spec_uri: str) -> tuple[str, int, S3Uri] | None:
    """Job, attempt and prefix of `s3://.../jobs/<job>/attempt-<n>/spec.json`."""
    prefix, _, name = spec_uri.rpartition("/")
    parts = prefix.split("/")
    number = parts[-1].removeprefix("attempt-")
    if not prefix.startswith("s3://") or name != "spec.json" or len(parts) < 5 or not number.isdecimal():
        return None
    return parts[-2], int(number), S3Uri.parse(prefix)


def _stop(number: int, _frame: object) -> None:
    raise Stopped(number)
