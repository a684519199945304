"""Answers the compute emulator's question "may this caller do that?" with ministack's own evaluator.

Without it, calls to SageMaker and Batch would go unchecked on a laptop, and a missing permission would show on AWS only.
"""

from __future__ import annotations

import contextvars
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

from ministack import app as ministack_app
from ministack.core import iam_evaluator, responses
from ministack.core.router import extract_access_key_id, extract_region
from ministack.services import iam, sts

from localcloud.state import ACCOUNT, REGION

SESSION_SECONDS = 3600


class RefusedError(Exception):
    """The caller is not who it claims to be, or may not do what it asks."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class PassedRole:
    """A role that a request hands to a service."""

    role_arn: str
    service: str


@dataclass(frozen=True)
class Request:
    """A signed request as it arrived at the compute emulator, and what it would do.

    Attributes:
        payload_sha256: of the body as it arrived, in hexadecimal. A signature covers no more of a body than this.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    payload_sha256: str
    service: str
    action: str
    resources: Sequence[str]
    pass_roles: Sequence[PassedRole]

    @classmethod
    def parse(cls, document: dict[str, Any]) -> Request:
        return cls(
            method=document["method"],
            path=document["path"],
            query=document.get("query", ""),
            headers={name.lower(): value for name, value in document["headers"].items()},
            payload_sha256=document["payload_sha256"],
            service=document["service"],
            action=document["action"],
            resources=document.get("resources") or ["*"],
            pass_roles=[PassedRole(role["role_arn"], role["service"]) for role in document.get("pass_roles", ())],
        )


def authorize(request: Request) -> str:
    """Check the signature and the caller's policies; returns the caller's ARN.

    Raises:
        RefusedError: with the code AWS would answer.
    """
    # ministack keeps the caller in context variables; this request is not one of its own.
    return contextvars.copy_context().run(_authorize, request)


def _authorize(request: Request) -> str:
    query = parse_qs(request.query, keep_blank_values=True)
    key = extract_access_key_id(request.headers, query)
    if not key or iam_evaluator.is_root_access_key(key):
        raise RefusedError("MissingAuthenticationTokenException", "The request is not signed with a known access key.")
    region = extract_region(request.headers, query) or REGION
    responses.set_request_account_id(ministack_app._request_account_scope(key))
    responses.set_request_region(region)
    iam_evaluator.pin_request_origin("127.0.0.1", False)
    # ministack believes a digest in this header. Here it is always that of the body, whatever the client says, so that a
    # signature that was made for another body, or for none, does not match.
    headers = {**request.headers, "x-amz-content-sha256": request.payload_sha256}
    raw_headers = [(name.encode(), value.encode()) for name, value in headers.items()]
    iam_evaluator.pin_signed_request(request.method, request.path, query, raw_headers)
    iam_evaluator.pin_request_caller(request.headers, query)
    caller: str = iam_evaluator.caller_arn()
    for resource in request.resources:
        _enforce(key, request.action, request.service, region, resource, caller, {})
    for role in request.pass_roles:
        condition = {"iam:passedtoservice": role.service}
        _enforce(key, "iam:PassRole", "iam", region, role.role_arn, caller, condition)
        _require_trust(role.role_arn, role.service)
    return caller


def _enforce(
    key: str, action: str, service: str, region: str, resource: str, caller: str, context: dict[str, str]
) -> None:
    denied = iam_evaluator.enforce(key, action, service, region, resource_arn=resource, service_context=context)
    if isinstance(denied, iam_evaluator.AuthError):
        raise RefusedError(denied.code, denied.message)
    if denied is not None:
        kind = "with an explicit deny" if denied.decision == "Deny" else "because no identity-based policy allows it"
        message = f"User: {caller} is not authorized to perform: {action} on resource: {resource} {kind}"
        raise RefusedError("AccessDeniedException", message)


def assume(role_arn: str, service: str, session_name: str, seconds: int = SESSION_SECONDS) -> dict[str, str]:
    """Temporary credentials of a role for a service that the role trusts.

    Raises:
        RefusedError: there is no such role, or it does not trust the service.
    """
    _require_trust(role_arn, service)
    account, name = _account_and_name(role_arn)
    key = "ASIA" + secrets.token_hex(8).upper()
    expiration = datetime.now(UTC) + timedelta(seconds=seconds)
    session = {
        "Arn": f"arn:aws:sts::{account}:assumed-role/{name}/{session_name[:64]}",
        "UserId": f"{name}:{session_name[:64]}",
        "AccountId": account,
        "PrincipalType": "AssumedRole",
        "SecretAccessKey": secrets.token_urlsafe(30),
        "SessionToken": secrets.token_urlsafe(96),
        "Expiration": time.time() + seconds,
    }
    sts.register_session(key, session)
    return {
        "AccessKeyId": key,
        "SecretAccessKey": str(session["SecretAccessKey"]),
        "Token": str(session["SessionToken"]),
        "Expiration": expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _require_trust(role_arn: str, service: str) -> None:
    account, name = _account_and_name(role_arn)
    role = iam._roles.get_scoped(account, None, name)
    if role is None:
        raise RefusedError("ValidationException", f"The role {role_arn} does not exist.")
    context = iam_evaluator.EvalContext(
        principal_arn=service,
        principal_type="Service",
        principal_account=account,
        action="sts:AssumeRole",
        resource_arn=role_arn,
        region=REGION,
        service_context={"aws:sourceaccount": ACCOUNT},
    )
    trust = iam_evaluator.evaluate_resource_policy(
        _with_resource(role.get("AssumeRolePolicyDocument", "{}")), context, service=service
    )
    if trust.decision != "Allow":
        raise RefusedError("ValidationException", f"The role {role_arn} does not trust {service}.")


def _with_resource(document: str | dict[str, Any]) -> dict[str, Any]:
    """A trust policy names no resource, since it can only mean its role; the evaluator of resource policies wants one."""
    policy = json.loads(document) if isinstance(document, str) else document
    statements = policy.get("Statement", [])
    statements = [statements] if isinstance(statements, dict) else statements
    return {**policy, "Statement": [{**statement, "Resource": "*"} for statement in statements]}


def _account_and_name(role_arn: str) -> tuple[str, str]:
    parts = role_arn.split(":", 5)
    if len(parts) != 6 or parts[2] != "iam" or not parts[5].startswith("role/"):
        raise RefusedError("ValidationException", f"{role_arn} is not the ARN of a role.")
    return parts[4], parts[5].rsplit("/", 1)[-1]
