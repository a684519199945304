"""Experiments in DynamoDB: value in, value out, and every condition under its name.

    pk                               sk                   what
    <tenant>#<experiment_id>         experiment           the experiment; changes when it ends
    <tenant>#<experiment_id>         progress             counters, only ever added to, and the state of the last look
    <tenant>#<experiment_id>         key#<user>#<key>     which outcomes an Idempotency-Key brought, for a day
    <tenant>#<experiment_id>#<unit>  exposure             which variant a unit got
    <tenant>#<experiment_id>#<unit>  outcome#<metric>     that its outcome has been counted
    <tenant>#user#<user>             idempotency#<key>    which experiment an Idempotency-Key made, for a day

A unit is the SHA-256 of its key, or of its request's id: the keys themselves are not kept. Lists read the indexes
`by-tenant` and `by-tenant-status`, newest first.

Counting and looking are two writes, so that nobody who counts waits for one who looks:

    A: counters += a, version 1 ── if open
    B: counters += b, version 2 ── if open
    A: reads version 2, looks at a + b: look 1 ── if the last look is 0, and open
    B: reads that look 1 has seen version 2: done
    C: counters += c ── fails if look 1 has ended the experiment: kept out, and told so
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from chalicelib.clock import is_id
from chalicelib.cursor import Cursor
from chalicelib.experiments import items
from chalicelib.experiments.experiment import Experiment, Status
from chalicelib.experiments.items import experiment_item, experiment_of, pk
from chalicelib.experiments.look import Counted, State
from chalicelib.idempotency import LIFETIME
from chalicelib.table import ConditionFailed, Item, Table, Write

UNITS_KEPT = timedelta(days=90)
"""How long single exposures and outcomes are remembered: after that they can't be joined, nor told from new ones."""

_LISTED = ("pk", "sk", "listed_at")
_IS_OPEN = "is_open = :open"
_IS_OPEN_AND_LAST = "is_open = :open AND looks = :looks"
_IS_UNCHANGED = "record_version = :read_version"
_IS_NEW_OR_EXPIRED = "attribute_not_exists(pk) OR expires_at < :now"


class Closed(Exception):
    """The experiment has ended: nothing was counted."""


class Stale(Exception):
    """Somebody else changed one of the records since it was read: read again and decide anew."""


class UnitsKnown(Exception):
    """Some of the units were reported at the same moment: read again which."""


@dataclass(frozen=True)
class Key:
    """An Idempotency-Key, and what its request is told from others by."""

    text: str
    fingerprint: str


class KeyUsed(Exception):
    """The key came before.

    Args:
        experiment_id: what it made, where it made something.
    """

    def __init__(self, fingerprint: str, experiment_id: str = "") -> None:
        super().__init__(experiment_id)
        self.fingerprint = fingerprint
        self.experiment_id = experiment_id


@dataclass(frozen=True)
class Progress:
    """What has been counted, and what the last look made of it."""

    counted: Counted
    state: State
    is_open: bool

    @property
    def is_looked_at(self) -> bool:
        return self.state.seen >= self.counted.version


@dataclass(frozen=True)
class Exposure:
    """Which variant a unit got.

    Attributes:
        unit: where its outcomes are noted; not its own place when it was found by its request's id.
    """

    unit: str
    variant: str


