"""Usage in DynamoDB: value in, value out.

    pk                                  sk         what
    <tenant>#<job_id>                   meter      what the control plane used for the job so far
    <tenant>#<job_id>                   usage      the row of the usage log
    <tenant>#<job_id>                   receipt    the sealed receipt, written once
    <tenant>#summary#<month>#<kind>     <value>    the month's sums of a user, a tenant, a framework or a name

The log is read from the indexes `by-tenant-month` and `by-owner-month`, newest first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from chalicelib.clock import from_text, to_text
from chalicelib.costs.counts import Counts
from chalicelib.costs.receipt import Sealed
from chalicelib.costs.usage import Amounts, Summary, SummaryKind, UsageRow
from chalicelib.cursor import Cursor
from chalicelib.table import ConditionFailed, Item, Table, Write

_LISTED = ("pk", "sk", "listed_at")
_BY_TENANT = ("by-tenant-month", "tenant_month_key")
_BY_OWNER = ("by-owner-month", "owner_month_key")


@dataclass(frozen=True)
class UsagePage:
    rows: tuple[UsageRow, ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class UsageStore:
    table: Table

    def add(self, tenant: str, job_id: str, counts: Counts) -> None:
        """Add to a job's meter."""
        self.table.write(self.table.change(_pk(tenant, job_id), "meter", {}, add=counts.amounts))

    def counted(self, tenant: str, job_id: str) -> Counts:
        item = self.table.get(_pk(tenant, job_id), "meter") or {}
        return Counts({name: Decimal(amount) for name, amount in item.items() if name not in {"pk", "sk"}})

    def log(self, row: UsageRow) -> list[Write]:
        """Writes for the transaction that ends a job: its row, and its part of four monthly sums.

        The transaction's own condition, that the job had not ended, makes them happen once.
        """
        sums = {"jobs": 1, **vars(row.amounts)}
        summaries = (
            self.table.change(_summary_pk(row.tenant, row.month, kind), row.group(kind), {}, add=sums)
            for kind in SummaryKind
        )
        return [self.table.put(_item(row)), *summaries]

    def rows(
        self, tenant: str, month: str, user: str | None, limit: int, offset: int, after: Cursor | None
    ) -> UsagePage:
        """The month's rows of a tenant, or of one user, newest first."""
        index, name, value = _list(tenant, month, user)
        page = self.table.query((name, value), index=index, after=after, limit=limit, offset=offset, newest_first=True)
        return UsagePage(tuple(_row(item) for item in page.items), page.cursor)

    @staticmethod
    def cursor(text: str | None, tenant: str, month: str, user: str | None) -> Cursor | None:
        """Read a list's cursor; its key is that of the list that is asked for now, so it can't lead elsewhere."""
        _, name, value = _list(tenant, month, user)
        return Cursor.of_list(text, _LISTED, {name: value})

    def summary(self, tenant: str, month: str, kind: SummaryKind, value: str) -> Summary | None:
        item = self.table.get(_summary_pk(tenant, month, kind), value)
        return _summary(item, month, kind) if item else None

    def summaries(self, tenant: str, month: str, kind: SummaryKind) -> Iterator[Summary]:
        """All sums of one kind, by value."""
        return (_summary(item, month, kind) for item in self.table.all_of(_summary_pk(tenant, month, kind)))

    def receipt(self, tenant: str, job_id: str) -> Sealed | None:
        item = self.table.get(_pk(tenant, job_id), "receipt")
        return Sealed(item["text"], item["signature"], item["key_id"]) if item else None

    def put_receipt(self, tenant: str, job_id: str, receipt: Sealed) -> bool:
        """Keep a receipt for ever; False when the job has one already."""
        try:
            self.table.write(self.table.put_if_absent({"pk": _pk(tenant, job_id), "sk": "receipt", **vars(receipt)}))
        except ConditionFailed:
            return False
        return True


def _pk(tenant: str, job_id: str) -> str:
    return f"{tenant}#{job_id}"


def _summary_pk(tenant: str, month: str, kind: SummaryKind) -> str:
    return f"{tenant}#summary#{month}#{kind.value}"


def _list(tenant: str, month: str, user: str | None) -> tuple[str, str, str]:
    """Index, name and value of the key of a list."""
    if user is None:
        return (*_BY_TENANT, f"{tenant}#{month}")
    return (*_BY_OWNER, f"{tenant}#{user}#{month}")


def _item(row: UsageRow) -> Item:
    return {
        "pk": _pk(row.tenant, row.job_id),
        "sk": "usage",
        **{name: getattr(row, name) for name in ("tenant", "user", "job_id", "name", "framework", "status", "month")},
        **vars(row.amounts),
        "period_start": to_text(row.period_start),
        "period_end": to_text(row.period_end),
        # What the indexes are keyed by.
        "tenant_month_key": f"{row.tenant}#{row.month}",
        "owner_month_key": f"{row.tenant}#{row.user}#{row.month}",
        "listed_at": f"{to_text(row.period_end)}#{row.job_id}",
    }


def _row(item: Mapping[str, Any]) -> UsageRow:
    return UsageRow(
        **{name: item[name] for name in ("tenant", "user", "job_id", "name", "framework", "status", "month")},
        amounts=Amounts.from_dict(item),
        period_start=from_text(item["period_start"]),
        period_end=from_text(item["period_end"]),
    )


def _summary(item: Mapping[str, Any], month: str, kind: SummaryKind) -> Summary:
    return Summary(kind, item["sk"], month, int(item["jobs"]), Amounts.from_dict(item))
