"""The hash chain of a tenant's log: how a row is sealed, and how a broken chain is found.

Standard library only, and no I/O: the service seals and verifies with it, and so does the client, which then has to trust
nobody.

A row is a JSON object of text, lists and objects. Sealing adds its number (`seq`, from 1, without gaps), the hash of the row
before (`previous`, 64 zeros for the first) and its own (`hash`): SHA-256, in hexadecimal, over the canonical JSON of all the
rest, `seq` and `previous` included. Canonical means: names sorted, no white space, everything beyond ASCII escaped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

Row = Mapping[str, Any]

GENESIS = "0" * 64


@dataclass(frozen=True)
class Position:
    """A place in a chain: number and hash of a row. Without arguments, the place before the first."""

    seq: int = 0
    hash: str = GENESIS


START = Position()


class Fault(Enum):
    MISSING = "missing"
    ALTERED = "altered"
    REORDERED = "reordered"
    SURPLUS = "surplus"
    REPLACED = "replaced"


@dataclass(frozen=True)
class Break:
    """The first row that is not as it was sealed."""

    seq: int
    fault: Fault
    detail: str


@dataclass(frozen=True)
class Walk:
    """How far a chain is good, and what comes after that, if it is broken."""

    position: Position
    broken: Break | None = None


def seal(row: Row, after: Position) -> dict[str, Any]:
    """The row with its place in the chain."""
    placed = {**row, "seq": after.seq + 1, "previous": after.hash}
    return {**placed, "hash": digest(placed)}


def digest(row: Row) -> str:
    """The hash that a row should have; its own `hash` is not part of it."""
    content = {name: value for name, value in row.items() if name != "hash"}
    # What no row of ours holds (numbers of other kinds, bytes) must make another hash, not an error.
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=repr)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def walk(rows: Iterable[Row], after: Position = START, noted: Position | None = None) -> Walk:
    """Follow rows in the order in which they are kept, from a place on, up to the first that is not as it was sealed.

    Args:
        noted: a place that somebody wrote down when the chain was good. Who can write the whole table can write a whole
            new chain, good in itself; only such a note tells.
    """
    for row in rows:
        if broken := _broken(row, after):
            return Walk(after, broken)
        at = Position(row["seq"], row["hash"])
        if noted and at.seq == noted.seq and at != noted:
            detail = f"Row {at.seq} is whole, and not the one that was noted: the log was written anew."
            return Walk(after, Break(at.seq, Fault.REPLACED, detail))
        after = at
    return Walk(after)


def ended(walked: Walk, head: Position, noted: Position | None = None) -> Walk:
    """What a walk over all rows means, given the end of the chain that is kept beside them."""
    at = walked.position
    if not walked.broken and noted and noted.seq > at.seq:
        return Walk(at, _missing(at.seq + 1, max(head.seq, noted.seq)))
    if walked.broken or at == head:
        return walked
    if at.seq < head.seq:
        return Walk(at, _missing(at.seq + 1, head.seq))
    if at.seq > head.seq:
        detail = f"The log ends with row {head.seq}, and there are rows beyond it."
        return Walk(at, Break(head.seq + 1, Fault.SURPLUS, detail))
    return Walk(
        at, Break(at.seq, Fault.ALTERED, f"The log ended with another row {at.seq} than the one that is there.")
    )


def _broken(row: Row, after: Position) -> Break | None:
    seq, expected = row.get("seq"), after.seq + 1
    if isinstance(seq, int) and seq > expected:
        return _missing(expected, seq - 1)
    if seq != expected:
        return Break(expected, Fault.REORDERED, f"Row {seq} stands where row {expected} belongs.")
    if row.get("hash") != digest(row):
        return Break(expected, Fault.ALTERED, f"What row {expected} says is not what was sealed.")
    if row.get("previous") != after.hash:
        # This row is whole. The one before it is not the one that it was sealed after, though whole as well.
        detail = f"Row {expected} was sealed after another row {after.seq} than the one that is there."
        return Break(max(1, after.seq), Fault.ALTERED, detail)
    return None


def _missing(first: int, last: int) -> Break:
    detail = f"Row {first} is missing." if first == last else f"Rows {first} to {last} are missing."
    return Break(first, Fault.MISSING, detail)
