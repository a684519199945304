"""The function that the table's stream calls: something waits in a tenant's inbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chalicelib.audit.store import tenant_of_inbox
from chalicelib.log import logger

if TYPE_CHECKING:
    from chalicelib.bootstrap import Platform


class SealingFailed(Exception):
    """Entries of these tenants still wait. The stream repeats its call."""


def chain_audit(platform: Platform, event: Mapping[str, Any]) -> None:
    """Seal what waits for every tenant that the records name. One tenant's trouble holds up no other."""
    keys = (record["dynamodb"]["Keys"]["pk"]["S"] for record in event["Records"])
    failed = []
    for tenant in dict.fromkeys(map(tenant_of_inbox, keys)):
        try:
            sealed = platform.audit_sealing.seal(tenant)
        except Exception:  # noqa: BLE001  whatever it was, the next tenant comes first
            logger.exception("sealing failed", extra={"tenant": tenant})
            failed.append(tenant)
        else:
            # Whoever can change the table can't change this line: a second witness of where the chain was.
            head = {"seq": sealed.head.seq, "hash": sealed.head.hash}
            logger.info("sealed", extra={"tenant": tenant, "rows": sealed.rows, "head": head})
            if not sealed.is_all:
                failed.append(tenant)
    if failed:
        raise SealingFailed(", ".join(failed))
