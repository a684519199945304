"""Role credentials for jobs and endpoints: fetched from the control plane, kept while they hold, served to processes.

A process finds its keys the way a container on AWS does: ``AWS_CONTAINER_CREDENTIALS_FULL_URI`` names
``/_compute/credentials/{id}`` here, and ``AWS_CONTAINER_AUTHORIZATION_TOKEN`` is the bearer token. A desk entry lives as
long as the process it was opened for; tokens are kept in memory only.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from localcloud.compute.host import ControlPlane, RoleCredentials

REFRESH_BEFORE = timedelta(minutes=10)


@dataclass(frozen=True)
class Grant:
    """One process's right to one role's keys."""

    grant_id: str
    token: str
    role_arn: str
    service: str
    session_name: str

    def environment(self, own_url: str) -> dict[str, str]:
        """What the process needs to find its credentials."""
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{own_url}/_compute/credentials/{self.grant_id}",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": self.token,
        }


class CredentialDesk:
    """Hands out role credentials.

    Args:
        new_token: makes an unguessable text.
    """

    def __init__(
        self,
        control: ControlPlane,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        new_token: Callable[[], str],
    ) -> None:
        self._control = control
        self._now = now
        self._new_id = new_id
        self._new_token = new_token
        self._grants: dict[str, Grant] = {}
        # By role and service, with the process of the control plane that was there when they were asked for.
        self._kept: dict[tuple[str, str], tuple[str, RoleCredentials]] = {}

    def open(self, role_arn: str, service: str, session_name: str) -> Grant:
        """A grant for one process. `service` is the principal that assumes the role, e.g. ``sagemaker.amazonaws.com``."""
        grant = Grant(self._new_id(), self._new_token(), role_arn, service, session_name)
        self._grants[grant.grant_id] = grant
        return grant

    def close(self, grant: Grant) -> None:
        self._grants.pop(grant.grant_id, None)

    async def credentials_of(self, grant: Grant) -> RoleCredentials:
        """Keys with at least a few minutes to live, which the control plane that runs now has given.

        Raises:
            ApiError: the control plane does not answer, the role is gone, or does not trust the service any more.
        """
        # Sessions live in the memory of the process that opened them: the one after it refuses their keys.
        instance = await self._control.instance()
        key = (grant.role_arn, grant.service)
        giver, keys = self._kept.get(key, ("", None))
        if keys is None or giver != instance or keys.expiration - REFRESH_BEFORE <= self._now():
            keys = await self._control.credentials(grant.role_arn, grant.service, grant.session_name)
            self._kept[key] = (instance, keys)
        return keys

    def find(self, grant_id: str, authorization: str) -> Grant | None:
        """The grant, if the Authorization header carries its token (with or without ``Bearer``)."""
        grant = self._grants.get(grant_id)
        offered = authorization.removeprefix("Bearer ").encode()
        if grant is None or not hmac.compare_digest(grant.token.encode(), offered):
            return None
        return grant


def container_document(credentials: RoleCredentials, role_arn: str) -> Mapping[str, str]:
    """The answer of a container credentials endpoint, as every AWS SDK reads it."""
    return {
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
        "Token": credentials.token,
        "Expiration": credentials.expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "RoleArn": role_arn,
    }
