"""Values of a pool as items, and back. See `store.py` for where they lie."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from chalicelib.capacity.entry import Entry, Owner, State, Turn
from chalicelib.capacity.pool import HIGHEST, LEVELS, Pool
from chalicelib.clock import from_text, to_text
from chalicelib.table import Item, as_json

_WAITING = tuple(f"waiting_{name}" for name in LEVELS)

Key = tuple[str, str]


def waiting_attribute(level: int) -> str:
    return _WAITING[level]


def pool_key(name: str) -> Key:
    return "pools", name


def pool_item(pool: Pool) -> Item:
    pk, sk = pool_key(pool.name)
    return {
        "pk": pk,
        "sk": sk,
        "limit": pool.limit,
        "half_life_seconds": pool.half_life_seconds,
        "aging_seconds": pool.aging_seconds,
        "preempt_low": pool.preempt_low,
        "in_use": pool.in_use,
        **dict(zip(_WAITING, pool.waiting, strict=True)),
        "parked": pool.parked,
        "version": pool.version,
        "elapsed": _number(pool.elapsed),
        "elapsed_at": to_text(pool.elapsed_at),
    }


def pool_of(item: Mapping[str, Any]) -> Pool:
    return Pool(
        name=item["sk"],
        limit=item.get("limit"),
        half_life_seconds=item["half_life_seconds"],
        aging_seconds=item["aging_seconds"],
        preempt_low=item.get("preempt_low", False),
        in_use=item["in_use"],
        waiting=tuple(int(item[name]) for name in _WAITING),
        parked=item["parked"],
        version=item["version"],
        elapsed=float(item["elapsed"]),
        elapsed_at=from_text(item["elapsed_at"]),
    )


def entry_key(tenant: str, job_id: str) -> Key:
    return f"{tenant}#{job_id}", "entry"


def entry_item(entry: Entry) -> Item:
    pk, sk = entry_key(entry.tenant, entry.job_id)
    return {"pk": pk, "sk": sk, **_entry(entry)}


def place_key(entry: Entry) -> Key:
    """Where an entry stands among others."""
    match entry.state:
        case State.WAITING:
            return lane_pk(entry.pool, entry.level, entry.owner), f"{to_text(entry.since)}#{entry.job_id}"
        case State.PARKED:
            return f"{entry.pool}#parked", f"{entry.size:08d}#{entry.job_id}"
        case State.ADMITTED:
            return f"{entry.pool}#admitted", f"{to_text(entry.expected_end)}#{entry.job_id}"


def place_item(entry: Entry) -> Item:
    pk, sk = place_key(entry)
    item = {"pk": pk, "sk": sk, **_entry(entry)}
    if entry.state is State.WAITING and entry.level < HIGHEST:
        item |= {"age_key": entry.pool, "listed_at": f"{to_text(entry.level_since)}#{entry.job_id}"}
    return item


def entry_of(item: Mapping[str, Any]) -> Entry:
    values = json.loads(item["entry"])
    moments = {name: values.pop(name, None) for name in ("admitted_at", "preempted_at")}
    use, half_lives = values.pop("charged")
    return Entry(
        **values
        | {
            "since": from_text(values["since"]),
            "base_level": LEVELS.index(values["base_level"]),
            "level": LEVELS.index(values["level"]),
            "level_since": from_text(values["level_since"]),
            "state": State(values["state"]),
            "charged": (use, half_lives),
            **{name: from_text(text) if text else None for name, text in moments.items()},
        }
    )


def owner_key(pool: str, name: str) -> Key:
    return f"{pool}#owners", name


def owner_item(owner: Owner, expires_at: datetime) -> Item:
    """
    Args:
        expires_at: when the use of an owner who waits for nothing has decayed to nothing.
    """
    pk, sk = owner_key(owner.pool, owner.name)
    return {
        "pk": pk,
        "sk": sk,
        "score": _number(owner.score) if math.isfinite(owner.score) else None,
        **dict(zip(_WAITING, owner.waiting, strict=True)),
        "least": [list(each) for each in owner.least],
        "version": owner.version,
        "expires_at": None if owner.is_waiting else int(expires_at.timestamp()),
    }


def owner_of(item: Mapping[str, Any], pool: str) -> Owner:
    return Owner(
        pool=pool,
        name=item["sk"],
        score=float(item.get("score", "-inf")),
        waiting=tuple(int(item[name]) for name in _WAITING),
        least=tuple((size, seconds) for size, seconds in item["least"]),
        version=item["version"],
    )


def level_pk(pool: str, level: int) -> str:
    return f"{pool}#{LEVELS[level]}"


def lane_pk(pool: str, level: int, owner: str) -> str:
    return f"{level_pk(pool, level)}#{owner}"


def turn_key(owner: Owner, level: int) -> Key:
    """Where an owner stands among the owners who wait at a level: the least share first."""
    return level_pk(owner.pool, level), f"{_number(owner.score)}#{owner.name}"


def turn_item(owner: Owner, level: int) -> Item:
    pk, sk = turn_key(owner, level)
    return {"pk": pk, "sk": sk, "owner": owner.name, "least": list(owner.least[level])}


def turn_of(item: Mapping[str, Any]) -> Turn:
    return Turn(float(item["sk"].partition("#")[0]), item["owner"], *item["least"])


def untold_key(pool: str, job_id: str) -> Key:
    return f"{pool}#untold", job_id


def untold_item(pool: str, job_id: str, token: str) -> Item:
    pk, sk = untold_key(pool, job_id)
    return {"pk": pk, "sk": sk, "token": token}


def _entry(entry: Entry) -> Item:
    """As text: a store reads many entries to decide about one, and text is read faster than attributes."""
    values = {
        **vars(entry),
        "since": to_text(entry.since),
        "base_level": LEVELS[entry.base_level],
        "level": LEVELS[entry.level],
        "level_since": to_text(entry.level_since),
        "state": entry.state.value,
        "admitted_at": to_text(entry.admitted_at) if entry.admitted_at else None,
        "preempted_at": to_text(entry.preempted_at) if entry.preempted_at else None,
    }
    known = {name: value for name, value in values.items() if value is not None}
    return {"entry": as_json(known), "version": entry.version}


def _number(value: float) -> str:
    """A score as text whose order is the order of the numbers; scores are never negative, see `pool.py`."""
    return f"{value:020.9f}"
