"""Policies, their runs, and what came for them, in DynamoDB: value in, value out.

pk                           sk                what
<tenant>#retraining          <policy id>       a policy
<tenant>#<policy id>         standing          which run gathers, which trains, what has been spent
<tenant>#<policy id>         run#<number>      a run
<tenant>#<policy id>         seen#<digest>     the last event of an object: what comes again is not taken again
<tenant>#<policy id>#<run>   <digest>          an object that came for a run
<tenant>#job#<job id>        run               which run a job is of
<tenant>#data#<data id>      <policy>#<run>    a run that was given this data
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from chalicelib.clock import is_id, to_text
from chalicelib.cursor import Cursor
from chalicelib.retraining.items import (
    POLICY_LISTED,
    policies_pk,
    policy_item,
    policy_of,
    run_item,
    run_key,
    run_of,
)
from chalicelib.retraining.policy import RetrainingPolicy
from chalicelib.retraining.run import Run, RunStatus
from chalicelib.retraining.upload import Upload
from chalicelib.table import ConditionFailed, Item, Table, Write

KEPT = timedelta(days=30)
"""How long it is remembered which objects came: longer than an event can be on its way, dead letters included."""

AT_ONCE = 49
"""Uploads in a transaction: each is two writes, and the run is one more of at most 100."""

_STANDING = "standing"
_PAGE = 1000
_VERSION = {"#record_version": "record_version"}
_UNCHANGED = "#record_version = :read_version"


class Stale(Exception):
    """Somebody else changed one of the records since it was read: read again and decide anew."""


@dataclass(frozen=True)
class Standing:
    """How it stands with a policy.

    Attributes:
        gathering: the run that takes objects now.
        training: the run whose job has not ended, as far as is known.
        last: the number of the last run; 0 before the first.
        month, spent_usd: what its jobs that ended in this month cost.
        profile: what the schema check saw of the last run's data, as JSON.
    """

    gathering: int | None = None
    training: int | None = None
    last: int = 0
    month: str = ""
    spent_usd: Decimal = Decimal(0)
    profile: str | None = None
    record_version: int = 0

    def spent_in(self, month: str) -> Decimal:
        return self.spent_usd if self.month == month else Decimal(0)


@dataclass(frozen=True)
class PolicyPage:
    policies: tuple[RetrainingPolicy, ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class RunPage:
    runs: tuple[Run, ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class Arrived:
    """An object that came for a run."""

    key: str
    size: int
    etag: str
    version_id: str | None
    is_deletion: bool


@dataclass(frozen=True)
class RetrainingStore:
    table: Table

    # Policies

    def policy(self, tenant: str, policy_id: str) -> RetrainingPolicy | None:
        item = self.table.get(policies_pk(tenant), policy_id) if is_id(policy_id) else None
        return policy_of(item) if item else None

    def policies(self, tenant: str) -> Iterator[RetrainingPolicy]:
        """All of a tenant."""
        return map(policy_of, self.table.all_of(policies_pk(tenant)))

    def put_policy(self, before: RetrainingPolicy | None, after: RetrainingPolicy, *also: Write) -> None:
        """
        Args:
            before: as it was read; None: it is a new one.
            also: writes that happen in the same transaction, or not at all.

        Raises:
            Stale: it is not as `before` says any more.
        """
        if before is None:
            write = self.table.put_if_absent(policy_item(after))
        else:
            values = {":read_version": before.record_version}
            write = self.table.put(policy_item(after), condition=_UNCHANGED, values=values, names=_VERSION)
        self._transact(write, *also)

    def delete_policy(self, policy: RetrainingPolicy, *also: Write) -> None:
        """The policy; its runs stay."""
        self._transact(self.table.delete(policies_pk(policy.tenant), policy.policy_id), *also)

    def search(self, tenant: str, limit: int, offset: int, after: Cursor | None) -> PolicyPage:
        page = self.table.query(("pk", policies_pk(tenant)), after=after, limit=limit, offset=offset)
        return PolicyPage(tuple(map(policy_of, page.items)), page.cursor)

    @staticmethod
    def policy_cursor(text: str | None, tenant: str) -> Cursor | None:
        """Read a list's cursor; its key is that of the list that is asked for now, so it can't lead elsewhere."""
        return Cursor.of_list(text, POLICY_LISTED, {"pk": policies_pk(tenant)})

    # Runs

    def standing(self, tenant: str, policy_id: str) -> Standing:
        item = self.table.get(f"{tenant}#{policy_id}", _STANDING)
        if item is None:
            return Standing()
        return Standing(**{name: item.get(name, value) for name, value in vars(Standing()).items()})

    def run(self, tenant: str, policy_id: str, number: int) -> Run | None:
        item = self.table.get(*run_key(tenant, policy_id, number)) if is_id(policy_id) else None
        return run_of(item) if item else None

    def runs(self, tenant: str, policy_id: str, limit: int, offset: int, after: Cursor | None) -> RunPage:
        """Newest first."""
        page = self.table.query(
            ("pk", f"{tenant}#{policy_id}"),
            begins_with=("sk", "run#"),
            after=after,
            limit=limit,
            offset=offset,
            newest_first=True,
        )
        return RunPage(tuple(map(run_of, page.items)), page.cursor)

    @staticmethod
    def run_cursor(text: str | None, tenant: str, policy_id: str) -> Cursor | None:
        return Cursor.of_list(text, ("sk",), {"pk": f"{tenant}#{policy_id}"})

    def open(self, run: Run, standing: Standing, *also: Write) -> None:
        """Record a run, which takes objects from now on, or begins at once.

        Raises:
            Stale: another run was begun meanwhile.
        """
        is_gathering = not run.status.is_over and run.objects is None
        after = replace(standing, last=run.number, gathering=run.number if is_gathering else standing.gathering)
        self._transact(self.table.put_if_absent(run_item(run)), self._stand(run, standing, after), *also)

    def change(self, before: Run, after: Run, now: datetime, *also: Write) -> Run:
        """
        Raises:
            Stale: it is not as `before` was read any more, or one of the other writes failed.
        """
        after = replace(after, record_version=before.record_version + 1, updated_at=now)
        values = {":read_version": before.record_version}
        write = self.table.put(run_item(after), condition=_UNCHANGED, values=values, names=_VERSION)
        self._transact(write, *also)
        return after

    def stand(self, run: Run, before: Standing, after: Standing) -> Write:
        """For `change`: how it stands with the policy from then on."""
        return self._stand(run, before, after)

    def of_job(self, run: Run) -> Sequence[Write]:
        """For `change`: what lets a run be found by its job and by its data."""
        pointer = {"tenant": run.tenant, "policy_id": run.policy_id, "number": run.number}
        found = [self.table.put({"pk": f"{run.tenant}#job#{run.job_id}", "sk": "run", **pointer})]
        if run.data is not None:
            sk = f"{run.policy_id}#{run.number:08d}"
            found.append(self.table.put({"pk": f"{run.tenant}#data#{run.data.data_id}", "sk": sk, **pointer}))
        return found

    def by_job(self, tenant: str, job_id: str) -> Run | None:
        item = self.table.get(f"{tenant}#job#{job_id}", "run")
        return self.run(tenant, item["policy_id"], int(item["number"])) if item else None

    def by_data(self, tenant: str, data_id: str, limit: int) -> list[Run]:
        """Runs that were given this data."""
        page = self.table.query(("pk", f"{tenant}#data#{data_id}"), limit=limit)
        found = (self.run(tenant, item["policy_id"], int(item["number"])) for item in page.items)
        return [run for run in found if run is not None]

    # Objects

    def gather(
        self, run: Run, uploads: Sequence[Upload], now: datetime, completes: Callable[[Upload], bool] = lambda _: False
    ) -> int:
        """Add uploads to a run that gathers; those that came before, or are older than what came, are left.

        Args:
            uploads: at most `AT_ONCE`, of different keys.
            completes: whether one says that the run's set is complete, if it is new.

        Returns:
            How many were new.

        Raises:
            Stale: the run takes no objects any more.
        """
        fresh = list(uploads)
        while fresh:
            pk, sk = run_key(run.tenant, run.policy_id, run.number)
            is_complete = any(map(completes, fresh))
            still = self.table.change(
                pk,
                sk,
                {"last_at": to_text(now), **({"is_complete": True} if is_complete else {})},
                add={"record_version": 1},
                condition="#status = :gathering",
                values={":gathering": RunStatus.GATHERING.value},
                names={"#status": "status"},
            )
            pairs = [self._seen(run, each, now) for each in fresh]
            objects = [self.table.put(self._object(run, each, now)) for each in fresh]
            try:
                self.table.transact(still, *pairs, *objects)
            except ConditionFailed as failed:
                if failed.failed(0):
                    raise Stale from None
                fresh = [each for at, each in enumerate(fresh) if not failed.failed(1 + at)]
            else:
                break
        return len(fresh)

    def await_look(self, run: Run, at: datetime | None) -> None:
        """Note when the word comes that a run is to be looked at; None: none is on its way."""
        pk, sk = run_key(run.tenant, run.policy_id, run.number)
        write = self.table.change(
            pk,
            sk,
            {"look_at": to_text(at)} if at else {},
            add={"record_version": 1},
            remove=() if at else ("look_at",),
            condition="#status = :gathering",
            values={":gathering": RunStatus.GATHERING.value},
            names={"#status": "status"},
        )
        try:
            self.table.write(write)
        except ConditionFailed:
            return

    def forget(self, policy: RetrainingPolicy, uploads: Sequence[Upload], now: datetime) -> None:
        """Note deletions for which no run gathers: an older event of the same object must not bring it back."""
        for upload in uploads:
            try:
                self.table.write(self._seen(policy, upload, now))
            except ConditionFailed:
                continue

    def are_new(self, policy: RetrainingPolicy, uploads: Sequence[Upload]) -> list[Upload]:
        """Those of at most 100 that did not come before, and are no older than what came."""
        pk = f"{policy.tenant}#{policy.policy_id}"
        seen = self.table.get_many([(pk, f"seen#{upload.digest}") for upload in uploads])
        pairs = zip(uploads, seen, strict=True)
        return [upload for upload, item in pairs if item is None or item["sequencer"] < upload.sequencer]

    def arrived(self, run: Run) -> Iterator[Arrived]:
        """What came for a run, in no order; what was deleted since is among it."""
        for item in self.table.all_of(f"{run.tenant}#{run.policy_id}#{run.number}", consistent=True):
            yield Arrived(item["key"], int(item["size"]), item["etag"], item.get("version_id"), item["is_deletion"])

    def _seen(self, of: Run | RetrainingPolicy, upload: Upload, now: datetime) -> Write:
        item: Item = {
            "pk": f"{of.tenant}#{of.policy_id}",
            "sk": f"seen#{upload.digest}",
            "sequencer": upload.sequencer,
            "expires_at": int((now + KEPT).timestamp()),
        }
        later = "attribute_not_exists(pk) OR sequencer < :sequencer"
        return self.table.put(item, condition=later, values={":sequencer": upload.sequencer})

    def _object(self, run: Run, upload: Upload, now: datetime) -> Item:
        return {
            "pk": f"{run.tenant}#{run.policy_id}#{run.number}",
            "sk": upload.digest,
            "key": upload.key,
            "size": upload.size,
            "etag": upload.etag,
            "version_id": upload.version_id,
            "is_deletion": upload.is_deletion,
            "expires_at": int((now + KEPT).timestamp()),
        }

    def _stand(self, run: Run, before: Standing, after: Standing) -> Write:
        item: Mapping[str, Any] = {
            "pk": f"{run.tenant}#{run.policy_id}",
            "sk": _STANDING,
            **vars(replace(after, record_version=before.record_version + 1)),
        }
        if before.record_version == 0:
            return self.table.put_if_absent(dict(item))
        values = {":read_version": before.record_version}
        return self.table.put(dict(item), condition=_UNCHANGED, values=values, names=_VERSION)

    def _transact(self, *writes: Write) -> None:
        try:
            self.table.transact(*writes)
        except ConditionFailed:
            raise Stale from None
