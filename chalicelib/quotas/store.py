"""Accounts in DynamoDB: counters that are only ever added to, each addition conditional on the limit.

    pk                       sk               what
    <tenant>#user#<user>     limits           what an administrator set; absent: the defaults
    <tenant>#user#<user>     now              jobs, GPUs by type, storage
    <tenant>#user#<user>     month#<2026-11>  GPU seconds, CPU seconds, USD
    <tenant>#tenant          the same three   of the tenant as a whole
    check                    round            how far the daily check has come

A counter holds reserved and used together; `used_<counter>` the part of jobs that have ended. The index `by-kind` lists
the tenants, and the users of a tenant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from chalicelib.clock import to_text
from chalicelib.cursor import Cursor, pages
from chalicelib.quotas.quota import (
    TENANT_DEFAULTS,
    USER_DEFAULTS,
    Account,
    Amounts,
    Limits,
    Number,
    Owner,
    Reservation,
    growth,
)
from chalicelib.table import MAX_BATCH_KEYS, ConditionFailed, Item, Lookup, Table, Write

_LISTED = frozenset({"pk", "sk", "listed_at", "kind_key"})
_TENANTS = "tenants"
_LIST_PAGE = 100
_ROUND = ("check", "round")
_KEYS = frozenset({"pk", "sk", "kind_key", "listed_at", "version", "updated_at", "updated_by"})


@dataclass(frozen=True)
class Stored:
    """One item of counters, and how often it was changed."""

    version: int
    counters: Mapping[str, Number]


@dataclass(frozen=True)
class Round:
    """How far the daily check of all tenants has come.

    Attributes:
        day: on which it began.
        tenant: the last one that is done with.
        position: in the one after it; see `position.py`.
    """

    day: str
    tenant: str | None = None
    position: str | None = None
    is_over: bool = False


class StaleLimits(Exception):
    """Somebody else changed the limits since they were read."""


@dataclass(frozen=True)
class LimitsRecord:
    """Limits as stored: `version` 0 when nobody ever set any."""

    limits: Limits
    version: int = 0
    updated_at: str | None = None
    updated_by: str | None = None


@dataclass(frozen=True)
class OwnerPage:
    owners: tuple[Owner, ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class QuotaStore:
    table: Table

    def limits(self, *owners: Owner) -> list[LimitsRecord]:
        """The limits of several owners, in one call."""
        wanted = self.limits_lookup(*owners)
        return wanted.read(self.table.get_many(wanted.keys))

    def limits_lookup(self, *owners: Owner) -> Lookup[list[LimitsRecord]]:
        def read(items: Sequence[Item | None]) -> list[LimitsRecord]:
            return [_record(owner, item) for owner, item in zip(owners, items, strict=True)]

        return Lookup(self.table, [(account_pk(owner), "limits") for owner in owners], read)

    def account(self, owner: Owner, month: str) -> Account:
        """Limits and counters of one owner, all strongly consistent."""
        (account,) = self.accounts([owner], month)
        return account

    def accounts(self, owners: Sequence[Owner], month: str) -> list[Account]:
        """The same of several owners, in one call for 33 of them."""
        items = ("limits", "now", f"month#{month}")
        at_once = MAX_BATCH_KEYS // len(items)
        found: list[Account] = []
        for start in range(0, len(owners), at_once):
            part = owners[start : start + at_once]
            read = iter(self.table.get_many([(account_pk(owner), sk) for owner in part for sk in items]))
            for owner, limits, now, of_month in zip(part, read, read, read, strict=True):
                counters = _counters(now), _counters(of_month)
                found.append(Account(owner, _record(owner, limits).limits, month, *counters))
        return found

    def reserve(self, owner: Owner, limits: Limits, wanted: Reservation) -> list[Write]:
        """Add a reservation to an account, on condition that each counter then stays within its limit.

        Two reservations at the same moment, one place left:
          A: jobs <= 4? yes, jobs := 5 ── succeeds
          B: jobs <= 4? no, it is 5    ── fails as a whole, with the job that it belongs to
        """
        return [
            self._add(owner, "now", wanted.held(), limits),
            self._add(owner, f"month#{wanted.month}", wanted.most.monthly(), limits),
        ]

    def rereserve(self, owner: Owner, limits: Limits, held: Reservation, wanted: Reservation) -> list[Write]:
        """Put one reservation in another's place, on condition that each counter which grows stays within its limit."""
        now, month = growth(held, wanted)
        changes = ((f"month#{held.month}", month), ("now", now))
        return [self._add(owner, sk, amounts, limits) for sk, amounts in changes if any(amounts.values())]

    def settle(self, owner: Owner, held: Reservation, used: Amounts) -> list[Write]:
        """Give back what was reserved, and count what was used. Belongs into the transaction that ends the job."""
        stays = {"storage_bytes": used.storage_bytes}
        now = {name: stays.get(name, 0) - amount for name, amount in held.held().items()}
        month = {name: amount - held.most.monthly()[name] for name, amount in used.monthly().items()}
        return [
            self._add(owner, "now", {**now, "used_storage_bytes": used.storage_bytes}, None),
            self._add(
                owner,
                f"month#{held.month}",
                {**month, **{f"used_{name}": amount for name, amount in used.monthly().items()}},
                None,
            ),
        ]

    def give_back_storage(self, owner: Owner, storage_bytes: int) -> Write:
        """What a job left behind was deleted."""
        amounts: dict[str, Number] = {"storage_bytes": -storage_bytes, "used_storage_bytes": -storage_bytes}
        return self._add(owner, "now", amounts, None)

    def set_limits(self, owner: Owner, before: LimitsRecord, limits: Limits, by: str, now: datetime) -> Write:
        """Replace the limits that were read."""
        item = {
            "pk": account_pk(owner),
            "sk": "limits",
            **{name: value for name, value in vars(limits).items() if value is not None},
            "max_gpus": dict(limits.max_gpus),
            "version": before.version + 1,
            "updated_at": to_text(now),
            "updated_by": by,
        }
        condition, values = "attribute_not_exists(pk)", None
        if before.version:
            condition, values = "#version = :read_version", {":read_version": before.version}
        names = {"#version": "version"} if before.version else None
        return self.table.put(item, condition=condition, values=values, names=names)

    def write_limits(self, *writes: Write) -> None:
        """
        Raises:
            StaleLimits: they are not as they were read.
        """
        try:
            self.table.transact(*writes)
        except ConditionFailed:
            raise StaleLimits from None

    def round(self) -> Round | None:
        item = self.table.get(*_ROUND)
        if item is None:
            return None
        return Round(item["day"], item.get("tenant"), item.get("position"), item["is_over"])

    def keep_round(self, at: Round) -> None:
        pk, sk = _ROUND
        known = {name: value for name, value in vars(at).items() if value is not None}
        self.table.write(self.table.put({"pk": pk, "sk": sk, **known}))

    def items(self, owner: Owner) -> dict[str, Stored]:
        """All counters of an account, strongly consistent, by item (`now`, `month#2026-11`)."""
        found = self.table.all_of(account_pk(owner), consistent=True)
        return {item["sk"]: Stored(item["version"], _counters(item)) for item in found if item["sk"] != "limits"}

    def tenants_after(self, tenant: str | None) -> Iterator[str]:
        """The tenants that ever had a job, by name, those after one of them."""
        return (owner.tenant for owner in self._listed(None, Owner(tenant) if tenant else None))

    def owners_after(self, tenant: str, user: str | None) -> Iterator[Owner]:
        """The users of a tenant that ever had a job, by name, those after one of them."""
        return self._listed(tenant, Owner(tenant, user) if user else None)

    def _listed(self, tenant: str | None, after: Owner | None) -> Iterator[Owner]:
        cursor = Cursor({"pk": account_pk(after), "sk": "now", **listed_as(after)}) if after else None
        for page in pages(lambda after: self.owners(tenant, _LIST_PAGE, after), cursor):
            yield from page.owners

    def owners(self, tenant: str | None, limit: int, after: Cursor | None) -> OwnerPage:
        """The users of a tenant that ever had a job, by name; without a tenant, the tenants."""
        page = self.table.query(("kind_key", _kind(tenant)), index="by-kind", after=after, limit=limit)
        return OwnerPage(tuple(_owner(item) for item in page.items), page.cursor)

    @staticmethod
    def cursor(text: str | None, tenant: str) -> Cursor | None:
        return Cursor.of_list(text, _LISTED, {"kind_key": _kind(tenant)})

    def _add(self, owner: Owner, sk: str, amounts: Mapping[str, Number], limits: Limits | None) -> Write:
        names: dict[str, str] = {}
        values: dict[str, Any] = {}
        clauses = []
        for index, (counter, amount) in enumerate(amounts.items()):
            most = limits.most(counter) if limits else None
            # What shrinks may do so above a limit that was lowered.
            if most is None or amount <= 0:
                continue
            names[f"#c{index}"], values[f":room{index}"] = counter, most - amount
            within = f"#c{index} <= :room{index}"
            # An absent counter is zero, which is within the limit unless this amount alone is over it.
            clauses.append(within if amount > most else f"(attribute_not_exists(#c{index}) OR {within})")
        return self.table.change(
            account_pk(owner),
            sk,
            listed_as(owner) if sk == "now" else {},
            add={**amounts, "version": 1},
            condition=" AND ".join(clauses) or None,
            values=values or None,
            names=names or None,
        )


