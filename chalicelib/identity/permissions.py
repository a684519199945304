"""Who may do what: the one table that code, documentation and tests share.

`python -m infra.permission_table` writes it into docs/identity.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Role(Enum):
    USER = "USER"
    VIEWER = "VIEWER"
    MODEL_DEPLOYER = "MODEL_DEPLOYER"
    ADMIN = "ADMIN"


class Permission(Enum):
    """What a service asks for. The value is also what a token's `permissions` claim or a key's scope may grant by itself."""

    JOBS_READ = "jobs:read"
    JOBS_READ_ALL = "jobs:read-all"
    JOBS_SUBMIT = "jobs:submit"
    JOBS_CANCEL_ALL = "jobs:cancel-all"
    JOBS_DELETE = "jobs:delete"
    UPLOADS_CREATE = "uploads:create"
    MODELS_READ = "models:read"
    MODELS_REGISTER = "models:register"
    MODELS_DEPRECATE_ALL = "models:deprecate-all"
    MODELS_DELETE = "models:delete"
    MODELS_DEPLOY = "models:deploy"
    MODELS_APPROVE = "models:approve"
    ENVIRONMENTS_MANAGE = "environments:manage"
    DEPLOYMENTS_READ = "deployments:read"
    DEPLOYMENTS_INVOKE = "deployments:invoke"
    DEPLOYMENTS_TARGET = "deployments:target"
    DEPLOYMENTS_CAPTURES = "deployments:captures"
    EXPERIMENTS_READ = "experiments:read"
    EXPERIMENTS_MANAGE = "experiments:manage"
    EXPERIMENTS_REPORT = "experiments:report"
    QUOTAS_READ = "quotas:read"
    QUOTAS_MANAGE = "quotas:manage"
    CAPACITY_MANAGE = "capacity:manage"
    RECONCILE = "jobs:reconcile"
    EVENTS_MANAGE = "events:manage"
    USAGE_READ = "usage:read"
    USAGE_READ_ALL = "usage:read-all"
    RECEIPTS_READ = "receipts:read"
    AUDIT_READ = "audit:read"
    WEBHOOKS_MANAGE = "webhooks:manage"
    WEBHOOKS_MANAGE_ALL = "webhooks:manage-all"
    KEYS_MANAGE = "keys:manage"
    KEYS_MANAGE_ALL = "keys:manage-all"


@dataclass(frozen=True)
class Rule:
    """One row: who, beside ADMIN, has a permission. All of it is within the caller's own tenant."""

    permission: Permission
    allows: str
    roles: frozenset[Role]


def _rule(permission: Permission, allows: str, *roles: Role) -> Rule:
    return Rule(permission, allows, frozenset({*roles, Role.ADMIN}))


ANYBODY = tuple(Role)
"""Every authenticated caller, even one without a role."""

TABLE: tuple[Rule, ...] = (
    _rule(Permission.JOBS_READ, "see own jobs, with logs and metrics", Role.USER, Role.VIEWER),
    _rule(Permission.JOBS_READ_ALL, "see everybody's jobs", Role.VIEWER),
    _rule(Permission.JOBS_SUBMIT, "submit jobs, cancel own ones", Role.USER),
    _rule(Permission.JOBS_CANCEL_ALL, "cancel everybody's jobs"),
    _rule(Permission.JOBS_DELETE, "delete jobs"),
    _rule(Permission.UPLOADS_CREATE, "upload files", *ANYBODY),
    _rule(Permission.MODELS_READ, "see models", *ANYBODY),
    _rule(Permission.MODELS_REGISTER, "register models, deprecate own ones", *ANYBODY),
    _rule(Permission.MODELS_DEPRECATE_ALL, "deprecate everybody's models"),
    _rule(Permission.MODELS_DELETE, "delete models"),
    _rule(Permission.MODELS_DEPLOY, "deploy models, take deployments down, run batch transforms", Role.MODEL_DEPLOYER),
    _rule(Permission.MODELS_APPROVE, "approve models for an environment that names one as approver", *ANYBODY),
    _rule(Permission.ENVIRONMENTS_MANAGE, "say what environments ask for before they are changed"),
    _rule(Permission.DEPLOYMENTS_READ, "see deployments", *ANYBODY),
    _rule(Permission.DEPLOYMENTS_INVOKE, "ask deployments for predictions", *ANYBODY),
    _rule(Permission.DEPLOYMENTS_TARGET, "choose the variant that answers (`X-Variant`)", Role.MODEL_DEPLOYER),
    _rule(Permission.DEPLOYMENTS_CAPTURES, "have requests to endpoints captured, and see them", Role.MODEL_DEPLOYER),
    _rule(Permission.EXPERIMENTS_READ, "see experiments and their results", *ANYBODY),
    _rule(Permission.EXPERIMENTS_MANAGE, "create and stop experiments", Role.USER, Role.MODEL_DEPLOYER),
    _rule(Permission.EXPERIMENTS_REPORT, "report exposures and outcomes", Role.USER, Role.MODEL_DEPLOYER),
    _rule(Permission.QUOTAS_READ, "see own limits and their use", *ANYBODY),
    _rule(Permission.QUOTAS_MANAGE, "see and set everybody's limits"),
    _rule(Permission.CAPACITY_MANAGE, "see and set capacity pools (of all tenants: for the tenant `default` only)"),
    _rule(Permission.RECONCILE, "have jobs compared with what runs (of all tenants: for the tenant `default` only)"),
    _rule(
        Permission.EVENTS_MANAGE,
        "see and send dead letters of events, replay events (of all tenants: for the tenant `default` only)",
    ),
    _rule(Permission.USAGE_READ, "see own usage and what it cost", *ANYBODY),
    _rule(Permission.USAGE_READ_ALL, "see everybody's usage"),
    _rule(Permission.RECEIPTS_READ, "see the receipts of jobs that one may see", Role.USER, Role.VIEWER),
    _rule(Permission.AUDIT_READ, "search and verify the audit log"),
    _rule(Permission.WEBHOOKS_MANAGE, "create, change and delete own webhooks, see what was delivered", *ANYBODY),
    _rule(Permission.WEBHOOKS_MANAGE_ALL, "see, change and delete everybody's webhooks"),
    _rule(Permission.KEYS_MANAGE, "create, list and revoke own API keys", *ANYBODY),
    _rule(Permission.KEYS_MANAGE_ALL, "list and revoke everybody's API keys"),
)

BASE = frozenset(rule.permission for rule in TABLE if rule.roles == frozenset(Role))
"""What every authenticated caller may do, whatever the roles."""

GRANTS: dict[Role, frozenset[Permission]] = {
    role: frozenset(rule.permission for rule in TABLE if role in rule.roles) for role in Role
}


DEFAULT_TENANT = "default"
"""The tenant of callers whose token names none: whoever runs the installation."""

INSTALLATION = frozenset({Permission.CAPACITY_MANAGE, Permission.RECONCILE, Permission.EVENTS_MANAGE})
"""What is about all tenants at once: nobody of another tenant has it, whatever the roles."""


def permissions_of(roles: frozenset[str], granted: frozenset[str]) -> frozenset[Permission]:
    """All that a token's `roles` and `permissions` claims allow; unknown names grant nothing."""
    known_roles = {role.value: role for role in Role}
    by_role = (GRANTS[known_roles[name]] for name in roles if name in known_roles)
    return BASE.union(*by_role, named(granted))


def named(names: frozenset[str]) -> frozenset[Permission]:
    """The permissions of these names; unknown names are left out."""
    return frozenset(permission for permission in Permission if permission.value in names)
