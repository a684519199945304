"""Lambda functions run by lean workers of ours instead of ministack's own.

ministack extracts the zip and imports the libraries again for every worker, starts one for every invocation that finds
the others busy, gives it all of the launcher's packages and environment, waits 50 ms after an invocation that logged
nothing and 5 ms after one that did, and keeps the first worker of a function for ever. Here the code is extracted once,
workers are forked from a process that has the libraries, the environment is named, the end of a log is marked, an
exception keeps its type and does not end the worker, and a worker that had nothing to do for a while is ended.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import logging
import os
import queue
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from chalicelib.settings import LOOPBACK_WEBHOOK_PORTS
from localcloud.seam import worker
from localcloud.seam.breeder import Breeder, Forked
from localcloud.seam.interpreter import build
from localcloud.seam.pool import Pool

logger = logging.getLogger(__name__)

IDLE_SECONDS = 120.0
BACKGROUND_NICENESS = 5
# A worker that was killed in the middle of an invocation leaves no mark; its log is given up after this long.
LOG_SECONDS = 0.25
# What a worker inherits from the AWS services' process; the rest is told by the function's configuration.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", LOOPBACK_WEBHOOK_PORTS)
_ENDPOINTS = "AWS_ENDPOINT_URL"

_extraction = threading.Lock()


def install(directory: Path) -> Callable[[], None]:
    """Make ministack run Python functions by `Worker`.

    Args:
        directory: where the interpreter and the extracted code are kept.

    Returns:
        what ends every worker.
    """
    pool = Pool()
    farm = Farm(directory)

    class BoundWorker(Worker):
        pool_of = pool
        farm_of = farm

    provided = lambda_runtime._worker_class_for
    lambda_runtime._worker_class_for = lambda config: (
        BoundWorker if str(config.get("Runtime", "")).startswith("python") else provided(config)
    )
    lambda_svc.acquire_worker = lambda_runtime.acquire_worker = pool.acquire
    lambda_svc.release_worker = lambda_runtime.release_worker = pool.release
    lambda_svc.reap_idle_workers = reap_idle
    lambda_svc._execute_function_warm = with_error_types(lambda_svc._execute_function_warm)

    def close() -> None:
        reap_idle(ttl=-1)
        farm.close()

    return close


class Farm:
    """Extracted code, and the process that forks workers of it."""

    def __init__(self, directory: Path) -> None:
        self._code = directory / "code"
        self._interpreter = build(directory / "python")
        self._lock = threading.Lock()
        self._breeders: dict[Path, Breeder] = {}

    def fork(self, config: Mapping[str, Any], code_zip: bytes) -> tuple[Forked, Path]:
        """A new worker of a function, and the directory of its code."""
        code = extract(code_zip, self._code)
        variables = environment(config, code, os.environ)
        with self._lock:
            breeder = self._breeders.get(code)
            if breeder is None or not breeder.alive:
                inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
                breeder = self._breeders[code] = Breeder(self._interpreter, code, inherited)
        return breeder.fork(variables), code

    def close(self) -> None:
        with self._lock:
            while self._breeders:
                self._breeders.popitem()[1].close()


class Worker(lambda_runtime.Worker):  # type: ignore[misc]  # ministack is untyped
    """One execution environment of one function."""

    pool_of: Pool
    farm_of: Farm

    def _spawn(self) -> None:
        self.pool_of.begin_start()
        try:
            self._start()
        finally:
            self.pool_of.end_start()

    def _start(self) -> None:
        config: Mapping[str, Any] = self.config
        process, code = self.farm_of.fork(config, self.code_zip)
        if not is_interactive(self.func_name):
            os.setpriority(os.PRIO_PROCESS, process.pid, BACKGROUND_NICENESS)
        module, _, handler = config.get("Handler", "index.handler").rpartition(".")
        self._proc = process
        self._stderr_queue: queue.Queue[str] = queue.Queue()
        self._stderr_thread = threading.Thread(target=self._read_stderr, daemon=True, name=f"stderr-{self.func_name}")
        self._stderr_thread.start()
        init = {
            "code_dir": str(code),
            "module": module.replace("/", "."),
            "handler": handler,
            "function_name": config.get("FunctionName", ""),
            "memory": config.get("MemorySize", 128),
            "arn": config.get("FunctionArn", ""),
        }
        process.stdin.write(json.dumps(init) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        response = json.loads(answer) if answer else {"error": self._drain_stderr_bounded()}
        if response.get("status") != "ready":
            process.kill()
            process.wait()
            raise RuntimeError(f"Worker init failed: {response['error']}")
        self._start_time = time.time()

    def _drain_stderr_bounded(self, *_waits: float) -> str:
        """The log of the invocation that has just ended, up to its mark."""
        lines = []
        deadline = time.monotonic() + LOG_SECONDS
        while True:
            try:
                line = self._stderr_queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if line == worker.END_OF_LOG:
                break
            lines.append(line)
        return "\n".join(lines)


def is_interactive(name: str) -> bool:
    """Whether API Gateway may call a function: then somebody waits for its answer, and the others can wait a little."""
    function = lambda_svc._functions.get(name) or {}
    principals = [statement.get("Principal") for statement in function.get("policy", {}).get("Statement", [])]
    return any(isinstance(p, dict) and p.get("Service") == "apigateway.amazonaws.com" for p in principals)


def extract(code_zip: bytes, root: Path) -> Path:
    """The directory that holds a zip's content; workers of the same code share it, and the bytecode beside it."""
    target = root / hashlib.sha256(code_zip).hexdigest()[:32]
    with _extraction:
        if target.is_dir():
            return target
        incoming = root / f"incoming-{os.getpid()}"
        archive = root / f"{target.name}.zip"
        incoming.mkdir(parents=True, exist_ok=True)
        archive.write_bytes(code_zip)
        with zipfile.ZipFile(archive) as content:
            content.extractall(incoming)
        archive.unlink()
        incoming.rename(target)
    return target


