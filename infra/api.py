"""API Gateway: what Chalice leaves open about the REST API."""

from __future__ import annotations

import json

from chalicelib.api.rest import problem_document
from chalicelib.errors import ErrorCode
from infra.names import Json, ref, sub

STAGE = "api"
"""With routes under /v1 this gives the contract's /api/v1."""

ENDPOINT = "REGIONAL"


def _problem(status: int, code: ErrorCode, detail: str) -> Json:
    """What the gateway itself refuses looks like what the service refuses."""
    body = problem_document(status, code, detail, "$context.requestId", ())
    return {
        "statusCode": str(status),
        "responseParameters": {"gatewayresponse.header.Content-Type": "'application/problem+json'"},
        "responseTemplates": {"application/json": json.dumps(body)},
    }


GATEWAY_RESPONSES: Json = {
    "UNAUTHORIZED": _problem(
        401, ErrorCode.UNAUTHENTICATED, "Send a valid token (Authorization: Bearer ...) or API key (X-API-Key: ...)."
    ),
    "ACCESS_DENIED": _problem(403, ErrorCode.FORBIDDEN, "You may not do this."),
    "AUTHORIZER_FAILURE": _problem(503, ErrorCode.UNAVAILABLE, "Who is asking could not be checked. Try again."),
    # API Gateway's name for a path or method that it does not know.
    "MISSING_AUTHENTICATION_TOKEN": _problem(
        404, ErrorCode.NOT_FOUND, "There is no such path, or not with this method."
    ),
    "REQUEST_TOO_LARGE": _problem(413, ErrorCode.TOO_LARGE, "The request is larger than 10 MB."),
    "THROTTLED": _problem(429, ErrorCode.QUOTA_EXCEEDED, "Too many requests. Try again."),
    "INTEGRATION_TIMEOUT": _problem(504, ErrorCode.UNAVAILABLE, "The answer took too long. Try again."),
    "INTEGRATION_FAILURE": _problem(503, ErrorCode.UNAVAILABLE, "The service is not available. Try again."),
    "DEFAULT_4XX": _problem(400, ErrorCode.INVALID_REQUEST, "The request was refused."),
    "DEFAULT_5XX": _problem(500, ErrorCode.INTERNAL, "Something failed here, not in your request."),
}


# Over what Chalice says, which knows only authorizers that are given one header. `Unused` is AWS's own word in a
# definition whose authorizer looks at the request:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions-authorizer.html
REQUEST_AUTHORIZER: Json = {"name": "Unused", "x-amazon-apigateway-authorizer": {"type": "request"}}


def fragment() -> Json:
    return {
        "Resources": {
            "RestAPI": {
                "Properties": {
                    "Name": ref("AWS::StackName"),
                    "EndpointConfiguration": {"Type": ENDPOINT},
                    # Said so that SAM leaves out the stage called "Stage" that it would add.
                    "OpenApiVersion": "2.0",
                    # In the definition and not as resources of their own: so they are part of each deployment.
                    "DefinitionBody": {
                        "x-amazon-apigateway-gateway-responses": GATEWAY_RESPONSES,
                        "securityDefinitions": {"authorize": REQUEST_AUTHORIZER},
                    },
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