def account_pk(owner: Owner) -> str:
    return f"{owner.tenant}#tenant" if owner.user is None else f"{owner.tenant}#user#{owner.user}"


def listed_as(owner: Owner) -> dict[str, str]:
    return {"kind_key": _kind(owner.tenant if owner.user else None), "listed_at": owner.user or owner.tenant}


def _kind(tenant: str | None) -> str:
    return _TENANTS if tenant is None else f"users#{tenant}"


def _owner(item: Mapping[str, Any]) -> Owner:
    if item["kind_key"] == _TENANTS:
        return Owner(item["listed_at"])
    return Owner(item["kind_key"].removeprefix("users#"), item["listed_at"])


def _record(owner: Owner, item: Mapping[str, Any] | None) -> LimitsRecord:
    if item is None:
        return LimitsRecord(USER_DEFAULTS if owner.user else TENANT_DEFAULTS)
    usd = item.get("max_usd_per_month")
    limits = Limits(
        max_concurrent_jobs=item.get("max_concurrent_jobs"),
        max_gpu_hours_per_month=item.get("max_gpu_hours_per_month"),
        max_cpu_hours_per_month=item.get("max_cpu_hours_per_month"),
        max_storage_gb=item.get("max_storage_gb"),
        max_usd_per_month=None if usd is None else Decimal(usd),
        max_runtime_seconds=item.get("max_runtime_seconds"),
        max_gpus=item.get("max_gpus", {}),
    )
    return LimitsRecord(limits, item["version"], item.get("updated_at"), item.get("updated_by"))


def _counters(item: Mapping[str, Any] | None) -> dict[str, Number]:
    return {name: value for name, value in (item or {}).items() if name not in _KEYS}
