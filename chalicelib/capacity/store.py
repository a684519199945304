"""Pools, entries and owners in DynamoDB: value in, value out.

    pk                        sk                     what
    pools                     <pool>                 a pool's settings and counters
    <tenant>#<job_id>         entry                  a job's entry
    <pool>#<level>#<owner>    <since>#<job_id>       a waiting job: a lane, oldest first
    <pool>#<level>            <score>#<owner>        the owners with a lane at this level, the least share first
    <pool>#admitted           <end>#<job_id>         an admitted job, by when it is expected to end
    <pool>#parked             <size>#<job_id>        a job that is larger than the pool
    <pool>#owners             <owner>                how much an owner has used, and how many jobs of theirs wait
    <pool>#untold             <job_id>               admitted, and its state machine does not know yet

The index `by-age` has what may still rise a level, by how long it has been at its own. Everything else is read with strong
consistency, and each read is of the first few of a partition: what an admission costs does not depend on how many wait.

Whatever happens to an entry is one transaction made by `moved`, which derives every counter from the entry as it was and as
it is: so the counters are the sums of the entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from chalicelib.capacity import items
from chalicelib.capacity.entry import Entry, Owner, State, Turn
from chalicelib.capacity.pool import HIGHEST, Pool
from chalicelib.cursor import Cursor
from chalicelib.table import ConditionFailed, Table, Write

# How far the order is looked through for one that may go before a head that does not fit.
OWNERS, DEPTH = 32, 25
ADMITTED = 200
# Three writes each, of the hundred that a transaction may have.
MARKED = 32
_PAGE = 25
# After so many half-lives nothing is left of a use that the floor of a score does not cover.
_FORGOTTEN_AFTER = 40


class Stale(Exception):
    """Somebody else changed a pool, an owner or an entry since it was read: read again and decide anew."""


@dataclass(frozen=True)
class CapacityStore:
    table: Table

    def pool(self, name: str) -> Pool | None:
        item = self.table.get(*items.pool_key(name))
        return items.pool_of(item) if item else None

    def pools(self) -> list[Pool]:
        return [items.pool_of(item) for item in self.table.all_of("pools", consistent=True)]

    def create_pool(self, pool: Pool, *also: Write) -> None:
        """
        Raises:
            Stale: there is one of this name already.
        """
        self.transact(self.table.put_if_absent(items.pool_item(pool)), *also)

    def change_settings(self, before: Pool, after: Pool, *also: Write) -> None:
        """
        Raises:
            Stale: the pool was changed since `before` was read.
        """
        item = items.pool_item(after)
        names = ("half_life_seconds", "aging_seconds", "preempt_low", "elapsed", "elapsed_at")
        settings: dict[str, Any] = {name: item[name] for name in names}
        if after.limit is not None:
            settings["limit"] = after.limit
        change = self.table.change(
            *items.pool_key(before.name),
            settings,
            add={"version": 1},
            remove=["limit"] if after.limit is None else [],
            **_as_read(before.version),
        )
        self.transact(change, *also)

    def entry(self, tenant: str, job_id: str) -> Entry | None:
        item = self.table.get(*items.entry_key(tenant, job_id))
        return items.entry_of(item) if item else None

    def owner(self, pool: str, name: str) -> Owner:
        """The owner; one who is not known has used nothing."""
        item = self.table.get(*items.owner_key(pool, name))
        return items.owner_of(item, pool) if item else Owner(pool, name)

    def moved(self, pool: Pool, owner: Owner, before: Entry | None, after: Entry | None, now: datetime) -> list[Write]:
        """What has to be written, all or nothing, when an entry comes, changes or goes.

        The transaction succeeds only if entry and owner are as they were read and, where something is admitted, if nothing
        was admitted, given back or set in the pool meanwhile. Two that admit at once:

            A: in_use 6 of 8, admit 2 if version is 41 ── succeeds: in_use 8, version 42
            B: in_use 6 of 8, admit 2 if version is 41 ── fails: reads again, finds 8 of 8, admits nobody
        """
        owner_after = owner.following(before, after, pool, now)
        return [
            *self._entry_writes(before, after),
            *self._owner_writes(owner, owner_after, now + timedelta(seconds=pool.half_life_seconds * _FORGOTTEN_AFTER)),
            *self._pool_writes(pool, before, after),
        ]

    def remember_untold(self, entry: Entry, token: str) -> Write:
        """With an admission: that the state machine has to be told."""
        return self.table.put(items.untold_item(entry.pool, entry.job_id, token))

    def untold(self, pool: str, limit: int) -> list[tuple[str, str]]:
        """Job ids and tokens."""
        page = self.table.query(("pk", items.untold_key(pool, "")[0]), limit=limit, consistent=True)
        return [(item["sk"], item["token"]) for item in page.items]

    def told(self, pool: str, job_id: str) -> None:
        self.table.write(self.table.delete(*items.untold_key(pool, job_id)))

    def change_token(self, before: Entry, after: Entry) -> None:
        """
        Raises:
            Stale: the entry is not as it was read.
        """
        self.transact(*self._entry_writes(before, after))

    def mark(self, pool: Pool, changes: Sequence[tuple[Entry, Entry]]) -> None:
        """Change admitted entries, all or none; two who do so at once do not both succeed.

        Args:
            changes: at most `MARKED`, each as it was read and as it shall be; still admitted, of the same size.

        Raises:
            Stale: an entry is not as it was read, or something was admitted, given back or set in the pool meanwhile.
        """
        version = self.table.change(*items.pool_key(pool.name), {}, add={"version": 1}, **_as_read(pool.version))
        self.transact(version, *(write for before, after in changes for write in self._entry_writes(before, after)))

    def waiting(self, pool: Pool, may_start: Callable[[int, int, int], bool]) -> Iterator[Entry]:
        """Who waits, in order: level, share, age. First the oldest of each owner, then their next ones.

        After the first of all, owners are left out whose jobs are all too large or too long to start. Read as far as it
        is asked for, and no further than `OWNERS` a level and `DEPTH` an owner; where there are more, it ends with the
        level, so that nobody of a lower one is let past somebody who was not looked at.
        """
        is_first = True
        for level in range(HIGHEST, -1, -1):
            if pool.waiting[level] <= 0:
                continue
            turns = self.turns(pool.name, level, OWNERS)
            for turn in turns:
                if is_first or may_start(level, turn.size, turn.limit_seconds):
                    head = self.lane(pool.name, level, turn.owner, 1)
                    yield from head
                    is_first = is_first and not head
            is_whole = len(turns) < OWNERS
            for turn in turns:
                if may_start(level, turn.size, turn.limit_seconds):
                    lane = self.lane(pool.name, level, turn.owner, DEPTH)
                    yield from lane[1:]
                    is_whole = is_whole and len(lane) < DEPTH
            if not is_whole:
                return

    def turns(self, pool: str, level: int, limit: int) -> list[Turn]:
        """The owners who wait at a level, the least share first."""
        page = self.table.query(("pk", items.level_pk(pool, level)), limit=limit, consistent=True)
        return [items.turn_of(item) for item in page.items]

    def lane(self, pool: str, level: int, owner: str, limit: int) -> list[Entry]:
        page = self.table.query(("pk", items.lane_pk(pool, level, owner)), limit=limit, consistent=True)
        return [items.entry_of(item) for item in page.items]

    def admitted(self, pool: str, at_most: int = ADMITTED) -> Iterator[Entry]:
        """Those admitted, by expected end; read in pages as they are asked for."""
        cursor: Cursor | None = None
        while at_most > 0:
            page = self.table.query(
                ("pk", f"{pool}#admitted"), after=cursor, limit=min(_PAGE, at_most), consistent=True
            )
            yield from (items.entry_of(item) for item in page.items)
            at_most -= len(page.items)
            cursor = page.cursor
            if cursor is None:
                return

    def longest_at_their_level(self, pool: str, limit: int) -> list[Entry]:
        """Those that may rise next. From an index, so what was written a moment ago may be missing or still there."""
        page = self.table.query(("age_key", pool), index="by-age", limit=limit)
        return [items.entry_of(item) for item in page.items]

    def smallest_parked(self, pool: str) -> Entry | None:
        page = self.table.query(("pk", f"{pool}#parked"), limit=1, consistent=True)
        return items.entry_of(page.items[0]) if page.items else None

    def transact(self, *writes: Write) -> None:
        """
        Raises:
            Stale: something is not as it was read.
        """
        try:
            self.table.transact(*writes)
        except ConditionFailed:
            raise Stale from None

    def _entry_writes(self, before: Entry | None, after: Entry | None) -> Iterator[Write]:
        entry = after or before
        if entry is None:
            return
        key = items.entry_key(entry.tenant, entry.job_id)
        if after is None and before is not None:
            yield self.table.delete(*key, **_as_read(before.version))
        elif after is not None:
            condition = _as_read(before.version) if before else {"condition": "attribute_not_exists(pk)"}
            yield self.table.put(items.entry_item(after), **condition)
        if before and not (after and items.place_key(after) == items.place_key(before)):
            yield self.table.delete(*items.place_key(before))
        if after:
            yield self.table.put(items.place_item(after))

    def _owner_writes(self, before: Owner, after: Owner, expires_at: datetime) -> Iterator[Write]:
        condition = _as_read(before.version) if before.version else {"condition": "attribute_not_exists(pk)"}
        yield self.table.put(items.owner_item(after, expires_at), **condition)
        old = {items.turn_key(before, level): before.least[level] for level in before.levels}
        new = {items.turn_key(after, level): level for level in after.levels}
        yield from (self.table.delete(*key) for key in old if key not in new)
        for key, level in new.items():
            if old.get(key) != after.least[level]:
                yield self.table.put(items.turn_item(after, level))

    def _pool_writes(self, pool: Pool, before: Entry | None, after: Entry | None) -> Iterator[Write]:
        amounts: dict[str, int] = {}
        for entry, sign in ((before, -1), (after, 1)):
            if entry is None:
                continue
            for name, amount in _counted(entry).items():
                amounts[name] = amounts.get(name, 0) + sign * amount
        amounts = {name: amount for name, amount in amounts.items() if amount}
        if not amounts:
            return
        arguments: dict[str, Any] = {}
        if "in_use" in amounts:
            amounts["version"] = 1
        if amounts.get("in_use", 0) > 0:
            arguments = _as_read(pool.version)
        yield self.table.change(*items.pool_key(pool.name), {}, add=amounts, **arguments)


def _counted(entry: Entry) -> dict[str, int]:
    """What an entry adds to its pool's counters."""
    match entry.state:
        case State.WAITING:
            return {items.waiting_attribute(entry.level): 1}
        case State.PARKED:
            return {"parked": 1}
        case State.ADMITTED:
            return {"in_use": entry.size}


def _as_read(version: int) -> dict[str, Any]:
    """The item is as it was read."""
    return {
        "condition": "#version = :read_version",
        "values": {":read_version": version},
        "names": {"#version": "version"},
    }
