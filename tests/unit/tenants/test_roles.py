"""Roles that each tenant has of its own."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from chalicelib.tenants.roles import Purpose, TenantRoles

PREFIX = "arn:aws:iam::123456789012:role/aimatrix/prod/"


class FakeIam:
    """IAM, as far as roles go."""

    class exceptions:  # noqa: N801  boto3 names it so
        class EntityAlreadyExistsException(Exception):
            """As IAM says it."""

    def __init__(self, *, dies_before_attaching: bool = False) -> None:
        self.roles: dict[str, dict[str, Any]] = {}
        self.attached: dict[str, list[str]] = {}
        self.calls = 0
        self._dies = dies_before_attaching

    def create_role(self, **wanted: Any) -> None:
        self.calls += 1
        if wanted["RoleName"] in self.roles:
            raise self.exceptions.EntityAlreadyExistsException
        self.roles[wanted["RoleName"]] = wanted

    def attach_role_policy(self, **wanted: Any) -> None:
        self.calls += 1
        if self._dies:
            self._dies = False
            raise ConnectionError
        self.attached.setdefault(wanted["RoleName"], []).append(wanted["PolicyArn"])


def roles(iam: FakeIam, prefix: str = PREFIX) -> TenantRoles:
    return TenantRoles(lambda: cast("Any", iam), prefix, lambda purpose: f"arn:aws:iam::1:policy/{purpose.value}")


class TestTenantRoles:
    def test_carry_their_tenant_and_are_bounded_by_the_policy_they_have(self) -> None:
        iam = FakeIam()
        arn = roles(iam).require("acme", Purpose.TRAINING)
        (made,) = iam.roles.values()
        assert arn == f"{PREFIX}training/{made['RoleName']}"
        assert made["Path"] == "/aimatrix/prod/training/"
        assert made["Tags"] == [{"Key": "aimatrix-tenant", "Value": "acme"}]
        assert [made["PermissionsBoundary"]] == iam.attached[made["RoleName"]] == ["arn:aws:iam::1:policy/training"]

    @pytest.mark.parametrize(
        ("purpose", "services"),
        [
            (Purpose.TRAINING, ["sagemaker.amazonaws.com", "ecs-tasks.amazonaws.com"]),
            (Purpose.SERVING, ["sagemaker.amazonaws.com"]),
            (Purpose.TRANSFORMING, ["sagemaker.amazonaws.com"]),
        ],
    )
    def test_are_taken_by_the_services_of_this_account_only(self, purpose: Purpose, services: list[str]) -> None:
        iam = FakeIam()
        roles(iam).require("acme", purpose)
        (made,) = iam.roles.values()
        (statement,) = json.loads(made["AssumeRolePolicyDocument"])["Statement"]
        assert statement["Principal"] == {"Service": services}
        assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}

    def test_cost_a_warm_process_nothing(self) -> None:
        iam = FakeIam()
        warm = roles(iam)
        assert len({warm.require("acme", Purpose.TRAINING) for _ in range(5)}) == 1
        assert iam.calls == 2

    def test_are_found_by_another_process(self) -> None:
        iam = FakeIam()
        assert roles(iam).require("acme", Purpose.SERVING) == roles(iam).require("acme", Purpose.SERVING)
        assert len(iam.roles) == 1

    def test_get_their_policy_although_whoever_made_them_died_before(self) -> None:
        iam = FakeIam(dies_before_attaching=True)
        dying = roles(iam)
        with pytest.raises(ConnectionError):
            dying.require("acme", Purpose.TRAINING)
        dying.require("acme", Purpose.TRAINING)
        assert list(iam.attached.values()) == [["arn:aws:iam::1:policy/training"]]

    def test_are_never_shared(self) -> None:
        iam = FakeIam()
        alike = "a" * 40
        made = {
            roles(iam, prefix).require(tenant, purpose)
            for prefix in (PREFIX, PREFIX.replace("prod", "test"))
            for tenant in (alike + "1", alike + "2")
            for purpose in Purpose
        }
        assert len(made) == len(iam.roles) == 12
        assert all(len(name) <= 64 for name in iam.roles)
