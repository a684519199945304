"""The table of who may do what, against the sentences of the service's description."""

from __future__ import annotations

import pytest

from chalicelib.identity.permissions import GRANTS, TABLE, Permission, Role, permissions_of

ANYBODY = {
    Permission.MODELS_READ,
    Permission.MODELS_REGISTER,
    Permission.MODELS_APPROVE,
    Permission.UPLOADS_CREATE,
    Permission.DEPLOYMENTS_READ,
    Permission.DEPLOYMENTS_INVOKE,
    Permission.EXPERIMENTS_READ,
    Permission.QUOTAS_READ,
    Permission.USAGE_READ,
    Permission.WEBHOOKS_MANAGE,
    Permission.KEYS_MANAGE,
}
EXPERIMENTS = {Permission.EXPERIMENTS_MANAGE, Permission.EXPERIMENTS_REPORT}
USER = {Permission.JOBS_READ, Permission.JOBS_SUBMIT, Permission.RECEIPTS_READ, *EXPERIMENTS}
DEPLOYER = {
    Permission.MODELS_DEPLOY,
    Permission.DEPLOYMENTS_TARGET,
    Permission.DEPLOYMENTS_CAPTURES,
    *EXPERIMENTS,
}
VIEWER = {Permission.JOBS_READ, Permission.JOBS_READ_ALL, Permission.RECEIPTS_READ}

# Said again here on purpose: a change of the table must be made twice, knowingly.
EXPECTED: dict[frozenset[str], set[Permission]] = {
    frozenset(): ANYBODY,
    frozenset({"USER"}): ANYBODY | USER,
    frozenset({"VIEWER"}): ANYBODY | VIEWER,
    frozenset({"MODEL_DEPLOYER"}): ANYBODY | DEPLOYER,
    frozenset({"ADMIN"}): set(Permission),
    frozenset({"USER", "MODEL_DEPLOYER"}): ANYBODY | USER | DEPLOYER,
}
ADMINISTRATION = {
    Permission.JOBS_CANCEL_ALL,
    Permission.JOBS_DELETE,
    Permission.MODELS_DEPRECATE_ALL,
    Permission.MODELS_DELETE,
    Permission.ENVIRONMENTS_MANAGE,
    Permission.QUOTAS_MANAGE,
    Permission.CAPACITY_MANAGE,
    Permission.RECONCILE,
    Permission.EVENTS_MANAGE,
    Permission.USAGE_READ_ALL,
    Permission.AUDIT_READ,
    Permission.WEBHOOKS_MANAGE_ALL,
    Permission.KEYS_MANAGE_ALL,
}


class TestRoles:
    @pytest.mark.parametrize(
        ("roles", "allowed"), EXPECTED.items(), ids=["+".join(sorted(roles)) or "nobody" for roles in EXPECTED]
    )
    def test_give_exactly_what_the_table_says(self, roles: frozenset[str], allowed: set[Permission]) -> None:
        assert permissions_of(roles, frozenset()) == allowed

    @pytest.mark.parametrize("name", ["admin", "Admin", "ADMIN ", " ADMIN", "ROLE_ADMIN", "ADMINS", "*", "", "А DMIN"])
    def test_that_nobody_knows_give_nothing(self, name: str) -> None:
        assert permissions_of(frozenset({name}), frozenset()) == ANYBODY

    def test_training_needs_user_so_a_deployer_cannot_submit(self) -> None:
        assert Permission.JOBS_SUBMIT not in permissions_of(frozenset({"MODEL_DEPLOYER", "VIEWER"}), frozenset())

    @pytest.mark.parametrize("permission", sorted(ADMINISTRATION, key=str))
    def test_only_admin_administrates(self, permission: Permission) -> None:
        assert [role for role in Role if permission in GRANTS[role]] == [Role.ADMIN]

    def test_jobs_of_others_are_seen_by_admin_and_viewer(self) -> None:
        assert {role for role in Role if Permission.JOBS_READ_ALL in GRANTS[role]} == {Role.ADMIN, Role.VIEWER}

    def test_models_are_deployed_by_deployer_and_admin(self) -> None:
        assert {role for role in Role if Permission.MODELS_DEPLOY in GRANTS[role]} == {Role.ADMIN, Role.MODEL_DEPLOYER}

    def test_every_role_is_in_the_table(self) -> None:
        assert set(GRANTS) == set(Role)

    def test_every_permission_has_one_row(self) -> None:
        assert [rule.permission for rule in TABLE] == list(Permission)


class TestGrantedPermissions:
    @pytest.mark.parametrize("permission", Permission)
    def test_each_can_be_given_by_itself(self, permission: Permission) -> None:
        assert permissions_of(frozenset(), frozenset({permission.value})) == ANYBODY | {permission}

    @pytest.mark.parametrize("name", ["*", "jobs:*", "JOBS_READ", "jobs:read:all", "models:deploy "])
    def test_that_nobody_knows_give_nothing(self, name: str) -> None:
        assert permissions_of(frozenset(), frozenset({name})) == ANYBODY
