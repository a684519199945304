"""Job records in DynamoDB: value in, value out, and every condition under its name.

    pk                       sk                     what
    <tenant>#<job_id>        job                    the job
    <tenant>#<job_id>        attempt#<0001>         one attempt
    <tenant>#<job_id>        change#<0000000001>    its ledger, see `ledger_store.py`
    <tenant>#<job_id>        report                 what the script says of itself: progress, MLflow run
    <tenant>#<job_id>        secrets                secret variables, encrypted: apart, so that no index or list has them
    <tenant>#user#<user>     idempotency#<key>      which job an Idempotency-Key made, for a day
    <tenant>#name#<name>     runtime#<instance>     how long jobs of this name took on this instance type
    <tenant>#spot            spot#<instance>        how often spot jobs of the tenant were interrupted on it, in which time

Lists read the indexes `by-tenant`, `by-tenant-status`, `by-owner` and `by-owner-status`, newest first: a page costs the
same whether there are a hundred jobs or a million.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from chalicelib.clock import from_text, is_id, to_text
from chalicelib.costs.estimate import Estimate, Runtimes
from chalicelib.cursor import Cursor
from chalicelib.jobs.job import (
    Allocation,
    Attempt,
    Backend,
    Checkpointing,
    Job,
    JobFilter,
    JobStatus,
    Progress,
    Report,
    Run,
    TimeLimit,
)
from chalicelib.jobs.life import Event, Submitted, apply
from chalicelib.jobs.secrets import Sealed
from chalicelib.jobs.spot import History
from chalicelib.quotas.check import Charged
from chalicelib.quotas.quota import Amounts, Reservation
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
        item = self.table.get(_pk(tenant, job_id), "job") if is_id(job_id) else None
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
        """Record a new job and its Idempotency-Key in one transaction.

        Args:
            also: writes that happen in the same transaction, or not at all.

        Returns:
            None when the job was created; what the key made before when it was used already.

        Raises:
            ConditionFailed: nothing was created, because a condition of `also` does not hold.
        """
        item = {**job_item(job), "event": as_json(Submitted().to_dict())}
        writes: list[Write] = [self.table.put_if_absent(item)]
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

        An event that changes nothing (see `life.py`) writes nothing, and nothing of `also`.

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
        cursor = Cursor.decode(text, names=frozenset({*_LISTED, key}))
        if cursor is None:
            return None
        parts = [tenant, wanted.user, wanted.status.value if wanted.status else None]
        return Cursor({**cursor.key, key: "#".join(part for part in parts if part is not None)})

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
        cursor = Cursor.decode(after, names=frozenset({*_LISTED, name}))
        start = Cursor({**cursor.key, name: value}) if cursor else None
        page = self.table.query((name, value), index=index, after=start, limit=1000)
        return [_charged(item) for item in page.items], page.cursor.encode() if page.cursor else None

    def delete_details(self, tenant: str, job_id: str) -> None:
        """Delete everything that lies beside the record."""
        pk = _pk(tenant, job_id)
        self.table.delete_all([(pk, item["sk"]) for item in self.table.all_of(pk) if item["sk"] != "job"])

    def delete(self, job: Job, now: datetime, *also: Write) -> None:
        """Put a stone in the place of a finished job: who had it and what it took, which stays charged.

        Raises:
            StaleJob: the record is not as it was read.
        """
        used = replace(job.used, storage_bytes=0) if job.used else Amounts()
        stone = {
            "pk": _pk(job.tenant, job.job_id),
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
        item = self.table.get(_pk(tenant, job_id), "report")
        if item is None:
            return Report()
        run = item.get("run")
        progress = Progress(**json.loads(item.get("progress", "{}")))
        seen = json.loads(item["checkpointing"]) if "checkpointing" in item else None
        checkpointing = (
            Checkpointing(**{**seen, **{name: from_text(seen[name]) for name in ("first_at", "last_at")}})
            if seen
            else None
        )
        return Report(progress, Run(**run) if run else None, item.get("exit_reason"), checkpointing)

    def set_run(self, tenant: str, job_id: str, run: Run) -> None:
        self.table.write(self.table.change(_pk(tenant, job_id), "report", {"run": dict(vars(run))}))

    def set_exit_reason(self, tenant: str, job_id: str, reason: str | None) -> None:
        """Why the script of the latest attempt ended badly, in its own words; None when it did not."""
        write = (
            self.table.change(_pk(tenant, job_id), "report", {"exit_reason": reason})
            if reason
            else self.table.change(_pk(tenant, job_id), "report", {}, remove=["exit_reason"])
        )
        self.table.write(write)

    def set_progress(self, tenant: str, job_id: str, progress: Progress) -> None:
        text = as_json({name: value for name, value in vars(progress).items() if value is not None})
        self.table.write(self.table.change(_pk(tenant, job_id), "report", {"progress": text}))

    def set_checkpointing(self, tenant: str, job_id: str, seen: Checkpointing) -> None:
        values = {**vars(seen), "first_at": to_text(seen.first_at), "last_at": to_text(seen.last_at)}
        self.table.write(self.table.change(_pk(tenant, job_id), "report", {"checkpointing": as_json(values)}))

    def put_secrets(self, job: Job, sealed: Sealed) -> Write:
        """A new job's secret variables, to be written with it."""
        item = {"pk": _pk(job.tenant, job.job_id), "sk": "secrets", "variables": as_json(sealed)}
        return self.table.put_if_absent(item)

    def secrets(self, tenant: str, job_id: str) -> Sealed:
        item = self.table.get(_pk(tenant, job_id), "secrets")
        sealed: Sealed = json.loads(item["variables"]) if item else {}
        return sealed

    def put_attempt(self, attempt: Attempt) -> bool:
        """Record a new attempt; False when it is there already (the task was repeated)."""
        try:
            self.table.write(self.table.put_if_absent(_attempt_item(attempt)))
        except ConditionFailed:
            return False
        return True

    def put_attempt_token(self, attempt: Attempt, token: str) -> None:
        """Note whose state machine waits for the end of an attempt; the latest one counts."""
        item = {"pk": _pk(attempt.tenant, attempt.job_id), "sk": f"waiter#{attempt.number:05d}", "token": token}
        self.table.write(self.table.put(item))

    def attempt_token(self, tenant: str, job_id: str, number: int) -> str | None:
        item = self.table.get(_pk(tenant, job_id), f"waiter#{number:05d}")
        return str(item["token"]) if item else None

    def change_attempt(self, attempt: Attempt) -> None:
        self.table.write(self.table.put(_attempt_item(attempt)))

    def note_start(self, attempt: Attempt) -> None:
        """Where and since when an attempt runs. Touches nothing else: how it ended may be recorded at the same moment."""
        item = _attempt_item(attempt)
        seen = {name: item[name] for name in ("backend_id", "log_stream", "started_at") if item[name] is not None}
        self.table.write(self.table.change(_pk(attempt.tenant, attempt.job_id), _attempt_sk(attempt.number), seen))

    def attempt(self, tenant: str, job_id: str, number: int) -> Attempt | None:
        item = self.table.get(_pk(tenant, job_id), _attempt_sk(number))
        return _attempt(item) if item else None

    def attempts(self, tenant: str, job_id: str) -> list[Attempt]:
        return [_attempt(item) for item in self.table.all_of(_pk(tenant, job_id), "attempt#")]

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

    def add_spot(self, job: Job, interruptions: int, seconds: int) -> Write:
        """What one more spot job met, to be written with its end."""
        sums = {"interruptions": interruptions, "seconds": seconds}
        return self.table.change(f"{job.tenant}#spot", f"spot#{job.allocation.instance_type}", {}, add=sums)

    def add_runtime(self, job: Job, seconds: int) -> Write:
        """One more finished run, to be written with the job's own end."""
        key = _runtime_pk(job.tenant, job.name)
        sums = {"runs": 1, "seconds": seconds, "squares": seconds**2}
        return self.table.change(key, f"runtime#{job.allocation.instance_type}", {}, add=sums)


