"""Revisions that have settled, in DynamoDB beside the deployment that they are of: what it can be rolled back to.

pk                          sk                     what
<tenant>#<deployment_id>    revision#<number>      a settled revision, the number with eight digits
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from chalicelib.clock import from_text, is_id, to_text
from chalicelib.cursor import Cursor, pages
from chalicelib.deployments.deployment import MAX_REVISION, Deployment, Revision
from chalicelib.deployments.items import revision_item, revision_of
from chalicelib.table import Item, Table, Write

_PREFIX = "revision#"
_PAGE = 25


class RevisionOutcome(Enum):
    ACTIVE = "active"
    """It answered."""
    FAILED = "failed"
    """It never did: the one before went on, or nothing."""


@dataclass(frozen=True)
class PastRevision:
    """
    Attributes:
        user: who asked for it.
        settled_at: when it was known whether it answers.
        reason: why it failed.
    """

    revision: Revision
    user: str
    settled_at: datetime
    outcome: RevisionOutcome
    reason: str | None = None


@dataclass(frozen=True)
class RevisionPage:
    revisions: tuple[PastRevision, ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class RevisionHistory:
    table: Table

    def settled(self, before: Deployment, after: Deployment, now: datetime) -> Write:
        """What has become of the target, to be written with the deployment."""
        target, failure = before.target, after.last_failure
        if after.active is not None and after.active.number == target.number:
            past = PastRevision(target, before.user, now, RevisionOutcome.ACTIVE)
        else:
            reason = after.failure_reason or (failure.reason if failure else None)
            past = PastRevision(target, before.user, now, RevisionOutcome.FAILED, reason)
        return self.table.put(_item(before.tenant, before.deployment_id, past))

    def get(self, tenant: str, deployment_id: str, number: int) -> PastRevision | None:
        """None for one that has not settled, too."""
        if not is_id(deployment_id) or not 1 <= number <= MAX_REVISION:
            return None
        item = self.table.get(f"{tenant}#{deployment_id}", _sk(number))
        return _past(item) if item else None

    def search(self, tenant: str, deployment_id: str, limit: int, offset: int, after: Cursor | None) -> RevisionPage:
        """Newest first."""
        page = self.table.query(
            ("pk", f"{tenant}#{deployment_id}"),
            begins_with=("sk", _PREFIX),
            after=after,
            limit=limit,
            offset=offset,
            newest_first=True,
        )
        return RevisionPage(tuple(map(_past, page.items)), page.cursor)

    def newest_first(self, tenant: str, deployment_id: str) -> Iterator[PastRevision]:
        """All of them, read as they are looked at."""
        for page in pages(lambda after: self.search(tenant, deployment_id, _PAGE, 0, after)):
            yield from page.revisions

    @staticmethod
    def cursor(text: str | None, tenant: str, deployment_id: str) -> Cursor | None:
        """Read a list's cursor; its key is that of the list that is asked for now, so it can't lead elsewhere."""
        return Cursor.of_list(text, ("sk",), {"pk": f"{tenant}#{deployment_id}"})


def _sk(number: int) -> str:
    return f"{_PREFIX}{number:08d}"


def _item(tenant: str, deployment_id: str, past: PastRevision) -> Item:
    return {
        "pk": f"{tenant}#{deployment_id}",
        "sk": _sk(past.revision.number),
        "revision": revision_item(past.revision),
        "user": past.user,
        "settled_at": to_text(past.settled_at),
        "outcome": past.outcome.value,
        "reason": past.reason,
    }


def _past(item: Mapping[str, Any]) -> PastRevision:
    return PastRevision(
        revision=revision_of(item["revision"]),
        user=item["user"],
        settled_at=from_text(item["settled_at"]),
        outcome=RevisionOutcome(item["outcome"]),
        reason=item.get("reason"),
    )
