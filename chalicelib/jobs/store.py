"""Job records in DynamoDB: value in, value out, and every condition under its name.

    pk                       sk                     what
    <tenant>#<job_id>        job                    the job
    <tenant>#<job_id>        attempt#<0001>         one attempt
    <tenant>#<job_id>        waiter#<0001>          the task token of the machine that waits for its end in a queue
    <tenant>#<job_id>        change#<0000000001>    its ledger, see `ledger_store.py`
    <tenant>#<job_id>        report                 what the script says of itself: progress, MLflow run
    <tenant>#<job_id>        secrets                secret variables, encrypted: apart, so that no index or list has them
    <tenant>#user#<user>     idempotency#<key>      which job an Idempotency-Key made, for a day
    <tenant>#name#<name>     runtime#<instance>     how long jobs of this name took on this instance type
    <tenant>#name#<name>     checkpoints            how often jobs of this name wrote a checkpoint
    <tenant>#spot            spot#<instance>        how often spot jobs of the tenant were interrupted on it, in which time
    <tenant>#frameworks      <day>#<framework>      what became of its jobs, see `chalicelib/stats/store.py`

Lists read the indexes `by-tenant`, `by-tenant-status`, `by-owner` and `by-owner-status`, newest first: a page costs the
same whether there are a hundred jobs or a million.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from chalicelib.clock import is_id, to_text
from chalicelib.costs.estimate import Runtimes
from chalicelib.cursor import Cursor
from chalicelib.jobs.items import (
    attempt_from,
    attempt_item,
    attempt_sk,
    charged_from,
    checkpointing_text,
    job_from,
    job_item,
    pk_of,
    report_from,
)
from chalicelib.jobs.job import (
    Attempt,
    Checkpointing,
    Job,
    JobFilter,
    JobStatus,
    Progress,
    Report,
    Run,
)
from chalicelib.jobs.life import Event, Submitted, apply
from chalicelib.jobs.secrets import Sealed
from chalicelib.jobs.spot import History, Intervals
from chalicelib.quotas.check import Charged
from chalicelib.quotas.quota import Amounts
from chalicelib.stats.framework import SUBMITTED, ended
from chalicelib.stats.store import FrameworkStore
from chalicelib.table import ConditionFailed, Item, Lookup, Page, Table, Write, as_json

IDEMPOTENCY_LIFETIME = timedelta(days=1)

_DELETED = "deleted"
_LISTED = ("pk", "sk", "listed_at")
_INDEX = {
    (False, False): ("by-tenant", "tenant_key"),
    (False, True): ("by-tenant-status", "tenant_status_key"),
    (True, False): ("by-owner", "owner_key"),
    (True, True): ("by-owner-status", "owner_status_key"),
}
# The record is as it was read, and nobody has finished it meanwhile.
_UNCHANGED_AND_OPEN = "#version = :read_version AND #status IN (:pending, :running)"
_NAMES = {"#version": "version", "#status": "status"}
_OPEN = {":pending": JobStatus.PENDING.value, ":running": JobStatus.RUNNING.value}


class StaleJob(Exception):
    """Somebody else changed the record since it was read: read it again and decide anew."""


@dataclass(frozen=True)
class Submission:
    """What an Idempotency-Key made before: which job, for which request."""

    job_id: str
    fingerprint: str


@dataclass(frozen=True)
class JobPage:
    jobs: tuple[Job, ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class JobStore:
    table: Table

    def get(self, tenant: str, job_id: str) -> Job | None:
        item = self.table.get(pk_of(tenant, job_id), "job") if is_id(job_id) else None
        return job_from(item) if item and item["status"] != _DELETED else None

    def require(self, tenant: str, job_id: str) -> Job:
        """The job that a task was called for.

        Raises:
            LookupError: there is none, so the call is a mistake.
        """
        job = self.get(tenant, job_id)
        if job is None:
            raise LookupError(f"there is no job {job_id} of tenant {tenant}")
        return job

    def create(self, job: Job, key: str | None, fingerprint: str, *also: Write) -> Submission | None:
        """Record a new job and its Idempotency-Key, and count it, in one transaction.

        Args:
            also: writes that happen in the same transaction, or not at all.

        Returns:
            None when the job was created; what the key made before when it was used already.

        Raises:
            ConditionFailed: nothing was created, because a condition of `also` does not hold.
        """
        item = {**job_item(job), "event": as_json(Submitted().to_dict())}
        writes: list[Write] = [self.table.put_if_absent(item), FrameworkStore(self.table).add(job, SUBMITTED)]
        if key:
            expires = int((job.created_at + IDEMPOTENCY_LIFETIME).timestamp())
            # Two requests with one key, at the same moment:
            #   A: put job A + put key if absent or expired ── succeeds
            #   B: put job B + put key if absent or expired ── fails as a whole: no job B, and B answers with job A
            entry = {
                **_key(job.tenant, job.user, key),
                "job_id": job.job_id,
                "fingerprint": fingerprint,
                "expires_at": expires,
            }
            absent_or_expired = "attribute_not_exists(pk) OR expires_at < :now"
            writes.append(
                self.table.put(entry, condition=absent_or_expired, values={":now": int(job.created_at.timestamp())})
            )
        try:
            self.table.transact(*writes, *also)
        except ConditionFailed:
            if key and (made := self.submission(job.tenant, job.user, key)):
                return made
            raise
        return None

    def submission(self, tenant: str, user: str, key: str) -> Submission | None:
        item = self.table.get(**_key(tenant, user, key))
        return Submission(item["job_id"], item["fingerprint"]) if item else None

    def change(self, before: Job, event: Event, now: datetime, *also: Write) -> Job:
        """Record what an event makes of a job, with the next version, if the record is still as `before` was read.

        An event that changes nothing (see `life.py`) writes nothing, and nothing of `also`. A job that ends is counted in
        the same transaction.

        Args:
            also: writes that happen in the same transaction, or not at all.

        Raises:
            StaleJob: it is not.
        """
        after = apply(before, event)
        if after == before:
            return before
        after = replace(after, version=before.version + 1, updated_at=now)
        values = {":read_version": before.version, **_OPEN}
        item = {**job_item(after), "event": as_json(event.to_dict())}
        write = self.table.put(item, condition=_UNCHANGED_AND_OPEN, values=values, names=_NAMES)
        if after.status.is_finished:
            also = (*also, FrameworkStore(self.table).add(after, ended(after)))
        try:
            if also:
                self.table.transact(write, *also)
            else:
                self.table.write(write)
        except ConditionFailed:
            raise StaleJob(before.job_id) from None
        return after

    def search(self, tenant: str, wanted: JobFilter, limit: int, offset: int, after: Cursor | None) -> JobPage:
        index, key = _INDEX[wanted.user is not None, wanted.status is not None]
        parts = [tenant, wanted.user, wanted.status.value if wanted.status else None]
        value = "#".join(part for part in parts if part is not None)
        page: Page = self.table.query(
            (key, value), index=index, after=after, limit=limit, offset=offset, newest_first=True
        )
        return JobPage(tuple(job_from(item) for item in page.items), page.cursor)

    @staticmethod
    def cursor(text: str | None, tenant: str, wanted: JobFilter) -> Cursor | None:
        """Read a list's cursor; its keys are those of the list that is asked for now, so it can't lead elsewhere."""
        _, key = _INDEX[wanted.user is not None, wanted.status is not None]
        parts = [tenant, wanted.user, wanted.status.value if wanted.status else None]
        return Cursor.of_list(text, _LISTED, {key: "#".join(part for part in parts if part is not None)})

    def charged(
        self, tenant: str, user: str | None, is_deleted: bool, after: str | None
    ) -> tuple[list[Charged], str | None]:
        """What jobs hold or took: all that the counters of quotas are made of.

        Args:
            user: whose; None for everybody's.
            is_deleted: those that were deleted, or those that are there.
            after: where the page before ended.

        Returns:
            A page, and where it ended; None at the end of all.

        Raises:
            InvalidRequest: `after` is no position in this list.
        """
        index, name = _INDEX[user is not None, is_deleted]
        value = "#".join(part for part in (tenant, user, _DELETED if is_deleted else None) if part is not None)
        start = Cursor.of_list(after, _LISTED, {name: value})
        page = self.table.query((name, value), index=index, after=start, limit=1000)
        return [charged_from(item) for item in page.items], page.cursor.encode() if page.cursor else None

    def delete_details(self, tenant: str, job_id: str) -> None:
        """Delete everything that lies beside the record."""
        pk = pk_of(tenant, job_id)
        self.table.delete_all([(pk, item["sk"]) for item in self.table.all_of(pk) if item["sk"] != "job"])

    def delete(self, job: Job, now: datetime, *also: Write) -> None:
        """Put a stone in the place of a finished job: who had it and what it took, which stays charged.

        Raises:
            StaleJob: the record is not as it was read.
        """
        used = replace(job.used, storage_bytes=0) if job.used else Amounts()
        stone = {
            "pk": pk_of(job.tenant, job.job_id),
            "sk": "job",
            "tenant": job.tenant,
            "job_id": job.job_id,
            "user": job.user,
            "status": _DELETED,
            "version": job.version + 1,
            "updated_at": to_text(now),
            "reservation": as_json(job.reservation.to_dict()),
            "used": as_json(used.to_dict()),
            "tenant_status_key": f"{job.tenant}#{_DELETED}",
            "owner_status_key": f"{job.tenant}#{job.user}#{_DELETED}",
            "listed_at": f"{to_text(job.created_at)}#{job.job_id}",
        }
        values = {":read_version": job.version}
        write = self.table.put(
            stone, condition="#version = :read_version", values=values, names={"#version": "version"}
        )
        try:
            self.table.transact(write, *also)
        except ConditionFailed:
            raise StaleJob(job.job_id) from None

    def report(self, tenant: str, job_id: str) -> Report:
        item = self.table.get(pk_of(tenant, job_id), "report")
        return report_from(item) if item else Report()

    def set_run(self, tenant: str, job_id: str, run: Run) -> None:
        self.table.write(self.table.change(pk_of(tenant, job_id), "report", {"run": dict(vars(run))}))

    def set_exit_reason(self, tenant: str, job_id: str, reason: str | None) -> None:
        """Why the script of the latest attempt ended badly, in its own words; None when it did not."""
        write = (
            self.table.change(pk_of(tenant, job_id), "report", {"exit_reason": reason})
            if reason
            else self.table.change(pk_of(tenant, job_id), "report", {}, remove=["exit_reason"])
        )
        self.table.write(write)

    def set_progress(self, tenant: str, job_id: str, progress: Progress) -> None:
        text = as_json({name: value for name, value in vars(progress).items() if value is not None})
        self.table.write(self.table.change(pk_of(tenant, job_id), "report", {"progress": text}))

    def set_checkpointing(self, tenant: str, job_id: str, seen: Checkpointing) -> None:
        self.table.write(
            self.table.change(pk_of(tenant, job_id), "report", {"checkpointing": checkpointing_text(seen)})
        )

    def put_secrets(self, job: Job, sealed: Sealed) -> Write:
        """A new job's secret variables, to be written with it."""
        item = {"pk": pk_of(job.tenant, job.job_id), "sk": "secrets", "variables": as_json(sealed)}
        return self.table.put_if_absent(item)

    def secrets(self, tenant: str, job_id: str) -> Sealed:
        item = self.table.get(pk_of(tenant, job_id), "secrets")
        sealed: Sealed = json.loads(item["variables"]) if item else {}
        return sealed

    def put_attempt(self, attempt: Attempt) -> bool:
        """Record a new attempt; False when it is there already (the task was repeated)."""
        try:
            self.table.write(self.table.put_if_absent(attempt_item(attempt)))
        except ConditionFailed:
            return False
        return True

    def put_attempt_token(self, attempt: Attempt, token: str) -> None:
        """Note whose state machine waits for the end of an attempt; the latest one counts."""
        item = {"pk": pk_of(attempt.tenant, attempt.job_id), "sk": _waiter_sk(attempt.number), "token": token}
        self.table.write(self.table.put(item))

    def attempt_token(self, tenant: str, job_id: str, number: int) -> str | None:
        item = self.table.get(pk_of(tenant, job_id), _waiter_sk(number))
        return str(item["token"]) if item else None

    def change_attempt(self, attempt: Attempt) -> None:
        self.table.write(self.table.put(attempt_item(attempt)))

    def note_start(self, attempt: Attempt) -> None:
        """Where and since when an attempt runs. Touches nothing else: how it ended may be recorded at the same moment."""
        item = attempt_item(attempt)
        seen = {name: item[name] for name in ("backend_id", "log_stream", "started_at") if item[name] is not None}
        self.table.write(self.table.change(pk_of(attempt.tenant, attempt.job_id), attempt_sk(attempt.number), seen))

    def attempt(self, tenant: str, job_id: str, number: int) -> Attempt | None:
        item = self.table.get(pk_of(tenant, job_id), attempt_sk(number))
        return attempt_from(item) if item else None

    def attempts(self, tenant: str, job_id: str) -> list[Attempt]:
        return [attempt_from(item) for item in self.table.all_of(pk_of(tenant, job_id), "attempt#")]

    def first_attempts(self, tenant: str, job_id: str, count: int) -> list[Attempt]:
        """The first so many attempts: one more may be recorded for a retry that never came."""
        return [each for each in self.attempts(tenant, job_id) if each.number <= count] if count else []

    def taken_seconds(self, tenant: str, job_id: str, attempts: int) -> int:
        """What the first so many attempts took of the job's time limit together: on spot more than they were billed for."""
        return sum(
            max(each.training_seconds or 0, each.billable_seconds or 0)
            for each in self.first_attempts(tenant, job_id, attempts)
        )

    def runtimes(self, tenant: str, name: str, instance_type: str) -> Lookup[Runtimes]:
        """How long completed jobs of this name took on this instance type."""

        def read(items: Sequence[Item | None]) -> Runtimes:
            item = items[0] or {}
            return Runtimes(**{part: int(item.get(part, 0)) for part in ("runs", "seconds", "squares")})

        return Lookup(self.table, [(_runtime_pk(tenant, name), f"runtime#{instance_type}")], read)

    def spot_history(self, tenant: str, instance_type: str) -> History:
        """What the tenant's spot jobs on this instance type met."""
        item = self.table.get(f"{tenant}#spot", f"spot#{instance_type}") or {}
        return History(int(item.get("interruptions", 0)), int(item.get("seconds", 0)))

    def checkpoint_intervals(self, tenant: str, name: str) -> Intervals:
        """How often earlier jobs of this name wrote a checkpoint."""
        item = self.table.get(_runtime_pk(tenant, name), "checkpoints") or {}
        return Intervals(int(item.get("count", 0)), int(item.get("seconds", 0)))

    def add_intervals(self, job: Job, seen: Intervals) -> Write:
        """What one more job showed, to be written with its end."""
        return self.table.change(_runtime_pk(job.tenant, job.name), "checkpoints", {}, add=dict(vars(seen)))

    def add_spot(self, tenant: str, instance_type: str, met: History) -> Write:
        """What one more spot job met on an instance type, to be written with its end."""
        return self.table.change(f"{tenant}#spot", f"spot#{instance_type}", {}, add=dict(vars(met)))

    def add_runtime(self, job: Job, seconds: int) -> Write:
        """One more finished run, to be written with the job's own end."""
        key = _runtime_pk(job.tenant, job.name)
        sums = {"runs": 1, "seconds": seconds, "squares": seconds**2}
        return self.table.change(key, f"runtime#{job.allocation.instance_type}", {}, add=sums)


def _runtime_pk(tenant: str, name: str) -> str:
    return f"{tenant}#name#{name}"


def _key(tenant: str, user: str, key: str) -> dict[str, str]:
    return {"pk": f"{tenant}#user#{user}", "sk": f"idempotency#{key}"}


def _waiter_sk(number: int) -> str:
    return f"waiter#{number:04d}"
