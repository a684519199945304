"""A grant: one line of the permissions table, and the IAM statement that it becomes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from infra.names import Json

POLICY_VERSION = "2012-10-17"


@dataclass(frozen=True)
class Grant:
    """Leave to do `actions` to `resources`, for a reason.

    Attributes:
        sid: the statement's name in the policy; also the name of the grant in the documentation.
        actions: full IAM actions, never a wildcard.
        resources: ARNs or `Fn::Sub`s of ARNs, as exact as the service allows.
        condition: an IAM condition block.
        when: name of the template's condition under which the grant holds; always, when empty.
    """

    sid: str
    actions: tuple[str, ...]
    resources: tuple[Any, ...]
    condition: Json = field(default_factory=dict)
    when: str = ""

    def statement(self) -> Json:
        statement: Json = {
            "Sid": self.sid,
            "Effect": "Allow",
            "Action": list(self.actions),
            "Resource": list(self.resources),
        }
        if self.condition:
            statement["Condition"] = self.condition
        return {"Fn::If": [self.when, statement, {"Ref": "AWS::NoValue"}]} if self.when else statement


def policy(description: str, grants: Iterable[Grant]) -> Json:
    """A managed policy, which can also be the boundary of a role."""
    return {
        "Type": "AWS::IAM::ManagedPolicy",
        "Properties": {"Description": description, "PolicyDocument": document(grants)},
    }


def document(grants: Iterable[Grant]) -> Json:
    return {"Version": POLICY_VERSION, "Statement": [grant.statement() for grant in grants]}


def assumed_by(service: str, condition: Json | None = None) -> Json:
    """A trust policy: only this AWS service may take the role, and only for this account (no confused deputy)."""
    statement: Json = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    if condition:
        statement["Condition"] = condition
    return {"Version": POLICY_VERSION, "Statement": [statement]}


def role(service: str, description: str, grants: Iterable[Grant], *, trust: Json | None = None) -> Json:
    """An IAM role for `service`; unnamed, so that stacks never collide and no one needs CAPABILITY_NAMED_IAM."""
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "Description": description,
            "AssumeRolePolicyDocument": assumed_by(service, trust),
            "Policies": [{"PolicyName": "permissions", "PolicyDocument": document(grants)}],
        },
    }
