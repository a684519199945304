"""Takes the gateway responses that a template's OpenAPI definition brings (`x-amazon-apigateway-gateway-responses`).

API Gateway imports them with the definition; ministack knows gateway responses, but not this way to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

EXTENSION = "x-amazon-apigateway-gateway-responses"


def install() -> None:
    from ministack.services import apigateway_v1

    apigateway_v1._import_security_schemes = _with_gateway_responses(
        apigateway_v1._import_security_schemes, apigateway_v1._put_gateway_response
    )


def _with_gateway_responses(
    import_schemes: Callable[..., Any], put: Callable[[str, str, Mapping[str, Any]], Any]
) -> Callable[..., Any]:
    def import_security_schemes(api_id: str, spec: Mapping[str, Any]) -> Any:
        for response_type, response in (spec.get(EXTENSION) or {}).items():
            put(api_id, response_type, response)
        return import_schemes(api_id, spec)

    return import_security_schemes