@dataclass(frozen=True)
class ExperimentPage:
    experiments: tuple[Experiment, ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class ExperimentStore:
    table: Table

    def create(self, experiment: Experiment, key: Key | None, *also: Write) -> None:
        """Record a new experiment, and the key that made it.

        Args:
            also: writes that happen in the same transaction, or not at all.

        Raises:
            KeyUsed: it made one before.
            Stale: one of the other writes failed.
        """
        place = pk(experiment.tenant, experiment.experiment_id)
        progress = {"pk": place, "sk": "progress", "is_open": True, "version": 0, "looks": 0, "seen": 0}
        if experiment.deployment_id is not None:
            # What the stream is filtered by: nobody is called for other experiments.
            progress["deployment_id"] = experiment.deployment_id
        writes = [self.table.put_if_absent(experiment_item(experiment)), self.table.put(progress)]
        if key:
            owner = {"pk": f"{experiment.tenant}#user#{experiment.user}", "sk": f"idempotency#{key.text}"}
            entry = {**owner, "experiment_id": experiment.experiment_id}
            writes.append(self._remember(entry, key, experiment.created_at))
        try:
            self.table.transact(*writes, *also)
        except ConditionFailed:
            if key and (used := self.made_by(experiment.tenant, experiment.user, key.text, experiment.created_at)):
                raise used from None
            raise Stale from None

    def made_by(self, tenant: str, user: str, key: str, now: datetime) -> KeyUsed | None:
        """What a key has made, while it is remembered."""
        item = self.table.get(f"{tenant}#user#{user}", f"idempotency#{key}")
        if item is None or item["expires_at"] < int(now.timestamp()):
            return None
        return KeyUsed(item["fingerprint"], item["experiment_id"])

    def get(self, tenant: str, experiment_id: str) -> Experiment | None:
        item = self.table.get(pk(tenant, experiment_id), "experiment") if is_id(experiment_id) else None
        return experiment_of(item) if item else None

    def read(self, tenant: str, experiment_id: str) -> tuple[Experiment, Progress] | None:
        """An experiment with its progress, in one call."""
        if not is_id(experiment_id):
            return None
        place = pk(tenant, experiment_id)
        found, progress = self.table.get_many([(place, "experiment"), (place, "progress")])
        if found is None or progress is None:
            return None
        experiment = experiment_of(found)
        counted = items.counted_of(experiment, progress)
        return experiment, Progress(counted, items.state_of(progress), progress["is_open"])

    def search(
        self, tenant: str, status: Status | None, limit: int, offset: int, after: Cursor | None
    ) -> ExperimentPage:
        index, name = _index(status)
        value = items.partition(tenant, status)
        page = self.table.query((name, value), index=index, after=after, limit=limit, offset=offset, newest_first=True)
        return ExperimentPage(tuple(map(experiment_of, page.items)), page.cursor)

    @staticmethod
    def cursor(text: str | None, tenant: str, status: Status | None) -> Cursor | None:
        """Read a list's cursor; its key is that of the list that is asked for now, so it can't lead elsewhere."""
        _, name = _index(status)
        return Cursor.of_list(text, _LISTED, {name: items.partition(tenant, status)})

    def count(self, experiment: Experiment, amounts: Item, user: str, key: Key | None, now: datetime) -> None:
        """Add a batch to the counters.

        Args:
            amounts: see `items.added`.

        Raises:
            Closed: the experiment has ended.
            KeyUsed: the batch was counted before.
        """
        writes = [self._add(experiment, {**amounts, "version": 1})]
        if key:
            entry = {"pk": pk(experiment.tenant, experiment.experiment_id), "sk": f"key#{user}#{key.text}"}
            writes.append(self._remember(entry, key, now))
        try:
            self.table.transact(*writes)
        except ConditionFailed as failed:
            if key and (used := self.counted_by(experiment, user, key.text)):
                raise used from None
            if failed.failed(0):
                raise Closed from None
            raise

    def counted_by(self, experiment: Experiment, user: str, key: str) -> KeyUsed | None:
        item = self.table.get(pk(experiment.tenant, experiment.experiment_id), f"key#{user}#{key}")
        return KeyUsed(item["fingerprint"]) if item else None

    def count_units(
        self, experiment: Experiment, amounts: Item, notes: Sequence[Item], now: datetime, *, outcomes: bool
    ) -> None:
        """Add single units to the counters, and note each so that it is counted once.

        Args:
            notes: see `exposure_notes` and `outcome_note`.
            outcomes: whether a look has to follow.

        Raises:
            Closed: the experiment has ended.
            UnitsKnown: one of them is noted by now, and nothing was counted.
        """
        expires = {"expires_at": int((now + UNITS_KEPT).timestamp())}
        puts = [self.table.put_if_absent({**note, **expires}) for note in notes]
        try:
            self.table.transact(self._add(experiment, {**amounts, **({"version": 1} if outcomes else {})}), *puts)
        except ConditionFailed as failed:
            if failed.failed(0):
                raise Closed from None
            raise UnitsKnown from None

    def exposures(self, experiment: Experiment, units: Sequence[str]) -> dict[str, Exposure]:
        """Of these units, or requests, those that are known."""
        distinct = list(dict.fromkeys(units))
        found = self.table.get_many([(_unit_pk(experiment, unit), "exposure") for unit in distinct])
        return {
            unit: Exposure(item["unit"], item["variant"]) for unit, item in zip(distinct, found, strict=True) if item
        }

    def counted_outcomes(self, experiment: Experiment, outcomes: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Of these units and metrics, those that are counted."""
        distinct = list(dict.fromkeys(outcomes))
        found = self.table.get_many([(_unit_pk(experiment, unit), f"outcome#{metric}") for unit, metric in distinct])
        return {each for each, item in zip(distinct, found, strict=True) if item}

    def keep_look(self, experiment: Experiment, before: State, after: State, now: datetime) -> Experiment:
        """Record a look, on condition that it follows the one that was read. What it decides ends the experiment with it.

        Raises:
            Stale: it does not follow.
        """
        assign = {"state": items.state_text(after), "looks": after.looks, "seen": after.seen}
        values = {":open": True, ":looks": before.looks}
        place = pk(experiment.tenant, experiment.experiment_id)
        if after.verdict.decision.is_final:
            ended = experiment.decided(after.verdict, now)
            look = self.table.change(
                place, "progress", {**assign, "is_open": False}, condition=_IS_OPEN_AND_LAST, values=values
            )
            return self._end(experiment, ended, look, now)
        try:
            self.table.write(self.table.change(place, "progress", assign, condition=_IS_OPEN_AND_LAST, values=values))
        except ConditionFailed:
            raise Stale from None
        return experiment

    def stop(self, before: Experiment, after: Experiment, now: datetime, *also: Write) -> Experiment:
        """End an experiment without a decision.

        Raises:
            Stale: it has ended meanwhile.
        """
        place = pk(before.tenant, before.experiment_id)
        values = {":open": True}
        closed = self.table.change(place, "progress", {"is_open": False}, condition=_IS_OPEN, values=values)
        return self._end(before, after, closed, now, *also)

    def _end(self, before: Experiment, after: Experiment, progress: Write, now: datetime, *also: Write) -> Experiment:
        after = replace(after, record_version=before.record_version + 1, updated_at=now)
        values = {":read_version": before.record_version}
        record = self.table.put(experiment_item(after), condition=_IS_UNCHANGED, values=values)
        try:
            self.table.transact(progress, record, *also)
        except ConditionFailed:
            raise Stale from None
        return after

    def _add(self, experiment: Experiment, amounts: Mapping[str, Any]) -> Write:
        place = pk(experiment.tenant, experiment.experiment_id)
        return self.table.change(place, "progress", {}, add=amounts, condition=_IS_OPEN, values={":open": True})

    def _remember(self, entry: Item, key: Key, now: datetime) -> Write:
        item = {**entry, "fingerprint": key.fingerprint, "expires_at": int((now + LIFETIME).timestamp())}
        return self.table.put(item, condition=_IS_NEW_OR_EXPIRED, values={":now": int(now.timestamp())})


def exposure_notes(experiment: Experiment, exposure: Exposure, alias: str | None) -> list[Item]:
    """That a unit got a variant; under its request's id too, where it has one."""
    places = [exposure.unit, *([alias] if alias else [])]
    return [
        {"pk": _unit_pk(experiment, place), "sk": "exposure", "unit": exposure.unit, "variant": exposure.variant}
        for place in places
    ]


def outcome_note(experiment: Experiment, unit: str, metric: str) -> Item:
    return {"pk": _unit_pk(experiment, unit), "sk": f"outcome#{metric}"}


def _unit_pk(experiment: Experiment, unit: str) -> str:
    return f"{pk(experiment.tenant, experiment.experiment_id)}#{unit}"


def _index(status: Status | None) -> tuple[str, str]:
    return ("by-tenant-status", "tenant_status_key") if status else ("by-tenant", "tenant_key")
