"""The caller of a request, as the verified token or API key says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any
from urllib.parse import quote

from chalicelib.errors import Forbidden, Unauthenticated
from chalicelib.identity.permissions import DEFAULT_TENANT, INSTALLATION, Permission, named, permissions_of

# Tenants and users become parts of keys and of paths in the artifact store, where `.` and `..` are names of directories.
_TENANT = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?")
_USER = re.compile(r"(?!\.{1,2}\Z)[\w.@:|+=,-]{1,128}", re.ASCII)


def is_tenant(text: str) -> bool:
    return _TENANT.fullmatch(text) is not None


def is_user(text: str) -> bool:
    """Whether a user can be called so; of anybody else there is nothing, and no store is asked."""
    return _USER.fullmatch(text) is not None


class Auth(Enum):
    """How a caller showed who is asking."""

    TOKEN = "token"  # noqa: S105  a word, no secret
    KEY = "key"


@dataclass(frozen=True)
class Origin:
    """Where a request came from, for the audit log; it decides nothing.

    Attributes:
        source_ip: of the connection, as API Gateway saw it; never what a header claims.
        key_id: of the API key that was presented; empty for a token.
    """

    request_id: str = ""
    source_ip: str = ""
    key_id: str = ""


@dataclass(frozen=True)
class Caller:
    """Tenant, user and what they may do. Never built from a request's body.

    Attributes:
        granted: permissions by name, beside those of the roles; with an API key its scopes, and nothing else counts.
    """

    tenant: str
    user: str
    roles: frozenset[str]
    granted: frozenset[str] = frozenset()
    auth: Auth = Auth.TOKEN
    origin: Origin = field(default=Origin(), compare=False, repr=False)

    @cached_property
    def permissions(self) -> frozenset[Permission]:
        held = named(self.granted) if self.auth is Auth.KEY else permissions_of(self.roles, self.granted)
        return held if self.tenant == DEFAULT_TENANT else held - INSTALLATION

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions

    def require(self, permission: Permission) -> None:
        """
        Raises:
            Forbidden: names the permission that is missing.
        """
        if not self.may(permission):
            source = "your API key does not have" if self.auth is Auth.KEY else "your roles do not give you"
            if permission in INSTALLATION and self.tenant != DEFAULT_TENANT:
                source = f"only the tenant {DEFAULT_TENANT} has, as it is about the whole installation"
            raise Forbidden(f"This needs the permission {permission.value}, which {source}.")

    @property
    def prefix(self) -> str:
        """Where this user's uploads lie in the artifacts bucket, with a slash at the end."""
        return f"tenants/{self.tenant}/users/{quote(self.user, safe='')}/"

    def to_context(self) -> dict[str, str]:
        """For API Gateway's authorizer context, which holds flat text only."""
        context = {
            "tenant": self.tenant,
            "user": self.user,
            "roles": " ".join(sorted(self.roles)),
            "permissions": " ".join(sorted(self.granted)),
            "auth": self.auth.value,
        }
        return context | ({"key_id": self.origin.key_id} if self.origin.key_id else {})

    @classmethod
    def from_context(cls, context: Mapping[str, Any]) -> Caller:
        """
        Raises:
            Unauthenticated: the authorizer said nothing, so this route was not behind it.
        """
        if not context.get("tenant") or not context.get("user"):
            raise Unauthenticated("This needs a bearer token or an API key.")
        return cls(
            tenant=str(context["tenant"]),
            user=str(context["user"]),
            roles=frozenset(str(context.get("roles", "")).split()),
            granted=frozenset(str(context.get("permissions", "")).split()),
            auth=Auth(context.get("auth", Auth.TOKEN.value)),
            origin=Origin(key_id=str(context.get("key_id") or "")),
        )