def _pk(tenant: str, job_id: str) -> str:
    return f"{tenant}#{job_id}"


def _runtime_pk(tenant: str, name: str) -> str:
    return f"{tenant}#name#{name}"


def _key(tenant: str, user: str, key: str) -> dict[str, str]:
    return {"pk": f"{tenant}#user#{user}", "sk": f"idempotency#{key}"}


def _attempt_sk(number: int) -> str:
    return f"attempt#{number:04d}"


def job_item(job: Job) -> Item:
    status = job.status.value
    return {
        "pk": _pk(job.tenant, job.job_id),
        "sk": "job",
        "tenant": job.tenant,
        "job_id": job.job_id,
        "user": job.user,
        "name": job.name,
        "framework": job.framework,
        "config": as_json(job.config),
        "allocation": as_json(job.allocation.to_dict()),
        "created_at": to_text(job.created_at),
        "updated_at": to_text(job.updated_at),
        "status": status,
        "version": job.version,
        "description": job.description,
        "priority": job.priority,
        "tags": list(job.tags),
        "estimate": job.estimate.to_dict(),
        "attempts": job.attempts,
        "secondary_status": job.secondary_status,
        "started_at": to_text(job.started_at) if job.started_at else None,
        "completed_at": to_text(job.completed_at) if job.completed_at else None,
        "cancel_requested_at": to_text(job.cancel_requested_at) if job.cancel_requested_at else None,
        "failure_reason": job.failure_reason,
        "model_id": job.model_id,
        "artifacts": as_json(list(job.artifacts)),
        "artifacts_total": job.artifacts_total,
        "time_limit_seconds": job.time_limit.seconds,
        "time_limit_set_by": job.time_limit.set_by,
        "reservation": as_json(job.reservation.to_dict()),
        "used": as_json(job.used.to_dict()) if job.used else None,
        "pool": job.pool,
        "waiting_reason": job.waiting_reason,
        # What the indexes are keyed by.
        "tenant_key": job.tenant,
        "tenant_status_key": f"{job.tenant}#{status}",
        "owner_key": f"{job.tenant}#{job.user}",
        "owner_status_key": f"{job.tenant}#{job.user}#{status}",
        "listed_at": f"{to_text(job.created_at)}#{job.job_id}",
    }


