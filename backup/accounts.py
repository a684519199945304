"""The counters of the quotas, from the records of the jobs.

They are not copied but made anew, by the rule that the daily check compares them with (`chalicelib/quotas/check.py`): an
export that was taken while jobs came and went has records and counters of different moments, and an import whose counters
don't fit would be found by the next check.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from backup.belongings import Stored
from chalicelib.jobs.items import charged_from
from chalicelib.quotas.check import added, counted
from chalicelib.quotas.position import Counters
from chalicelib.quotas.quota import Owner
from chalicelib.quotas.store import account_pk, listed_as
from chalicelib.table import decode, encode


def accounts(tenant: str, jobs: Iterable[Stored]) -> Iterator[Stored]:
    """The items of all accounts of a tenant: those of its users, and its own.

    Args:
        jobs: all records of its jobs, those of deleted ones included.
    """
    users: dict[str, Counters] = {}
    for job in jobs:
        charged = charged_from(decode(job))
        users[charged.user] = added(users.get(charged.user, {}), counted([charged]))
    whole: Counters = {}
    for user in sorted(users):
        yield from _items(Owner(tenant, user), users[user])
        whole = added(whole, users[user])
    if users:
        yield from _items(Owner(tenant), whole)


def _items(owner: Owner, counters: Counters) -> Iterator[Stored]:
    for sk in sorted({"now", *counters}):
        listed = listed_as(owner) if sk == "now" else {}
        yield encode({"pk": account_pk(owner), "sk": sk, **listed, **counters.get(sk, {}), "version": 1})
