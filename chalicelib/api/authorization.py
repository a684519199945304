"""What API Gateway asks the authorizer.

Chalice knows the kind of authorizer that is given one header (TOKEN). Ours has to choose between two, so it is given the
request (REQUEST); `infra/api.py` tells API Gateway so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chalice.app import AuthRequest, ChaliceAuthorizer


class Question(AuthRequest):  # type: ignore[misc]  # Chalice is untyped
    """May whoever sent this request in?

    Attributes:
        method_arn: what is to be called.
        headers: by lower-case name, every value that was sent.
        source_ip: of the connection, as API Gateway saw it.
    """

    def __init__(self, event: Mapping[str, Any]) -> None:
        super().__init__(event["type"], "", event["methodArn"])
        many = event.get("multiValueHeaders") or {name: [value] for name, value in (event.get("headers") or {}).items()}
        self.headers: dict[str, tuple[str, ...]] = {}
        for name, values in many.items():
            self.headers[name.lower()] = (*self.headers.get(name.lower(), ()), *values)
        self.source_ip = str(event.get("requestContext", {}).get("identity", {}).get("sourceIp") or "")


class RequestAuthorizer(ChaliceAuthorizer):  # type: ignore[misc]  # Chalice is untyped
    """An authorizer whose function is given a `Question`."""

    def _transform_event(self, event: Mapping[str, Any]) -> Question:
        return Question(event)