def environment(config: Mapping[str, Any], code: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """All that a worker has in its environment.

    Args:
        environ: the environment of the AWS services' process.
    """
    variables = config.get("Environment", {}).get("Variables", {})
    _account, region = lambda_runtime._account_region_from_function_config(config)
    inherited = {name: environ[name] for name in _INHERITED if name in environ}
    endpoints = {name: value for name, value in environ.items() if name.startswith(_ENDPOINTS)}
    return {
        **inherited,
        _ENDPOINTS: f"http://127.0.0.1:{environ['GATEWAY_PORT']}",
        **endpoints,
        **{name: value for name, value in variables.items() if name not in lambda_runtime._RESERVED_RUNTIME_ENV_VARS},
        **lambda_runtime.execution_credentials(config),
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_LAMBDA_FUNCTION_NAME": config.get("FunctionName", ""),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.get("MemorySize", 128)),
        "AWS_LAMBDA_FUNCTION_VERSION": config.get("Version", "$LATEST"),
        "AWS_LAMBDA_LOG_STREAM_NAME": hashlib.sha256(os.urandom(16)).hexdigest()[:32],
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{config.get('Runtime', 'python')}",
        "LAMBDA_TASK_ROOT": str(code),
        # Without it urllib's and pip's user directory would open a side door to packages that are not in the zip.
        "PYTHONNOUSERSITE": "1",
    }


def reap_idle(ttl: float = IDLE_SECONDS) -> int:
    """End every worker that had nothing to do for `ttl` seconds; the next invocation starts one again."""
    now = time.time()
    ended = []
    with lambda_runtime._lock:
        for key, workers in list(lambda_runtime._workers.items()):
            idle = [w for w in workers if not w.in_use and now - w.last_used >= ttl]
            ended += idle
            left = [w for w in workers if w not in idle]
            if left:
                lambda_runtime._workers[key] = left
            else:
                del lambda_runtime._workers[key]
    lambda_runtime.kill_workers(ended)
    return len(ended)


def with_error_types(execute: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Let a failed invocation answer what AWS answers: the exception's own type, message and stack.

    A handler that raises has come back as a result, so that ministack lets its worker live.
    """

    @functools.wraps(execute)
    def wrapper(*arguments: Any, **named: Any) -> dict[str, Any]:
        result = execute(*arguments, **named)
        body = result.get("body")
        if isinstance(body, dict) and set(body) == {worker.RAISED}:
            return {**result, "body": json.loads(body[worker.RAISED]), "error": True}
        if result.get("error") and isinstance(body, dict):
            message = str(body.get("errorMessage", "")).removeprefix("Worker init failed: ")
            try:
                described = json.loads(message)
            except ValueError:
                return result
            if isinstance(described, dict) and "errorType" in described:
                result["body"] = described
        return result

    return wrapper


def warm(names: list[str]) -> list[str]:
    """Start a worker for each of these functions unless it has one; returns the names of those that now have."""
    started = []
    for name in names:
        function, config, _ = lambda_svc._get_func_record_for_ref(name)
        if not function or not config or not function.get("code_zip"):
            continue
        leased, _reason = lambda_svc.acquire_worker(name, config, _bytes(function["code_zip"]))
        try:
            lambda_runtime.ensure_spawned(leased)
            started.append(name)
        finally:
            lambda_svc.release_worker(leased)
    return started


def _bytes(code: bytes | str) -> bytes:
    return code if isinstance(code, bytes) else base64.b64decode(code)