def job_from(item: Mapping[str, Any]) -> Job:
    return Job(
        tenant=item["tenant"],
        job_id=item["job_id"],
        user=item["user"],
        name=item["name"],
        framework=item["framework"],
        config=json.loads(item["config"]),
        allocation=Allocation.from_dict(json.loads(item["allocation"])),
        created_at=from_text(item["created_at"]),
        updated_at=from_text(item["updated_at"]),
        status=JobStatus(item["status"]),
        version=item["version"],
        description=item.get("description"),
        priority=item["priority"],
        tags=tuple(item["tags"]),
        estimate=Estimate.from_dict(item["estimate"]),
        attempts=item["attempts"],
        secondary_status=item.get("secondary_status"),
        started_at=_moment(item, "started_at"),
        completed_at=_moment(item, "completed_at"),
        cancel_requested_at=_moment(item, "cancel_requested_at"),
        failure_reason=item.get("failure_reason"),
        model_id=item.get("model_id"),
        artifacts=tuple(json.loads(item["artifacts"])),
        artifacts_total=item["artifacts_total"],
        time_limit=TimeLimit(item["time_limit_seconds"], item["time_limit_set_by"]),
        reservation=Reservation.from_dict(json.loads(item["reservation"])),
        used=Amounts.from_dict(json.loads(item["used"])) if item.get("used") else None,
        pool=item.get("pool"),
        waiting_reason=item.get("waiting_reason"),
    )


def _attempt_item(attempt: Attempt) -> Item:
    return {
        "pk": _pk(attempt.tenant, attempt.job_id),
        "sk": _attempt_sk(attempt.number),
        "tenant": attempt.tenant,
        "job_id": attempt.job_id,
        "number": attempt.number,
        "token": attempt.token,
        "backend": attempt.backend.value,
        "planned_at": to_text(attempt.planned_at),
        "queue": attempt.queue,
        "backend_id": attempt.backend_id,
        "log_stream": attempt.log_stream,
        "reason": attempt.reason,
        "cause": attempt.cause,
        "started_at": to_text(attempt.started_at) if attempt.started_at else None,
        "ended_at": to_text(attempt.ended_at) if attempt.ended_at else None,
        "training_seconds": attempt.training_seconds,
        "billable_seconds": attempt.billable_seconds,
        "interruptions": attempt.interruptions,
    }


def _attempt(item: Mapping[str, Any]) -> Attempt:
    return Attempt(
        tenant=item["tenant"],
        job_id=item["job_id"],
        number=item["number"],
        token=item["token"],
        backend=Backend(item["backend"]),
        planned_at=from_text(item["planned_at"]),
        queue=item.get("queue"),
        backend_id=item.get("backend_id"),
        log_stream=item.get("log_stream"),
        reason=item.get("reason"),
        cause=item.get("cause"),
        started_at=_moment(item, "started_at"),
        ended_at=_moment(item, "ended_at"),
        training_seconds=item.get("training_seconds"),
        billable_seconds=item.get("billable_seconds"),
        interruptions=item.get("interruptions", 0),
    )


def _charged(item: Mapping[str, Any]) -> Charged:
    used = Amounts.from_dict(json.loads(item["used"])) if item.get("used") else None
    return Charged(item["user"], Reservation.from_dict(json.loads(item["reservation"])), used)


def _moment(item: Mapping[str, Any], name: str) -> datetime | None:
    text = item.get(name)
    return from_text(text) if text else None
