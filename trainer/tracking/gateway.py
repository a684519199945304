"""What happens to each request of the script's MLflow client, apart from sockets."""

from __future__ import annotations

import json
import re
import threading
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from trainer.tracking.spool import Spool, Write
from trainer.tracking.upstream import Unreachable, Upstream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trainer.console import Console
    from trainer.tracking.observer import Observer
    from trainer.tracking.run import JobRun

# Both prefixes that MLflow's server knows, in any version of the API.
_CALL = re.compile(r"^/(?:ajax-)?api/\d+\.\d+/mlflow/(?P<name>[^?]+)")
_BODY_LIMIT = 16 * 1024 * 1024
RETRY_AFTER_SECONDS = 2
# Writes that the script needs no answer to: they may wait while the server is away.
_SPOOLED = frozenset(
    {
        "runs/log-batch", "runs/log-inputs", "runs/log-metric", "runs/log-model", "runs/log-parameter", "runs/outputs",
        "runs/delete-tag", "runs/set-tag", "runs/update",
    }
)  # fmt: skip


class Answer(NamedTuple):
    """An HTTP answer, complete."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Gateway:
    """Answers requests, itself or by asking the server.

    Args:
        upstream: The server.
        run: The job's run.
        spool: Where writes wait.
        observer: Told of every accepted write.
        parameters: What the agent has logged as the run's parameters, as text.
        console: Told of what is lost.
    """

    def __init__(
        self,
        upstream: Upstream,
        run: JobRun,
        spool: Spool,
        observer: Observer,
        *,
        parameters: Mapping[str, str],
        console: Console,
    ) -> None:
        self.upstream = upstream
        self._run = run
        self._spool = spool
        self._observer = observer
        self._parameters = parameters
        self._console = console
        self._adopted = False
        self._lock = threading.Lock()

    @staticmethod
    def is_buffered(target: str, length: int) -> bool:
        """Whether `answer` wants the request, with its body; anything else is streamed."""
        return _CALL.match(target) is not None and length <= _BODY_LIMIT

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answers a call of the REST API.

        Raises:
            Unreachable: the server is away, and the call can't wait.
        """
        match = _CALL.match(target)
        name = match.group("name") if match else ""
        if method == "GET":
            return self._read(name, target, headers)
        body = _inflated(headers, body)
        document = _parse(body)
        if document is None:
            return self._forward(method, target, headers, body)
        if self._console.mask is not None:
            document = self._console.mask.document(document)
            body = json.dumps(document).encode()
        if name == "experiments/create":
            self._note_experiment(document.get("name"))
            return _json({"experiment_id": self._run.experiment_id})
        if name == "runs/create":
            return self._create_run(method, target, headers, document)
        if name not in _SPOOLED:
            answer = self._forward(method, target, headers, body)
            if answer.status < 300:
                self._observer.accepted(name, document, answer.body)
            return answer
        if self._run.is_me(document.get("run_id") or document.get("run_uuid")):
            self._keep_ours(name, document)
        return self._write(method, target, name, document)

    def enqueue(self, name: str, document: Mapping[str, Any]) -> None:
        """A write of the agent's own: it goes through the spool, so that nobody waits for the network."""
        self._append(Write("POST", f"/api/2.0/mlflow/{name}", json.dumps(document).encode()))

    def translate(self, target: str) -> str:
        """A request's target with the run's real ids."""
        return self._run.translate(target.encode("latin-1")).decode("latin-1")

    def replay(self, write: Write) -> None:
        """Sends one waiting write.

        Raises:
            Unreachable: the server is away.
        """
        target = self.translate(write.target)
        body = self._run.translate(write.body)
        status, answer = self.upstream.exchange(write.method, target, {"Content-Type": "application/json"}, body)
        if status >= 400:
            self._console.say(f"MLflow refused {write.target} ({status}): {answer[:300].decode('utf-8', 'replace')}")

    def _read(self, name: str, target: str, headers: Mapping[str, str]) -> Answer:
        if name == "experiments/get-by-name":
            path = target.partition("?")[0]
            target = f"{path}?experiment_name={quote(self._run.experiment_name, safe='')}"
        try:
            if not self._run.is_open:
                raise Unreachable("the job's run is not open yet")
            return self._forward("GET", target, headers, b"")
        except Unreachable:
            query = target.partition("?")[2]
            if name == "experiments/get-by-name" or (name == "experiments/get" and self._run.experiment_id in query):
                return _json({"experiment": self._run.experiment_document()})
            if name == "runs/get" and any(self._run.is_me(part.partition("=")[2]) for part in query.split("&")):
                return _json({"run": self._run.document()})
            raise

    def _create_run(self, method: str, target: str, headers: Mapping[str, str], document: dict[str, Any]) -> Answer:
        """The first run without a parent is the job's; see the package's docstring."""
        tags = [tag for tag in document.get("tags") or [] if isinstance(tag, dict)]
        has_parent = any(tag.get("key") == "mlflow.parentRunId" for tag in tags)
        with self._lock:
            adopt = not has_parent and not self._adopted
            self._adopted = self._adopted or adopt
        if adopt:
            kept = [tag for tag in tags if tag.get("key") != "mlflow.runName"]
            if kept:
                batch = {"run_id": self._run.run_id, "tags": kept}
                self._write("POST", "/api/2.0/mlflow/runs/log-batch", "runs/log-batch", batch)
            return _json({"run": self._run.document()})
        if not has_parent:
            document["tags"] = [*tags, {"key": "mlflow.parentRunId", "value": self._run.run_id}]
        document["experiment_id"] = self._run.experiment_id
        return self._forward(method, target, headers, json.dumps(document).encode())

    def _keep_ours(self, name: str, document: dict[str, Any]) -> None:
        self._adopted = True
        if name == "runs/update":
            document.pop("run_name", None)
            return
        params = [document] if name == "runs/log-parameter" else document.get("params") or []
        for param in params:
            if isinstance(param, dict) and self._parameters.get(str(param.get("key")), param.get("value")) != param.get(
                "value"
            ):
                param["key"] = f"script.{param['key']}"

    def _write(self, method: str, target: str, name: str, document: dict[str, Any]) -> Answer:
        body = json.dumps(document).encode()
        if self._run.is_open and len(self._spool) == 0:
            try:
                answer = self._forward(method, target, {"Content-Type": "application/json"}, body)
            except Unreachable:
                self._console.say("the MLflow server is away: what the script logs waits until it is back")
            else:
                if answer.status < 300:
                    self._observer.accepted(name, document, answer.body)
                return answer
        self._append(Write(method, target, body))
        self._observer.accepted(name, document, b"")
        return _json({"run_info": self._run.document()["info"]} if name == "runs/update" else {})

    def _append(self, write: Write) -> None:
        if not self._spool.append(write) and self._spool.dropped == 1:
            self._console.say("the MLflow server has been away for too long: what is logged from here on is lost to it")

    def _forward(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        target = self.translate(target)
        sent = {
            name: value for name, value in headers.items() if name.lower() in {"content-type", "accept", "user-agent"}
        }
        status, answer = self.upstream.exchange(method, target, sent, self._run.translate(body))
        return Answer(status, [("Content-Type", "application/json")], answer)

    def _note_experiment(self, name: object) -> None:
        self._console.say(f"mlflow: the experiment {name!r} is this job's own, {self._run.experiment_name!r}")


def _inflated(headers: Mapping[str, str], body: bytes) -> bytes:
    """The body as it was before the client compressed it: ids are translated in it, and it goes on without the header."""
    encoding = {name.lower(): value for name, value in headers.items()}.get("content-encoding", "").lower()
    if encoding not in {"gzip", "deflate"}:
        return body
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, _BODY_LIMIT)
    except zlib.error:
        return body


def _parse(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _json(document: Mapping[str, Any]) -> Answer:
    return Answer(200, [("Content-Type", "application/json")], json.dumps(document).encode())
