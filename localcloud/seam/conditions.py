"""What a policy's conditions may ask on AWS and ministack does not know.

- `kms:EncryptionContext:<name>` and `kms:EncryptionContextKeys`: the encryption context of a request to KMS
  (https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html).
- `aws:PrincipalArn`: for a role's session AWS gives the ARN of the role, ministack that of the session.
- `iam:PermissionsBoundary` and `iam:PolicyARN`: what a role is made with, and what is attached to it
  (https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html).

And a role's path, which is part of its ARN: ministack leaves it out where a request names the role.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

Context = dict[str, Any]


def install() -> None:
    from ministack.core import iam_actions, iam_evaluator
    from ministack.services import iam

    iam_evaluator.parse_policy_document = _remembered(iam_evaluator.parse_policy_document)
    iam_actions.request_tag_context = _with_own_keys(iam_actions.request_tag_context)
    iam_actions.extract_resource_arn = _with_paths(iam_actions.extract_resource_arn, iam)
    iam_evaluator._resolve_condition_key = _naming_roles(iam_evaluator._resolve_condition_key, iam)


def _remembered(parse: Callable[[Any], list[Any]]) -> Callable[[Any], list[Any]]:
    """Policies are asked on every request and change with a deployment only. Nobody changes the statements."""
    of_text = lru_cache(maxsize=512)(parse)

    def parse_policy_document(document: Any) -> list[Any]:
        return of_text(document) if isinstance(document, str) else parse(document)

    return parse_policy_document


def _with_own_keys(provided: Callable[..., Context]) -> Callable[..., Context]:
    def request_tag_context(service: str, iam_action: str, body: bytes, params: Mapping[str, Any]) -> Context:
        context = provided(service, iam_action, body, params)
        match service:
            case "kms":
                return {**context, **encryption_context_keys(body)}
            case "iam":
                return {**context, **policy_keys(params)}
            case _:
                return context

    return request_tag_context


def encryption_context_keys(body: bytes) -> Context:
    """The condition keys of a request to KMS; none without an encryption context."""
    try:
        given = json.loads(body).get("EncryptionContext")
    except (ValueError, AttributeError):
        return {}
    if not isinstance(given, dict) or not given:
        return {}
    values = {f"kms:EncryptionContext:{name}": str(value) for name, value in given.items()}
    return {**values, "kms:EncryptionContextKeys": list(given)}


_POLICY_KEYS = {"PermissionsBoundary": "iam:PermissionsBoundary", "PolicyArn": "iam:PolicyARN"}


def policy_keys(params: Mapping[str, Any]) -> Context:
    """The condition keys of a request to IAM that names a policy."""
    given = {key: params.get(name) for name, key in _POLICY_KEYS.items()}
    return {key: value[0] if isinstance(value, list) else value for key, value in given.items() if value}


def _with_paths(extract: Callable[..., str], iam: Any) -> Callable[..., str]:
    @functools.wraps(extract)
    def extract_resource_arn(
        service: str, method: str, path: str, headers: Any, body: bytes, params: Mapping[str, Any], *more: Any
    ) -> str:
        found = extract(service, method, path, headers, body, params, *more)
        before, is_role, name = found.partition(":role/")
        if service != "iam" or not is_role:
            return found
        role = iam._roles.get_scoped(before.split(":")[4], None, name)
        if role is not None:
            return str(role["Arn"])
        given = params.get("Path", "/")
        return f"{before}:role{given[0] if isinstance(given, list) else given}{name}"

    return extract_resource_arn


def _naming_roles(resolve: Callable[[str, Any], Any], iam: Any) -> Callable[[str, Any], Any]:
    def resolve_condition_key(key: str, context: Any) -> Any:
        if key.lower() == "aws:principalarn" and ":assumed-role/" in context.principal_arn:
            name = context.principal_arn.split("/")[1]
            role = iam._roles.get_scoped(context.principal_account, None, name)
            if role is not None:
                return role["Arn"]
        return resolve(key, context)

    return resolve_condition_key
