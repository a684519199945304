"""API Gateway: what Chalice leaves open about the REST API."""

from __future__ import annotations

import json

from infra.names import Json, ref, sub

STAGE = "api"
"""With routes under /v1 this gives the contract's /api/v1."""

ENDPOINT = "REGIONAL"


def _problem(status: int, title: str, code: str) -> Json:
    """What the gateway itself refuses looks like what the service refuses: problem JSON (RFC 9457)."""
    body = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": "$context.error.message",
        "code": code,
        "request_id": "$context.requestId",
        "errors": [],
    }
    return {
        "statusCode": str(status),
        "responseParameters": {"gatewayresponse.header.Content-Type": "'application/problem+json'"},
        "responseTemplates": {"application/json": json.dumps(body)},
    }


GATEWAY_RESPONSES: Json = {
    "UNAUTHORIZED": _problem(401, "Unauthorized", "unauthorized"),
    "ACCESS_DENIED": _problem(403, "Forbidden", "forbidden"),
    "MISSING_AUTHENTICATION_TOKEN": _problem(404, "Not Found", "not_found"),
    "REQUEST_TOO_LARGE": _problem(413, "Content Too Large", "too_large"),
    "THROTTLED": _problem(429, "Too Many Requests", "throttled"),
    "INTEGRATION_TIMEOUT": _problem(504, "Gateway Timeout", "timeout"),
}


def fragment() -> Json:
    return {
        "Resources": {
            "RestAPI": {
                "Properties": {
                    "Name": ref("AWS::StackName"),
                    "EndpointConfiguration": {"Type": ENDPOINT},
                    # In the definition and not as resources of their own: so they are part of each deployment.
                    "DefinitionBody": {"x-amazon-apigateway-gateway-responses": GATEWAY_RESPONSES},
                    "MethodSettings": [
                        {
                            "ResourcePath": "/*",
                            "HttpMethod": "*",
                            "MetricsEnabled": True,
                            "ThrottlingRateLimit": 500,
                            "ThrottlingBurstLimit": 1000,
                        }
                    ],
                }
            }
        },
        "Outputs": {
            "ApiUrl": {
                "Description": "Where the REST API is reached",
                "Value": sub(f"https://${{RestAPI}}.execute-api.${{AWS::Region}}.${{AWS::URLSuffix}}/{STAGE}/v1"),
            },
            "RestApiId": {"Description": "Id of the REST API", "Value": ref("RestAPI")},
        },
    }
