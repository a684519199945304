"""The operations that the committed openapi.json names, and who is refused each: the rows of the matrix."""

from __future__ import annotations

import json
from dataclasses import dataclass

from chalicelib.identity.permissions import Permission
from tests.e2e.conftest import ROOT

# What an operation on somebody else's thing needs instead, and what it is without that: not there, or not allowed.
OTHERS = {
    Permission.JOBS_READ: (Permission.JOBS_READ_ALL, 404),
    Permission.JOBS_SUBMIT: (Permission.JOBS_CANCEL_ALL, 404),
    Permission.RECEIPTS_READ: (Permission.JOBS_READ_ALL, 404),
    Permission.KEYS_MANAGE: (Permission.KEYS_MANAGE_ALL, 404),
    Permission.WEBHOOKS_MANAGE: (Permission.WEBHOOKS_MANAGE_ALL, 404),
    Permission.USAGE_READ: (Permission.USAGE_READ_ALL, 404),
    Permission.MODELS_REGISTER: (Permission.MODELS_DEPRECATE_ALL, 403),
}
OF_THEIR_OWNERS = {"listTransformOutputs": (Permission.MODELS_DEPLOY, 403)}
"""The same for operations on what lies in its owner's place, whatever permission they need."""


@dataclass(frozen=True)
class Operation:
    """One row of the matrix."""

    method: str
    path: str
    name: str
    parameters: tuple[str, ...]
    is_public: bool
    needs: Permission | None

    @property
    def administers(self) -> bool:
        """Whether it would change for others what the tests beside this one rely on: it is not carried out here."""
        return self.path.startswith("/admin/") and self.method != "GET"

    def expected(self, permissions: frozenset[Permission]) -> int | None:
        """The refusal that somebody else in the tenant gets; None when it is allowed."""
        if self.needs and self.needs not in permissions:
            return 403
        others = OF_THEIR_OWNERS.get(self.name) or (OTHERS.get(self.needs) if self.needs else None)
        if others and self.parameters:
            wider, refusal = others
            return None if wider in permissions else refusal
        return None


def operations() -> list[Operation]:
    document = json.loads((ROOT / "openapi.json").read_text(encoding="utf-8"))
    return [
        Operation(
            method=method.upper(),
            path=path.removeprefix("/api/v1"),
            name=each["operationId"],
            parameters=tuple(parameter["name"] for parameter in each.get("parameters", ())),
            is_public=each.get("security") == [],
            needs=Permission(each["x-permission"]) if "x-permission" in each else None,
        )
        for path, methods in document["paths"].items()
        for method, each in methods.items()
    ]


OPERATIONS = [operation for operation in operations() if not operation.is_public]
