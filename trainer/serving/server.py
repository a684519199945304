"""Hosts an unpacked `model.tar.gz` as a SageMaker inference container does, on 127.0.0.1.

    python trainer/serving/server.py --model DIRECTORY [--port N] [--port-file FILE]

Run it by path, with the Python that has the model's framework: it needs nothing but the standard library and the
`code/inference.py` it finds. The first line of its output tells the port (`listening on 127.0.0.1:43211`); from then on
`GET /ping` answers 503 until the model is loaded and 200 afterwards, and `POST /invocations` predicts. A model that
can't be loaded ends the process with code 1. SIGTERM lets requests in progress finish.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

MAX_BODY_BYTES = 25 * 1024 * 1024  # SageMaker's limit of one real-time invocation
REQUEST_SECONDS = 60.0  # SageMaker gives a container as long to answer
READ_SECONDS = 30.0
DRAIN_SECONDS = 60.0
WORKERS = 4

ENVIRONMENT_CHOSEN = "AIMATRIX_SERVING_PYTHON"


def _load_neighbour(name: str) -> ModuleType:
    """A module beside this file, which runs by path and so belongs to no package."""
    spec = importlib.util.spec_from_file_location(f"serving_{name}", Path(__file__).with_name(f"{name}.py"))
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


logger = logging.getLogger("serving")


class Model:
    """The four functions of a `code/inference.py` and what its `model_fn` returned.

    Raises:
        Exception: Whatever the module or its `model_fn` raises.
    """

    def __init__(self, directory: Path) -> None:
        self._module = _import_inference(directory / "code" / "inference.py")
        self._model = self._module.model_fn(str(directory))

    def answer(self, body: bytes, content_type: str, accept: str) -> tuple[bytes, str]:
        """One prediction as (body, content type)."""
        data = self._module.input_fn(body, content_type)
        prediction = self._module.predict_fn(data, self._model)
        written = self._module.output_fn(prediction, accept)
        content, kind = written if isinstance(written, tuple) else (written, accept)
        if isinstance(content, str):
            content = content.encode("utf-8")
        if not isinstance(content, (bytes, bytearray)):
            raise TypeError(f"output_fn returned {type(content).__name__}, not text or bytes")
        return bytes(content), "application/json" if kind in ("", "*/*") else str(kind)


def _import_inference(path: Path) -> ModuleType:
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location("inference", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    module = importlib.util.module_from_spec(spec)
    sys.modules["inference"] = module
    spec.loader.exec_module(module)
    return module


class Server(ThreadingHTTPServer):
    """Answers from the moment it is made; predicts once `ready` was called."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, port: int, request_seconds: float = REQUEST_SECONDS, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.model: Model | None = None
        self.request_seconds = request_seconds
        self.max_body_bytes = max_body_bytes
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="predict")
        self._changed = threading.Condition()
        self._active = 0
        self.draining = False

    def ready(self, model: Model) -> None:
        self.model = model

    def predict(self, model: Model, body: bytes, content_type: str, accept: str) -> tuple[bytes, str]:
        return self._pool.submit(model.answer, body, content_type, accept).result(self.request_seconds)

    def drain(self, seconds: float) -> None:
        """Waits until no request is in progress. Requests that arrive meanwhile are still answered."""
        with self._changed:
            self.draining = True
            self._changed.wait_for(lambda: self._active == 0, timeout=seconds)

    def count(self, change: int) -> None:
        with self._changed:
            self._active += change
            self._changed.notify_all()


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "aimatrix-serving"
    sys_version = ""
    timeout = READ_SECONDS
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path != "/ping":
            self._error(HTTPStatus.NOT_FOUND, f"no such path: {self.path}")
        elif self.server.model is None or self.server.draining:
            self._error(HTTPStatus.SERVICE_UNAVAILABLE, "the model is not loaded")
        else:
            self._send(HTTPStatus.OK, b"\n", "text/plain")

    def do_POST(self) -> None:
        self.server.count(+1)
        try:
            self._invoke()
        finally:
            self.server.count(-1)

    def _invoke(self) -> None:
        body = self._read_body()
        if body is None:
            return
        model = self.server.model
        if self.path != "/invocations":
            self._error(HTTPStatus.NOT_FOUND, f"no such path: {self.path}")
        elif model is None:
            self._error(HTTPStatus.SERVICE_UNAVAILABLE, "the model is not loaded")
        else:
            self._predict(model, body)

    def _read_body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            self.close_connection = True
            self._error(HTTPStatus.LENGTH_REQUIRED, "Content-Length is missing")
            return None
        most = self.server.max_body_bytes
        if int(length) > most:
            self.close_connection = True
            self._error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {most} bytes")
            return None
        return self.rfile.read(int(length))

    def _predict(self, model: Model, body: bytes) -> None:
        content_type = self.headers.get("Content-Type") or "application/json"
        accept = self.headers.get("Accept") or "application/json"
        try:
            content, kind = self.server.predict(model, body, content_type, accept)
        except FutureTimeoutError:
            self._error(HTTPStatus.GATEWAY_TIMEOUT, f"no answer within {self.server.request_seconds:g} s")
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything; it ends this request only
            self._failed(error)
        else:
            self._send(HTTPStatus.OK, content, kind)

    def _failed(self, error: Exception) -> None:
        status = getattr(error, "status_code", None)
        if isinstance(status, int) and 400 <= status < 500:
            self._error(HTTPStatus(status), str(error))
            return
        logger.error("prediction failed", exc_info=error)
        lines = str(error).splitlines() or [""]
        self._error(HTTPStatus.INTERNAL_SERVER_ERROR, f"prediction failed: {type(error).__name__}: {lines[0][:500]}")

    def _error(self, status: HTTPStatus, message: str) -> None:
        self._send(status, json.dumps({"error": message}).encode(), "application/json")

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.server.draining or self.close_connection:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        if self.path != "/ping":
            super().log_request(code, size)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Hosts an unpacked model.tar.gz behind /ping and /invocations.")
    parser.add_argument("--model", required=True, type=Path, help="directory that model.tar.gz was unpacked into")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: any free one)")
    parser.add_argument("--port-file", type=Path, help="file to write the port to, once the server listens")
    parser.add_argument("--request-seconds", type=float, default=REQUEST_SECONDS, help="longest time of one prediction")
    parser.add_argument("--max-body-bytes", type=int, default=MAX_BODY_BYTES, help="largest body of one request")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    python = _load_neighbour("environment").interpreter_for(options.model / "code" / "requirements.txt", os.environ)
    if python != sys.executable and ENVIRONMENT_CHOSEN not in os.environ:
        os.environ[ENVIRONMENT_CHOSEN] = python
        os.execv(python, [python, __file__, *arguments])  # noqa: S606 - an argument list; the same process id goes on
    with Server(options.port, options.request_seconds, options.max_body_bytes) as server:
        if options.port_file is not None:
            _write_whole(options.port_file, str(server.server_address[1]))
        print(f"listening on 127.0.0.1:{server.server_address[1]}", flush=True)
        return host(server, options.model.resolve())


def _write_whole(path: Path, text: str) -> None:
    """A reader sees the file whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def host(server: Server, directory: Path) -> int:
    """Loads the model and serves it until SIGTERM or SIGINT. Returns the exit code."""
    stop = threading.Event()

    def on_signal(*_: Any) -> None:
        stop.set()
        if server.model is None:
            os._exit(0)  # in the middle of loading, with nothing to finish

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True, name="accept").start()
    # Here, in the main thread: some frameworks refuse to be imported elsewhere.
    try:
        model = Model(directory)
    except Exception:
        logger.exception("the model could not be loaded")
        return 1
    if not stop.is_set():
        server.ready(model)
        logger.info("the model is loaded")
        stop.wait()
    server.drain(DRAIN_SECONDS)
    server.shutdown()
    return 0


if __name__ == "__main__":
    sys.path.pop(0)  # this file's own directory is no place for the model's code to find modules in
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # A framework's own threads must not keep a drained process alive.
    os._exit(code)
