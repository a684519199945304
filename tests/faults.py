"""The faults and bad inputs that this service is held to, and a table of what the tests found.

A test that shows one takes the fixture `shows` and says what it counted:

    def test_makes_one_job(self, shows: Shows) -> None:
        ...
        shows(1, f"{rounds} rounds, {violations} violations")

What must hold is asserted by the test itself. `make faults` runs these tests alone; a run that had one ends with the table.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

PROPERTY = "fault"
WHOLE = "AIMATRIX_SEQUENCES" in os.environ
"""`make faults`: longer than what every change is tested with."""
Shows = Callable[[int, str], None]


@dataclass(frozen=True)
class Row:
    """One kind of fault, and what must hold under it."""

    number: int
    fault: str
    target: str


ROWS = (
    Row(1, "one Idempotency-Key many times at once", "one job, one reservation"),
    Row(2, "an AWS call or its answer is lost", "holds after a retry and one sweep"),
    Row(3, "SIGKILL of the embedded cloud under load", "no acknowledged write lost"),
    Row(4, "a function dies in the middle", "repeated, never twice at once"),
    Row(5, "the same event several times", "0 differences"),
    Row(6, "events out of order", "terminal states absorb"),
    Row(7, "events lost", "at most 2 sweeps"),
    Row(8, "an execution is aborted or times out", "stopped, failed with the reason, quota free"),
    Row(9, "throttling, limits, no capacity", "0 jobs lost"),
    Row(10, "spot interruption", "resumes, cost counted once"),
    Row(11, "cancel at any moment", "0 orphans"),
    Row(12, "crash between reserve and release", "difference 0"),
    Row(13, "a burst against a quota", "exact"),
    Row(14, "released twice, or after the end", "once"),
    Row(15, "poison events", "0 good ones blocked"),
    Row(16, "dead letters redriven twice", "0 lost, 0 doubled"),
    Row(17, "clocks ten minutes apart", "order unchanged"),
    Row(18, "a hot partition", "busiest key < 2 × mean"),
    Row(19, "items around 400 KB, parameters of 1 MB", "0 5xx, 0 partial"),
    Row(20, "state input around 256 KiB", "0 5xx"),
    Row(21, "bodies of 6 to 10 MB, slow handlers", "413, or 202 and a place to look"),
    Row(22, "shell metacharacters in every text", "0 effects"),
    Row(23, "another tenant's ids", "0 leaks"),
    Row(24, "forged tokens", "0 accepted"),
    Row(25, "key rotation, outage of the issuer", "0 false refusals"),
    Row(26, "hostile paths and variables", "0 pass"),
    Row(27, "unknown and privileged fields", "0 accepted, 0 5xx"),
    Row(28, "GraphQL bombs", "refused before any resolver"),
    Row(29, "tampered models, secrets in logs", "0"),
)
_KNOWN = {row.number for row in ROWS}


def told(row: int, figure: str) -> tuple[str, str]:
    """A figure of one row, as pytest carries it from a test to the summary.

    Raises:
        ValueError: there is no such row.
    """
    if row not in _KNOWN:
        raise ValueError(f"there is no row {row}")
    return PROPERTY, f"{row}:{figure}"


def table(properties: Iterable[tuple[str, object]]) -> list[str]:
    """Target beside figure for each row that was shown; nothing when none was."""
    figures: dict[int, list[str]] = {}
    for name, value in properties:
        if name == PROPERTY:
            number, _, figure = str(value).partition(":")
            figures.setdefault(int(number), []).append(figure)
    lines = []
    for row in ROWS:
        for place, figure in enumerate(figures.get(row.number, ())):
            what = f"{row.number:>2}  {row.fault:<42} {row.target:<44}" if place == 0 else " " * 91
            lines.append(f"{what} {figure}")
    return lines
