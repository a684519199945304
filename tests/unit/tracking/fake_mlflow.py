"""MLflow's registry in memory, behind the same REST calls, with answers that can be lost."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from chalicelib.tracking.address import TrackingAddress
from chalicelib.tracking.client import Answer, ConnectionFailed, TrackingClient
from chalicelib.tracking.registry import TrackingRegistry

Json = dict[str, Any]


@dataclass
class FakeMlflow:
    """
    Attributes:
        troubles: what happens to the next calls of a path, in order: a status to answer with, `lost` for a call that
            never arrives, `answer lost` for one that is carried out and not heard of.
    """

    models: dict[str, Json] = field(default_factory=dict)
    versions: list[Json] = field(default_factory=list)
    logged_models: dict[str, Json] = field(default_factory=dict)
    troubles: dict[str, list[int | str]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def registry(self) -> TrackingRegistry:
        return TrackingRegistry(self.client())

    def client(
        self, uri: str = "http://127.0.0.1:5000", sign: Callable[..., Mapping[str, str]] | None = None
    ) -> TrackingClient:
        def unsigned(*arguments: Any) -> Mapping[str, str]:
            raise AssertionError("signed a request for a server that takes unsigned ones")

        return TrackingClient(
            TrackingAddress.parse(uri), self.send, sign or unsigned, self.pauses.append, lambda _low, high: high
        )

    def send(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        parts = urlsplit(url)
        path = parts.path.removeprefix("/api/2.0/mlflow/")
        self.calls.append(f"{method} {path}")
        self.headers.append(headers)
        trouble = self.troubles[path].pop(0) if self.troubles.get(path) else None
        if trouble == "lost":
            raise ConnectionFailed("ConnectTimeoutError")
        if isinstance(trouble, int):
            return Answer(trouble, b"<html>busy</html>")
        values: Json = json.loads(body) if body else {name: found[0] for name, found in parse_qs(parts.query).items()}
        answer = self._carry_out(path, values)
        if trouble == "answer lost":
            raise ConnectionFailed("ReadTimeoutError")
        return answer

    def _carry_out(self, path: str, values: Json) -> Answer:
        match path.split("/"):
            case ["registered-models", "create"]:
                if values["name"] in self.models:
                    return _refusal(400, "RESOURCE_ALREADY_EXISTS")
                self.models[values["name"]] = {"aliases": {}}
                return _answer({"registered_model": {"name": values["name"]}})
            case ["registered-models", "alias"]:
                if values["alias"] == "latest":
                    return _refusal(400, "INVALID_PARAMETER_VALUE")
                self.models[values["name"]]["aliases"][values["alias"]] = values["version"]
                return _answer({})
            case ["model-versions", "create"]:
                return self._create_version(values)
            case ["model-versions", "set-tag"]:
                version = next(
                    each
                    for each in self.versions
                    if (each["name"], each["version"]) == (values["name"], values["version"])
                )
                version["tags"].append({"key": values["key"], "value": values["value"]})
                return _answer({})
            case ["model-versions", "search"]:
                return self._search(values)
            case ["logged-models", model_id] if model_id in self.logged_models:
                return _answer({"model": {"info": self.logged_models[model_id]}})
            case ["logged-models", _]:
                return _refusal(404, "RESOURCE_DOES_NOT_EXIST")
        return _refusal(404, "ENDPOINT_NOT_FOUND")

    def _create_version(self, values: Json) -> Answer:
        if values["name"] not in self.models:
            return _refusal(404, "RESOURCE_DOES_NOT_EXIST")
        number = 1 + sum(each["name"] == values["name"] for each in self.versions)
        self.versions.append({"tags": [], **values, "version": str(number)})
        return _answer({"model_version": self.versions[-1]})

    def _search(self, values: Json) -> Answer:
        wanted = dict(re.findall(r"([\w.`]+?)='([^']*)'", values["filter"].replace("`", "")))
        found = [
            version
            for version in self.versions
            if all(_attribute(version, key) == value for key, value in wanted.items())
        ]
        if values.get("order_by") == "version_number DESC":
            found.sort(key=lambda version: int(version["version"]), reverse=True)
        return _answer({"model_versions": found[: int(values["max_results"])]} if found else {})


def _attribute(version: Json, key: str) -> Any:
    if key.startswith("tags."):
        return next((tag["value"] for tag in version["tags"] if tag["key"] == key.removeprefix("tags.")), None)
    return version.get(key)


def _answer(document: Json) -> Answer:
    return Answer(200, json.dumps(document).encode())


def _refusal(status: int, code: str) -> Answer:
    return Answer(status, json.dumps({"error_code": code, "message": "no"}).encode())
