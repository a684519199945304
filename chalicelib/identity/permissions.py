"""Who may do what: the one table that code, documentation and tests share."""

from __future__ import annotations

from enum import Enum


class Role(Enum):
    USER = "USER"
    VIEWER = "VIEWER"
    MODEL_DEPLOYER = "MODEL_DEPLOYER"
    ADMIN = "ADMIN"


class Permission(Enum):
    """What a service asks for. The value is also what a token's `permissions` claim may grant by itself."""

    JOBS_READ = "jobs:read"
    JOBS_READ_ALL = "jobs:read-all"
    JOBS_SUBMIT = "jobs:submit"
    JOBS_CANCEL_ALL = "jobs:cancel-all"
    UPLOADS_CREATE = "uploads:create"
    MODELS_READ = "models:read"
    MODELS_REGISTER = "models:register"
    MODELS_DEPRECATE_ALL = "models:deprecate-all"
    MODELS_DEPLOY = "models:deploy"
    DEPLOYMENTS_READ = "deployments:read"
    DEPLOYMENTS_INVOKE = "deployments:invoke"


_AUTHENTICATED = frozenset(
    {
        Permission.MODELS_READ,
        Permission.MODELS_REGISTER,
        Permission.UPLOADS_CREATE,
        Permission.DEPLOYMENTS_READ,
        Permission.DEPLOYMENTS_INVOKE,
    }
)
"""What every authenticated caller may do, whatever the roles."""

GRANTS: dict[Role, frozenset[Permission]] = {
    Role.USER: frozenset({Permission.JOBS_READ, Permission.JOBS_SUBMIT}),
    Role.VIEWER: frozenset({Permission.JOBS_READ, Permission.JOBS_READ_ALL}),
    Role.MODEL_DEPLOYER: frozenset({Permission.MODELS_DEPLOY}),
    Role.ADMIN: frozenset(Permission),
}


def permissions_of(roles: frozenset[str], granted: frozenset[str]) -> frozenset[Permission]:
    """All that a token's `roles` and `permissions` claims allow; unknown names grant nothing."""
    known_roles = {role.value: role for role in Role}
    known = {permission.value: permission for permission in Permission}
    by_role = (GRANTS[known_roles[name]] for name in roles if name in known_roles)
    return _AUTHENTICATED.union(*by_role, (known[name] for name in granted if name in known))
