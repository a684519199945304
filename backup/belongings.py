"""Which items are a tenant's.

table        found by                                     left out, because
audit        the tenant's own partitions                  -
jobs         a scan: statistics by name have no index     secrets: encrypted by another key · waiters: of executions that are
                                                          elsewhere · idempotency keys: good for a day
models       a scan: versions and counters have no index  -
deployments  a scan: places and policies have no index    waiters · the way from an endpoint to its deployment
experiments  a scan: single exposures have no index       idempotency keys
retraining   a scan: what came for a run has no index     -
metrics      the partitions of the tenant's jobs          -
usage        a scan: receipts of deleted jobs, and sums   -
quotas       a scan: limits of who never had a job        counters: they are made of the jobs' records (`accounts.py`)
keys         -                                            hashed with the other installation's pepper: no key would open
capacity     -                                            whose turn it is: of open jobs, of this installation's pools
events       -                                            what could not be delivered there
webhooks     -                                            secrets are encrypted by another key; deliveries are of old events

A scan reads the table whole and gives what lies below `<tenant>#`. It is complete by construction: what a later release puts
beside a record comes along. A gigabyte is 262,144 read units.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chalicelib.metrics.items import full_pk, series_pk

if TYPE_CHECKING:
    from backup.installation import Installation

Stored = Mapping[str, Any]
"""An item in DynamoDB's own form."""


@dataclass(frozen=True)
class Belonging:
    """What of a table is exported.

    Attributes:
        without: sort keys that begin so are left out.
        is_told: the table's stream is told as events, so that its items say that they were imported.
    """

    table: str
    without: tuple[str, ...] = ()
    is_told: bool = False

    def keeps(self, item: Stored) -> bool:
        return not item["sk"]["S"].startswith(self.without)


AUDIT = Belonging("audit", is_told=True)
JOBS = Belonging("jobs", ("waiter#", "idempotency#", "secrets"), is_told=True)
MODELS = Belonging("models", is_told=True)
DEPLOYMENTS = Belonging("deployments", ("waiter", "endpoint"), is_told=True)
EXPERIMENTS = Belonging("experiments", ("idempotency#", "key#"))
RETRAINING = Belonging("retraining")
METRICS = Belonging("metrics", is_told=True)
USAGE = Belonging("usage")
QUOTAS = Belonging("quotas", ("now", "month#"))

ALL = (AUDIT, JOBS, MODELS, DEPLOYMENTS, EXPERIMENTS, RETRAINING, METRICS, USAGE, QUOTAS)
"""In the order of an export: what refers to something comes before it, and may at worst lack what is still to be made."""

LEFT_OUT = ("keys", "capacity", "events", "webhooks")


def object_prefixes(tenant: str) -> tuple[str, ...]:
    return (f"tenants/{tenant}/", f"captures/{tenant}/")


def found(installation: Installation, belonging: Belonging, tenant: str) -> Iterator[Stored]:
    """A tenant's items of a table, without those that are left out."""
    match belonging:
        case Belonging(table="audit"):
            items = _audit(installation, tenant)
        case Belonging(table="metrics"):
            items = _metrics(installation, tenant)
        case _:
            items = installation.scan(belonging.table, f"{tenant}#")
    return (item for item in items if belonging.keeps(item))


def there(installation: Installation, tenant: str) -> Iterator[str]:
    """What an installation has of a tenant, in words."""
    for belonging in ALL:
        if any(True for _ in found(installation, belonging, tenant)):
            yield f"records in {belonging.table}"
    for prefix in object_prefixes(tenant):
        if any(True for _ in installation.listed(prefix)):
            yield f"objects below {prefix}"


def _audit(installation: Installation, tenant: str) -> Iterator[Stored]:
    """The chain up to its head, and what waits for its seal.

    Sealing goes on meanwhile, from the inbox to the end of the chain: an entry that was seen in the inbox, and then as a
    row, is given as the row.
    """
    waiting = list(installation.query("audit", f"inbox#{tenant}"))
    head = next((item for item in installation.query("audit", tenant) if item["sk"]["S"] == "head"), None)
    sealed = set()
    if head is not None:
        last = f"row#{int(head['seq']['N']):012d}"
        for item in installation.query("audit", tenant):
            if item["sk"]["S"].startswith("row#") and item["sk"]["S"] <= last:
                sealed.add(item["listed_at"]["S"])
                yield item
        yield head
    # An inbox's sort key is what its row is listed by.
    yield from (item for item in waiting if item["sk"]["S"] not in sealed)


def _metrics(installation: Installation, tenant: str) -> Iterator[Stored]:
    for job in installation.query("jobs", tenant, index="by-tenant", key="tenant_key"):
        job_id = job["job_id"]["S"]
        known = list(installation.query("metrics", f"{tenant}#{job_id}"))
        yield from known
        # Beside them lies how many points the agent told of.
        for each in (item for item in known if "series" in item):
            pk = series_pk(tenant, job_id, each["series"]["S"])
            yield from installation.query("metrics", pk)
            yield from installation.query("metrics", full_pk(pk))
