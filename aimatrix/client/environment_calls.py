"""The calls about environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aimatrix.client.environments import EnvironmentPolicy
from aimatrix.client.transport import Transport

ENVIRONMENTS = "/environments"


@dataclass(frozen=True)
class EnvironmentCalls:
    """``client.environments``."""

    transport: Transport

    def list(self) -> Sequence[EnvironmentPolicy]:
        """What each environment asks for, also those that ask for nothing."""
        found = self.transport.document("GET", ENVIRONMENTS)["environments"]
        return [EnvironmentPolicy.from_document(each) for each in found]

    def get(self, environment: str) -> EnvironmentPolicy:
        return EnvironmentPolicy.from_document(self.transport.document("GET", _path(environment)))

    def set(self, environment: str, policy: Mapping[str, Any]) -> EnvironmentPolicy:
        """Says what an environment asks for from now on; needs the permission to manage environments.

        Args:
            policy: ``deployers``, ``approvals``, ``required_gates``, ``change_windows``, each of which may be left out:
                docs/environments.md.
        """
        return EnvironmentPolicy.from_document(self.transport.document("PUT", _path(environment), body=dict(policy)))

    def clear(self, environment: str) -> None:
        """The environment asks for nothing any more."""
        self.transport.call("DELETE", _path(environment))


def _path(environment: str) -> str:
    return f"{ENVIRONMENTS}/{quote(environment, safe='')}"
