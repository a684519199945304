"""Our rules about IAM: no wildcard where AWS offers a name, no role passed further than meant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from chalicelib.tenants.roles import Purpose
from infra.names import SCALING_ROLE_ARN, Json, tenant_role_arn
from infra.wildcards import MUST_BE_CONDITIONED, UNCONFINABLE

_PASSED_TO = "iam:PassedToService"
_TENANT_ROLES = tuple(tenant_role_arn(purpose.value) for purpose in Purpose)
_MAKING_ROLES = {
    "iam:CreateRole": ("StringEquals", "iam:PermissionsBoundary"),
    "iam:AttachRolePolicy": ("ArnEquals", "iam:PolicyARN"),
}


def statements(template: Json) -> Iterator[tuple[str, Json]]:
    """Every statement of every role and policy that grants something, with where it stands."""
    for logical_id, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", []) if isinstance(policy, dict)]
        documents += [properties["PolicyDocument"]] if "PolicyDocument" in properties else []
        for document in documents:
            for statement in document["Statement"]:
                granted = _unconditional(statement)
                if granted["Effect"] == "Allow":
                    yield f"{logical_id}.{granted.get('Sid', '?')}", granted


def actions_are_named(template: Json) -> Iterator[str]:
    for where, statement in statements(template):
        if "NotAction" in statement:
            yield f"{where} allows everything but something"
        for action in _listed(statement.get("Action", [])):
            if "*" in action:
                yield f"{where} allows {action}"


def resources_are_named(template: Json) -> Iterator[str]:
    for where, statement in statements(template):
        if "NotResource" in statement:
            yield f"{where} allows all resources but some"
        open_ones = [text for text in map(_text, _listed(statement.get("Resource", []))) if _is_open(text)]
        for action in _listed(statement.get("Action", [])) if open_ones else []:
            if action not in UNCONFINABLE:
                yield f"{where} allows {action} on {open_ones[0]}; infra/wildcards.py has no reason for it"
            key = MUST_BE_CONDITIONED.get(action)
            if key and key not in statement.get("Condition", {}).get("StringEquals", {}):
                yield f"{where} allows {action} without the condition {key}"


def roles_are_passed_to_one_service(template: Json) -> Iterator[str]:
    roles = {name for name, resource in template["Resources"].items() if resource["Type"] == "AWS::IAM::Role"}
    for where, statement in statements(template):
        actions = _listed(statement.get("Action", []))
        if "iam:PassRole" not in actions:
            continue
        if len(actions) != 1:
            yield f"{where} mixes iam:PassRole with other actions"
        for resource in _listed(statement["Resource"]):
            is_role = isinstance(resource, dict) and resource.get("Fn::GetAtt", [None])[0] in roles
            if not is_role and resource not in _TENANT_ROLES:
                yield f"{where} passes {json.dumps(resource)}, which is no role of this template"
        service = statement.get("Condition", {}).get("StringEquals", {}).get(_PASSED_TO)
        if not isinstance(service, str) or "*" in service:
            yield f"{where} passes a role to no service in particular"


def made_roles_are_bounded(template: Json) -> Iterator[str]:
    """What makes a role decides what it may do: nothing but a policy of this template, and of no role but a tenant's."""
    policies = {name for name, each in template["Resources"].items() if each["Type"] == "AWS::IAM::ManagedPolicy"}
    for where, statement in statements(template):
        for action in _listed(statement.get("Action", [])):
            if not action.startswith("iam:") or action == "iam:PassRole":
                continue
            # What a service-linked role may do AWS decides, whoever has it made.
            if action == "iam:CreateServiceLinkedRole" and _listed(statement["Resource"]) == [SCALING_ROLE_ARN]:
                continue
            if any(resource not in _TENANT_ROLES for resource in _listed(statement["Resource"])):
                yield f"{where} allows {action} beyond the roles of tenants"
            if action == "iam:TagRole":
                continue
            operator, key = _MAKING_ROLES.get(action, ("", ""))
            bound = statement.get("Condition", {}).get(operator, {}).get(key, {})
            if not (isinstance(bound, dict) and bound.get("Ref") in policies):
                yield f"{where} allows {action} without a policy of this template as its limit"


def roles_are_assumed_by_services(template: Json) -> Iterator[str]:
    for logical_id, resource in template["Resources"].items():
        if resource["Type"] != "AWS::IAM::Role":
            continue
        for statement in resource["Properties"]["AssumeRolePolicyDocument"]["Statement"]:
            if set(statement["Principal"]) != {"Service"}:
                yield f"{logical_id} can be taken by more than an AWS service"


def _unconditional(statement: Json) -> Json:
    """The statement of an `Fn::If`, as it is when the condition holds."""
    if "Fn::If" in statement:
        inner: Json = statement["Fn::If"][1]
        return inner
    return statement


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(resource: Any) -> str:
    if isinstance(resource, dict):
        return str(resource.get("Fn::Sub", json.dumps(resource)))
    return str(resource)


def _is_open(resource: str) -> bool:
    """Whether it names nothing: "*" itself, or an ARN that ends in nothing but a wildcard."""
    return resource == "*" or (resource.startswith("arn:") and resource.replace("AWS::", "").split(":", 5)[-1] == "*")
