"""The part of an MLflow server's REST API that the agent and a script's client use, in memory; it can go away."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class FakeMlflow:
    """Keeps its port while it is away, so that it can come back under the same address."""

    def __init__(self) -> None:
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.artifacts: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def come(self) -> None:
        fake = self

        class Handler(_Handler):
            mlflow = fake

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def go(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None

    def calls(self, name: str) -> list[Any]:
        """The bodies of all calls of one name, oldest first."""
        return [request.document for request in self.requests if request.path.endswith(f"/mlflow/{name}")]

    def answer(self, request: Request) -> tuple[int, Any]:
        name = request.path.partition("/mlflow/")[2].partition("?")[0]
        query = {key: values[0] for key, values in parse_qs(urlsplit(request.path).query).items()}
        with self.lock:
            if name == "experiments/get-by-name":
                wanted = query["experiment_name"]
                if wanted not in self.experiments:
                    return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}
                return 200, {"experiment": {"experiment_id": self.experiments[wanted], "name": wanted}}
            if name == "experiments/create":
                number = str(len(self.experiments) + 1)
                self.experiments[request.document["name"]] = number
                return 200, {"experiment_id": number}
            if name == "runs/create":
                run_id = f"{len(self.runs) + 1:032x}"
                info = {"run_id": run_id, "artifact_uri": f"mlflow-artifacts:/1/{run_id}/artifacts"}
                self.runs[run_id] = {"info": {**request.document, **info}, "params": {}, "metrics": [], "tags": {}}
                return 200, {"run": {"info": {**info, "experiment_id": request.document["experiment_id"]}}}
            if name == "runs/get":
                return (200, {"run": self.runs[query["run_id"]]}) if query["run_id"] in self.runs else (404, {})
            if name.startswith("runs/"):
                return self._change(name, request.document)
        return 404, {"error_code": "ENDPOINT_NOT_FOUND"}

    def _change(self, name: str, document: dict[str, Any]) -> tuple[int, Any]:
        run = self.runs.get(document["run_id"])
        if run is None:
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}
        if name == "runs/update":
            run["info"].update(document)
        elif name == "runs/set-tag":
            run["tags"][document["key"]] = document["value"]
        elif name == "runs/log-metric":
            run["metrics"].append((document["key"], document["value"], document.get("step", 0)))
        elif name == "runs/log-parameter":
            run["params"][document["key"]] = document["value"]
        elif name == "runs/log-batch":
            run["metrics"] += [(m["key"], m["value"], m.get("step", 0)) for m in document.get("metrics", [])]
            run["params"].update({p["key"]: p["value"] for p in document.get("params", [])})
            run["tags"].update({t["key"]: t["value"] for t in document.get("tags", [])})
        return 200, {}


@contextmanager
def serve_mlflow() -> Iterator[FakeMlflow]:
    """Runs a fake MLflow server on a free port."""
    fake = FakeMlflow()
    fake.come()
    try:
        yield fake
    finally:
        fake.go()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    mlflow: FakeMlflow

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        self.mlflow.requests.append(request)
        if "/mlflow-artifacts/" in self.path:
            self._artifact(request)
            return
        status, document = self.mlflow.answer(request)
        self._send(status, json.dumps(document).encode())
        # A server that goes away takes its kept connections with it.
        self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - names of http.server

    def _artifact(self, request: Request) -> None:
        if request.method == "PUT":
            self.mlflow.artifacts[request.path] = request.body
            self._send(200, b"{}")
        else:
            self._send(200, self.mlflow.artifacts[request.path], chunked=True)

    def _send(self, status: int, body: bytes, *, chunked: bool = False) -> None:
        self.send_response_only(status)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for start in range(0, len(body), 100_000):
                piece = body[start : start + 100_000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Tests read `requests`."""
