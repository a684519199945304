"""Requests as API Gateway hands them to the function, after its authorizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from chalicelib.api.rest import Application, Room
from chalicelib.identity.caller import Caller


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Gateway:
    """An application of one room; paths are matched by Chalice's own routes."""

    app: Application

    @classmethod
    def of(cls, room: Room) -> Gateway:
        app = Application(app_name="test")
        app.register_blueprint(room)
        return cls(app)

    def send(
        self, caller: Caller, method: str, target: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        parts = urlsplit(target)
        resource, values = self._resource(parts.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        event = {
            "httpMethod": method,
            "path": parts.path,
            "headers": {"content-type": "application/json", **(headers or {})},
            "queryStringParameters": query or None,
            "multiValueQueryStringParameters": {name: [value] for name, value in query.items()} or None,
            "pathParameters": values or None,
            "stageVariables": None,
            "body": body if isinstance(body, str) else None if body is None else json.dumps(body),
            "isBase64Encoded": False,
            "requestContext": {
                "resourcePath": resource,
                "httpMethod": method,
                "requestId": "r-1",
                "authorizer": caller.to_context(),
            },
        }
        answer = self.app(event, None)
        headers_of_answer = answer["headers"] | {
            name: values[0] for name, values in answer["multiValueHeaders"].items()
        }
        return Response(answer["statusCode"], headers_of_answer, answer["body"])

    def _resource(self, path: str) -> tuple[str, dict[str, str]]:
        for resource in self.app.routes:
            pieces = list(zip(resource.split("/"), path.split("/"), strict=False))
            if resource.count("/") == path.count("/") and all(a == b or a.startswith("{") for a, b in pieces):
                return resource, {a.strip("{}"): b for a, b in pieces if a.startswith("{")}
        raise LookupError(path)
