"""The calls about quotas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aimatrix.client.paging import each_document
from aimatrix.client.quotas import Limits, OwnQuota, Quota, QuotaCheck
from aimatrix.client.transport import Transport

ADMIN = "/admin/quotas"


@dataclass(frozen=True)
class QuotaCalls:
    """``client.quotas``. All but ``own`` need the permission to manage quotas, and are about the caller's tenant."""

    transport: Transport

    def own(self) -> OwnQuota:
        """What the caller may use, and what the caller's tenant may."""
        return OwnQuota.from_document(self.transport.document("GET", "/quotas"))

    def users(self, page_size: int = 50) -> Iterator[Quota]:
        """The users who ever had a job, by name, fetched page by page while they are read."""

        def fetch(cursor: str | None) -> dict[str, Any]:
            params = {"limit": page_size, "cursor": cursor}
            return self.transport.document("GET", f"{ADMIN}/users", params=params)

        return (Quota.from_document(each) for each in each_document(fetch, "quotas"))

    def user(self, user_id: str) -> Quota:
        """A user's; that of somebody who never had a job too."""
        return Quota.from_document(self.transport.document("GET", _path(user_id)))

    def set_user(self, user_id: str, limits: Limits, *, version: int | None = None) -> Quota:
        """Replaces a user's limits. One below what is taken already only keeps new jobs out.

        Args:
            version: of the ``Quota`` whose limits are to be replaced; None replaces whichever there are.

        Raises:
            PreconditionFailedError: the limits have another version by now.
            ConflictError: somebody else changed them at the same moment.
        """
        return self._set(_path(user_id), limits, version)

    def tenant(self) -> Quota:
        return Quota.from_document(self.transport.document("GET", f"{ADMIN}/tenant"))

    def set_tenant(self, limits: Limits, *, version: int | None = None) -> Quota:
        """Replaces the limits of the tenant as a whole, as ``set_user`` does a user's."""
        return self._set(f"{ADMIN}/tenant", limits, version)

    def check(self, observe: Callable[[QuotaCheck], None] | None = None) -> QuotaCheck:
        """Has the service recompute every counter of the tenant from its records, in as many requests as that takes.

        Args:
            observe: told what was found so far after each request but the last.
        """
        found, cursor = QuotaCheck.nothing(), None
        while True:
            params = {"cursor": cursor} if cursor else None
            answer = self.transport.document("GET", f"{ADMIN}/check", params=params)
            found, cursor = found.plus(QuotaCheck.from_document(answer)), answer.get("next_cursor")
            if not cursor:
                return found
            if observe is not None:
                observe(found)

    def _set(self, path: str, limits: Limits, version: int | None) -> Quota:
        headers = None if version is None else {"If-Match": f'"{version}"'}
        return Quota.from_document(self.transport.document("PUT", path, body=limits.to_document(), headers=headers))


def _path(user_id: str) -> str:
    return f"{ADMIN}/users/{quote(user_id, safe='')}"
