"""The calls about capacity pools."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from aimatrix.client.capacity import AccountImport, Pool
from aimatrix.client.transport import Transport

POOLS = "/admin/capacity/pools"
IMPORT = "/admin/capacity/import"


@dataclass(frozen=True)
class CapacityCalls:
    """``client.capacity``. All need the permission to manage capacity, and are about the whole installation."""

    transport: Transport

    def pools(self) -> Iterator[Pool]:
        return (Pool.from_document(each) for each in self.transport.document("GET", POOLS)["pools"])

    def pool(self, name: str) -> Pool:
        return Pool.from_document(self.transport.document("GET", _path(name)))

    def set_pool(
        self,
        name: str,
        limit: int,
        *,
        half_life_seconds: int | None = None,
        aging_seconds: int | None = None,
        preempt_low: bool | None = None,
    ) -> Pool:
        """Sets a limit in GPUs, or in vCPUs for ``sagemaker/cpu``. What is left out gets the service's default.

        Args:
            preempt_low: low jobs that have a checkpoint give way to a critical one that waits.
        """
        wanted = {
            "limit": limit,
            "half_life_seconds": half_life_seconds,
            "aging_seconds": aging_seconds,
            "preempt_low": preempt_low,
        }
        body = {key: value for key, value in wanted.items() if value is not None}
        return Pool.from_document(self.transport.document("PUT", _path(name), body=body))

    def import_account(self, *, dry_run: bool = False) -> AccountImport:
        """Sets the limits to what the AWS account's service quotas allow; with ``dry_run`` only says what would change."""
        params = {"dry_run": True} if dry_run else None
        return AccountImport.from_document(self.transport.document("POST", IMPORT, params=params))

    def remove_pool(self, name: str) -> None:
        """Takes the limit away: whoever waits is let in."""
        self.transport.call("DELETE", _path(name))


def _path(name: str) -> str:
    return f"{POOLS}/{quote(name)}"
