"""A service in memory, spoken to through httpx: the wire contract, and the faults a network adds to it."""

from __future__ import annotations

import json
import random
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from aimatrix.client import Client, Connection, RetryPolicy
from tests.unit.client.fake_quotas import FakeQuotas

API = "https://service.test/api/v1"
STORE = "https://store.test"
TOKEN = "good-token"
KEY = f"aimx_{'1' * 16}_{'a' * 64}"

JOB_ID = "0b7c3c1e-0000-4000-8000-000000000001"
MODEL_ID = "0b7c3c1e-0000-4000-8000-000000000002"
DEPLOYMENT_ID = "0b7c3c1e-0000-4000-8000-000000000003"


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.sleeps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.seconds += seconds

    def monotonic(self) -> float:
        return self.seconds


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one matching exchange.

    Attributes:
        handled: the service did its work, and only the answer was lost.
    """

    method: str
    path: str
    error: BaseException | httpx.Response
    handled: bool = False

    def matches(self, request: httpx.Request) -> bool:
        return request.method == self.method and re.search(self.path, str(request.url)) is not None


def problem(
    status: int, code: str = "some-code", detail: str = "no", headers: Mapping[str, str] | None = None, **more: Any
) -> httpx.Response:
    document = {"type": "about:blank", "title": "No", "status": status, "code": code, "detail": detail, **more}
    return httpx.Response(
        status, json=document, headers={"Content-Type": "application/problem+json", **(headers or {})}
    )


def job_document(job_id: str = JOB_ID, **changes: Any) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "name": "wine",
        "status": "pending",
        "created_at": "2031-05-01T10:00:00.000Z",
        "estimated_duration": "PT5M",
        "resource_allocation": {"instance_type": "ml.m5.large", "price_per_hour_usd": "0.115", "gpu_count": 0},
        **changes,
    }


def model_document(model_id: str = MODEL_ID, **changes: Any) -> dict[str, Any]:
    return {
        "id": model_id,
        "name": "wine",
        "version": "1",
        "framework": "sklearn",
        "status": "ready",
        "created_at": "2031-05-01T10:01:00.000Z",
        "training_job_id": JOB_ID,
        "metrics": {"accuracy": 0.97},
        "artifacts": [],
        "servable": True,
        "mlflow": {"name": "wine", "version": "1", "run_id": "r"},
        **changes,
    }


def deployment_document(deployment_id: str = DEPLOYMENT_ID, **changes: Any) -> dict[str, Any]:
    return {
        "id": deployment_id,
        "model_id": MODEL_ID,
        "name": "wine",
        "environment": "development",
        "status": "deploying",
        "endpoint": f"{API}/deployments/{deployment_id}/invocations",
        "revision": 1,
        "created_at": "2031-05-01T10:02:00.000Z",
        **changes,
    }


def log_lines(*messages: str) -> list[dict[str, Any]]:
    return [
        {"timestamp": "2031-05-01T10:00:30.000Z", "level": "INFO", "message": each, "source": "script", "context": {}}
        for each in messages
    ]


def point(name: str, value: float | str, step: int = 0, second: int = 0) -> dict[str, Any]:
    return {"name": name, "value": value, "step": step, "timestamp": f"2031-05-01T10:00:{second:02d}.000Z"}


@dataclass
class FakeService(FakeQuotas):
    """Answers as the service would; a test sets what it holds and which faults come next.

    Attributes:
        stages: what GET answers for a job, one after the other; the last one stays.
        log: pages of lines; the cursor is the number of pages read.
        audit: rows in the order of the chain.
        audit_head: where the log ends; with the last row, if None.
        scaled_to_zero: the environments whose deployments have no instances unless they ask for some.
        page_size: of every listing.
    """

    stages: dict[str, deque[dict[str, Any]]] = field(default_factory=dict)
    log: list[list[dict[str, Any]]] = field(default_factory=list)
    log_ends: bool = True
    points: list[dict[str, Any]] = field(default_factory=list)
    models: list[dict[str, Any]] = field(default_factory=list)
    deployments: dict[str, deque[dict[str, Any]]] = field(default_factory=dict)
    audit: list[dict[str, Any]] = field(default_factory=list)
    audit_head: dict[str, Any] | None = None
    predictions: Any = field(default_factory=lambda: {"predictions": [0]})
    receipts: dict[str, dict[str, Any]] = field(default_factory=dict)
    public_key: str = ""
    usage: list[dict[str, Any]] = field(default_factory=list)
    summaries: list[dict[str, Any]] = field(default_factory=list)
    stats: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    lineage: dict[str, dict[str, Any]] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    scaled_to_zero: set[str] = field(default_factory=lambda: {"development"})
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    api_keys: list[dict[str, Any]] = field(default_factory=list)
    page_size: int = 2
    faults: list[Fault] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    submitted: dict[str, dict[str, Any]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        with self._lock:
            self.requests.append(request)
            fault = next((each for each in self.faults if each.matches(request)), None)
            if fault is not None:
                self.faults.remove(fault)
                if fault.handled:
                    self._answer(request)
                if isinstance(fault.error, BaseException):
                    raise fault.error
                return fault.error
            return self._answer(request)

    def bodies(self, method: str, path: str) -> list[Any]:
        """What was sent to a path, in order."""
        return [
            json.loads(request.content)
            for request in self.requests
            if request.method == method and request.url.path.endswith(path)
        ]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "store.test":
            return self._store(request)
        token, key = request.headers.get("authorization"), request.headers.get("x-api-key")
        if key != KEY if token is None else key or token not in {f"Bearer {each}" for each in self.tokens}:
            return problem(401, "unauthenticated", "who are you?")
        path = request.url.path.removeprefix("/api/v1")
        for method, pattern, handler in self._routes():
            match = re.fullmatch(pattern, path)
            if match and re.fullmatch(method, request.method):
                return handler(request, *match.groups())
        return problem(404, "not-found", f"no {path}")

    def _routes(self) -> Iterable[tuple[str, str, Callable[..., httpx.Response]]]:
        return (
            ("POST", "/uploads", self._upload),
            ("POST", "/training/jobs", self._submit),
            ("GET", "/training/jobs", self._list_jobs),
            ("GET", "/training/jobs/([^/]+)", self._get_job),
            ("DELETE", "/training/jobs/([^/]+)", self._cancel),
            ("DELETE", "/admin/training/jobs/([^/]+)", self._delete),
            ("GET", "/training/jobs/([^/]+)/logs", self._logs),
            ("GET", "/training/jobs/([^/]+)/metrics", self._metrics),
            ("GET", "/training/jobs/([^/]+)/receipt", self._receipt),
            ("GET", "/receipts/public-key", lambda _: httpx.Response(200, json={"public_key": self.public_key})),
            ("GET", "/usage", self._usage),
            ("GET", "/usage/summary", lambda _: httpx.Response(200, json={"summaries": self.summaries})),
            ("GET", "/stats/([^/]+)", self._stats),
            ("GET", "/lineage/([^/]+)", self._lineage),
            ("GET", "/models", self._list_models),
            ("POST", "/models", self._register),
            ("GET", "/models/([^/]+)", self._get_model),
            ("PATCH", "/models/([^/]+)", self._change_model),
            ("POST", "/models/([^/]+)/deploy", self._deploy),
            ("GET", "/deployments", self._list_deployments),
            ("GET", "/deployments/([^/]+)", self._get_deployment),
            ("DELETE", "/deployments/([^/]+)", self._undeploy),
            ("POST", "/deployments/([^/]+)/invocations", self._invoke),
            ("GET", "/environments/([^/]+)", self._get_environment),
            ("GET", "/admin/audit", lambda request: self._page(request, "rows", self.audit[::-1])),
            ("GET", "/admin/audit/chain", self._chain),
            *self.quota_routes(),
            ("GET", "/admin/quotas/users", lambda request: self._page(request, "quotas", list(self.quotas.values()))),
            ("POST", "/api-keys", self._create_key),
            ("GET", "/api-keys", lambda request: self._page(request, "api_keys", self.api_keys)),
            ("GET", "/api-keys/([^/]+)", self._get_key),
            ("DELETE", "/api-keys/([^/]+)", self._revoke_key),
            ("GET", "/health", lambda _: httpx.Response(200, json={"status": "ok"})),
        )

    def _store(self, request: httpx.Request) -> httpx.Response:
        if "authorization" in request.headers:
            return httpx.Response(400, text="two ways to authenticate")
        if request.headers.get("content-length") != str(len(request.content)):
            return httpx.Response(411)
        self.objects[request.url.path.lstrip("/")] = request.content
        return httpx.Response(200)

    def _upload(self, request: httpx.Request) -> httpx.Response:
        files = [
            {
                "name": file["name"],
                "uri": f"s3://bucket/uploads/u1/{file['name']}",
                "url": f"{STORE}/uploads/u1/{file['name']}",
                "method": "PUT",
                "headers": {"Content-Length": str(file["size"])},
            }
            for file in json.loads(request.content)["files"]
        ]
        return httpx.Response(201, json={"upload_id": "u1", "expires_at": "2031-05-01T11:00:00Z", "files": files})

    def _submit(self, request: httpx.Request) -> httpx.Response:
        if request.url.params.get("dry_run") == "true":
            return httpx.Response(200, json=self.plan)
        key = request.headers.get("idempotency-key", "")
        if key not in self.submitted:
            job_id = JOB_ID if not self.submitted else f"{JOB_ID[:-4]}{len(self.submitted) + 1000}"
            self.submitted[key] = job_document(job_id, name=json.loads(request.content)["name"])
            self.stages.setdefault(job_id, deque([self.submitted[key]]))
        return httpx.Response(201, json=self.submitted[key])

    def _list_jobs(self, request: httpx.Request) -> httpx.Response:
        wanted = request.url.params.get("status")
        jobs = [stages[-1] for stages in self.stages.values() if wanted in (None, stages[-1]["status"])]
        return self._page(request, "jobs", jobs)

    def _get_job(self, _request: httpx.Request, job_id: str) -> httpx.Response:
        return self._stage(self.stages, job_id)

    def _cancel(self, _request: httpx.Request, job_id: str) -> httpx.Response:
        stages = self.stages.get(job_id)
        if stages is None:
            return problem(404, "not-found", f"no job {job_id}")
        if stages[-1]["status"] in ("completed", "failed", "cancelled"):
            return problem(409, "conflict", "it has finished")
        stages.append({**stages[-1], "status": "cancelled"})
        return httpx.Response(204)

    def _delete(self, _request: httpx.Request, job_id: str) -> httpx.Response:
        if job_id not in self.stages:
            return problem(404, "not-found", f"no job {job_id}")
        if self.stages[job_id][-1]["status"] not in ("completed", "failed", "cancelled"):
            return problem(409, "conflict", "cancel it first")
        del self.stages[job_id]
        return httpx.Response(204)

    def _logs(self, request: httpx.Request, job_id: str) -> httpx.Response:
        if job_id not in self.stages:
            return problem(404, "not-found", f"no job {job_id}")
        read = int(request.url.params.get("cursor") or 0)
        lines = self.log[read] if read < len(self.log) else []
        following = min(read + 1, len(self.log))
        body = "".join(json.dumps(line) + "\n" for line in lines)
        ended = self.log_ends and following == len(self.log)
        headers = {"X-Next-Cursor": str(following), "X-Stream-End": str(ended).lower()}
        return httpx.Response(200, text=body, headers={"Content-Type": "application/x-ndjson", **headers})

    def _metrics(self, request: httpx.Request, _job_id: str) -> httpx.Response:
        name = request.url.params.get("name")
        return self._page(request, "metrics", [each for each in self.points if name in (None, each["name"])])

    def _receipt(self, _request: httpx.Request, job_id: str) -> httpx.Response:
        found = self.receipts.get(job_id)
        return httpx.Response(200, json=found) if found else problem(404, "not-found", f"no receipt of {job_id}")

    def _usage(self, request: httpx.Request) -> httpx.Response:
        page = self._page(request, "usage", self.usage)
        if request.url.params.get("format") != "csv":
            return page
        rows = page.json()
        text = "job_id\r\n" + "".join(f"{row['job_id']}\r\n" for row in rows["usage"])
        return httpx.Response(200, text=text, headers={"X-Next-Cursor": rows["next_cursor"] or ""})

    def _stats(self, request: httpx.Request, what: str) -> httpx.Response:
        found = self.stats.get(what, [])
        if what == "frameworks":
            days = {name: request.url.params.get(name, "2031-05-01") for name in ("from", "to")}
            return httpx.Response(200, json={**days, "frameworks": found})
        return self._page(request, {"active-jobs": "jobs"}.get(what, what), found)

    def _lineage(self, _: httpx.Request, node_id: str) -> httpx.Response:
        found = self.lineage.get(node_id)
        return httpx.Response(200, json=found) if found else problem(404, "not_found", "There is no such thing.")

    def _list_models(self, request: httpx.Request) -> httpx.Response:
        return self._page(request, "models", self.models)

    def _register(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.models.insert(0, model_document(name=body["name"], framework=body["framework"]))
        return httpx.Response(201, json=self.models[0])

    def _get_model(self, _request: httpx.Request, model_id: str) -> httpx.Response:
        found = next((each for each in self.models if each["id"] == model_id), None)
        return httpx.Response(200, json=found) if found else problem(404, "not-found", f"no model {model_id}")

    def _change_model(self, request: httpx.Request, model_id: str) -> httpx.Response:
        for each in self.models:
            if each["id"] == model_id:
                each.update(json.loads(request.content))
                return httpx.Response(200, json=each)
        return problem(404, "not-found", f"no model {model_id}")

    def _deploy(self, _request: httpx.Request, model_id: str) -> httpx.Response:
        document = deployment_document(model_id=model_id)
        self.deployments.setdefault(DEPLOYMENT_ID, deque([document]))
        return httpx.Response(202, json=document)

    def _list_deployments(self, request: httpx.Request) -> httpx.Response:
        return self._page(request, "deployments", [stages[-1] for stages in self.deployments.values()])

    def _get_deployment(self, _request: httpx.Request, deployment_id: str) -> httpx.Response:
        return self._stage(self.deployments, deployment_id)

    def _undeploy(self, _request: httpx.Request, deployment_id: str) -> httpx.Response:
        stages = self.deployments[deployment_id]
        stages.append({**stages[-1], "status": "terminated"})
        return httpx.Response(202, json=stages[0])

    def _get_environment(self, _request: httpx.Request, environment: str) -> httpx.Response:
        policy = {"environment": environment, "scale_to_zero": environment in self.scaled_to_zero}
        return httpx.Response(200, json=policy)

    def _invoke(self, _request: httpx.Request, _deployment_id: str) -> httpx.Response:
        return httpx.Response(200, json=self.predictions)

    def _chain(self, request: httpx.Request) -> httpx.Response:
        last = self.audit[-1] if self.audit else {"seq": 0, "hash": "0" * 64}
        head = self.audit_head or {"seq": last["seq"], "hash": last["hash"]}
        page = self._page(request, "rows", self.audit).json()
        return httpx.Response(200, json={**page, "head": head, "waiting": 1})

    def _create_key(self, request: httpx.Request) -> httpx.Response:
        document = {**api_key_document(f"{len(self.api_keys) + 1:016x}"), **json.loads(request.content)}
        self.api_keys.insert(0, document)
        return httpx.Response(201, json={**document, "key": KEY})

    def _get_key(self, _request: httpx.Request, key_id: str) -> httpx.Response:
        found = next((key for key in self.api_keys if key["key_id"] == key_id), None)
        return httpx.Response(200, json=found) if found else problem(404, "not-found", "no such key")

    def _revoke_key(self, _request: httpx.Request, key_id: str) -> httpx.Response:
        for key in self.api_keys:
            if key["key_id"] == key_id:
                key["status"] = "revoked"
                return httpx.Response(204)
        return problem(404, "not-found", "no such key")

    def _stage(self, records: Mapping[str, deque[dict[str, Any]]], key: str) -> httpx.Response:
        stages = records.get(key)
        if stages is None:
            return problem(404, "not-found", f"no {key}")
        return httpx.Response(200, json=stages.popleft() if len(stages) > 1 else stages[0])

    def _page(self, request: httpx.Request, key: str, items: list[dict[str, Any]]) -> httpx.Response:
        start = int(request.url.params.get("cursor") or 0)
        stop = start + self.page_size
        return httpx.Response(
            200, json={key: items[start:stop], "next_cursor": str(stop) if stop < len(items) else None}
        )


def api_key_document(key_id: str = "1" * 16, **more: Any) -> dict[str, Any]:
    return {
        "key_id": key_id,
        "name": "ci",
        "user_id": "alice",
        "scopes": ["jobs:read"],
        "status": "active",
        "created_at": "2031-05-01T10:00:00.000Z",
        "expires_at": "2031-07-30T10:00:00.000Z",
        **more,
    }


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - spreads retries, guards nothing


def client_of(
    service: FakeService,
    clock: Clock | None = None,
    token: Callable[[], str | None] = lambda: TOKEN,
    policy: RetryPolicy | None = None,
    key: str | None = None,
) -> Client:
    """A client whose network is the fake service and whose time is the fake clock."""
    clock = clock or Clock()
    return Client(
        Connection(API, token, "a test", key),
        http=httpx.Client(transport=httpx.MockTransport(service)),
        policy=policy,
        sleep=clock.sleep,
        monotonic=clock.monotonic,
        rng=seeded(1),
    )
