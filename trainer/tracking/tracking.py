"""The agent's side of MLflow: opens the run, starts the proxy, replays what waited, ends the run."""

from __future__ import annotations

import functools
import os
import random
import socket
import threading
import time

from trainer.tracking.run import JobRun, Refused
from trainer.tracking.upstream import Unreachable

TYPE_CHECKING = False  # `typing` costs the agent's start 10 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trainer.console import Console
    from trainer.reporter import Point, Reporter
    from trainer.spec import Spec
    from trainer.tracking.gateway import Gateway
    from trainer.tracking.observer import LoggedModel
    from trainer.tracking.server import ProxyServer
    from trainer.tracking.upstream import Upstream

# How long the script waits for its run: a server that answers at all answers well within this.
OPEN_SECONDS = 5.0
_BACKLOG = 128
_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 5.0
_MOST_PARAMETERS = 100
_LONGEST_VALUE = 6000
_LONGEST_KEY = 250


class Tracking:
    """MLflow for one attempt.

    Made before the script is fetched: the run is opened in a thread meanwhile. `variables` waits for it, `serve` starts
    the proxy, `finish` ends the run.

    Args:
        upstream: The server.
        spec: The job.
        console: Where `run` is announced, and trouble.
        spool_directory: Where writes wait while the server is away.
    """

    def __init__(
        self,
        upstream: Upstream,
        spec: Spec,
        *,
        console: Console,
        spool_directory: Path,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._upstream = upstream
        self._spec = spec
        self._console = console
        self._spool_directory = spool_directory
        self._clock = clock
        self.run = JobRun(spec, opened=self._announce, clock=clock)
        self._token = os.urandom(24).hex()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self._gateway: Gateway | None = None
        self._server: ProxyServer | None = None
        self._spool_ready = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._open_and_replay, name="mlflow", daemon=True)
        self._thread.start()

    def variables(self) -> dict[str, str]:
        """The script's `MLFLOW_*` variables. Waits for the run, but no longer than `OPEN_SECONDS`."""
        self.run.wait(OPEN_SECONDS)
        return {
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{self._listener.getsockname()[1]}",
            "MLFLOW_TRACKING_TOKEN": self._token,
            "MLFLOW_EXPERIMENT_NAME": self.run.experiment_name,
            "MLFLOW_EXPERIMENT_ID": self.run.experiment_id,
            "MLFLOW_RUN_NAME": self._spec.run_name,
            "MLFLOW_RUN_ID": self.run.run_id,
            # The address it would print is the proxy's, and of no use to anybody after the job.
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        }

    def serve(self, reporter: Reporter) -> None:
        """Starts answering the script; imports what that takes, which is why it is called after the script's start."""
        from trainer.tracking.gateway import Gateway
        from trainer.tracking.observer import Observer
        from trainer.tracking.server import ProxyServer
        from trainer.tracking.spool import Spool

        self._spool = Spool(self._spool_directory)
        self._observer = Observer(self.run, points=reporter.points)
        parameters = {_key(name): _value(value) for name, value in self._spec.parameters.items()}
        self._gateway = Gateway(
            self._upstream, self.run, self._spool, self._observer, parameters=parameters, console=self._console
        )
        self._server = ProxyServer(self._listener, self._gateway, self._token)
        threading.Thread(target=self._server.serve_forever, name="mlflow-proxy", daemon=True).start()
        rows = [{"key": key, "value": value} for key, value in parameters.items()]
        for start in range(0, len(rows), _MOST_PARAMETERS):
            self._enqueue("runs/log-batch", {"params": rows[start : start + _MOST_PARAMETERS]})
        self._spool_ready.set()

    def log(self, points: list[Point]) -> None:
        """Logs metric values to the job's run, without waiting."""
        metrics = [
            {"key": point.name, "value": _number(point.value), "timestamp": point.at_ms, "step": point.step}
            for point in points
        ]
        self._enqueue("runs/log-batch", {"metrics": metrics})

    def logged_model(self) -> LoggedModel | None:
        """The model that the script logged to MLflow last."""
        return self._observer.logged_model() if self._gateway is not None else None

    def identity(self) -> dict[str, str] | None:
        """The run's ids, once the server has given them."""
        return {"experiment_id": self.run.experiment_id, "run_id": self.run.run_id} if self.run.is_open else None

    @property
    def upstream(self) -> Upstream:
        """The server, for downloads."""
        return self._upstream

    def finish(self, status: str, *, seconds: float) -> bytes:
        """Ends the run. Returns the writes that could not be delivered, empty if all were.

        Args:
            status: `FINISHED`, `FAILED` or `KILLED`.
            seconds: How long to wait for a server that is away.
        """
        if self._server is None:
            self._listener.close()
            self._ended.set()
            self._spool_ready.set()
            self._end_unserved(status)
            return b""
        # The proxy needs no farewell: whoever could ask it anything ended with the script.
        self._enqueue("runs/update", {"status": status, "end_time": int(self._clock() * 1000)})
        delivered = self._spool.wait_empty(seconds)
        self._ended.set()
        self._spool.close()
        if delivered:
            return b""
        rest = self._spool.rest()
        self._console.say(f"the MLflow server is still away: {len(self._spool)} writes are kept with the job's outputs")
        return rest

    def _end_unserved(self, status: str) -> None:
        """The script never started, so nothing waits for delivery but the end itself."""
        # A run that is being made at this moment would be left running for ever.
        self._thread.join(OPEN_SECONDS)
        if not self.run.is_open:
            return
        end = {"run_id": self.run.run_id, "status": status, "end_time": int(self._clock() * 1000)}
        try:
            self._upstream.call("POST", "runs/update", end)
        except Unreachable as error:
            self._console.say(str(error))

    def _announce(self, experiment_id: str, run_id: str) -> None:
        self._console.structured("run", experiment_id=experiment_id, run_id=run_id)

    def _enqueue(self, name: str, document: dict[str, object]) -> None:
        if self._gateway is not None:
            self._gateway.enqueue(name, {"run_id": self.run.run_id, **document})

    def _open_and_replay(self) -> None:
        self._persist(lambda: self.run.open(self._upstream))
        self._spool_ready.wait()
        gateway = self._gateway
        while gateway is not None:
            write = self._spool.peek()
            if write is None or not self._persist(functools.partial(gateway.replay, write)):
                return
            self._spool.pop()

    def _persist(self, action: Callable[[], None]) -> bool:
        """Repeats an action until it succeeds; false if the job has ended before."""
        pause = _FIRST_PAUSE_SECONDS
        said = False
        while not self._ended.is_set():
            try:
                action()
            except (Unreachable, Refused) as error:  # noqa: PERF203 - each round waits for the network
                if not said:
                    said = True
                    self._console.say(f"{error}; the job goes on, and MLflow is tried again")
                self._ended.wait(pause * (0.5 + random.random()))  # noqa: S311 - jitter
                pause = min(_LONGEST_PAUSE_SECONDS, 2 * pause)
            else:
                return True
        return False


def _key(name: str) -> str:
    """MLflow allows letters, digits, `_-. :/` in a name, and 250 characters."""
    return "".join(c if c.isalnum() or c in "_-. :/" else "_" for c in name)[:_LONGEST_KEY]


def _value(value: object) -> str:
    return str(value)[:_LONGEST_VALUE]


def _number(value: float) -> float | str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return value
