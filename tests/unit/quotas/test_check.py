"""The check recomputes every counter, and says exactly what differs."""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import InvalidRequest
from chalicelib.quotas.check import Charged, JobsPage, QuotaCheck, Report, added, compare, counted
from chalicelib.quotas.position import MAX_TEXT, Position
from chalicelib.quotas.quota import Amounts, Number, Owner, Reservation
from chalicelib.quotas.store import Stored

ALICE, ACME = Owner("acme", "alice"), Owner("acme")
HELD = Reservation("2026-11", Amounts(10, 20, Decimal("1.5"), 100), 1, "t4")
OPEN = Charged("alice", HELD, None)
ENDED = Charged("alice", HELD, Amounts(4, 8, Decimal("0.5"), 7))
RIGHT: dict[str, dict[str, Number]] = {
    "now": {"jobs": 1, "storage_bytes": 107, "gpus_t4": 1, "used_storage_bytes": 7},
    "month#2026-11": {
        "gpu_seconds": 14,
        "cpu_seconds": 28,
        "cost_usd": Decimal("2.0"),
        "used_gpu_seconds": 4,
        "used_cpu_seconds": 8,
        "used_cost_usd": Decimal("0.5"),
    },
}


def packed(document: Any) -> str:
    text = json.dumps(document).encode()
    return base64.urlsafe_b64encode(zlib.compress(text)).decode().rstrip("=")


def bomb() -> str:
    """A hundred megabytes in a small text."""
    return base64.urlsafe_b64encode(zlib.compress(zlib.compress(b" " * 4_000_000))).decode().rstrip("=")


_LOOK = {
    "versions": {},
    "sums": {},
    "jobs": 0,
    "is_deleted": False,
    "is_read": False,
    "cursor": None,
    "round": 1,
    "is_second": False,
}
UNLIKELY: tuple[Any, ...] = (
    [],
    {},
    {"phase": "users", "user": "", "look": None},
    {"phase": "users", "user": 7, "look": None},
    {"phase": "nowhere", "user": None, "look": None},
    {"phase": "users", "user": None, "look": None, "more": 1},
    {"phase": "users", "user": None, "look": {**_LOOK, "more": 1}},
    {"phase": "users", "user": None, "look": {**_LOOK, "round": "1"}},
    {"phase": "users", "user": None, "look": {**_LOOK, "cursor": 1}},
    {"phase": "users", "user": None, "look": {**_LOOK, "sums": {"now": {"jobs": "NaN"}}}},
    {"phase": "users", "user": None, "look": {**_LOOK, "sums": {"now": {"jobs": "much"}}}},
)


@dataclass
class FakeStore:
    """Accounts as they are seen at one look after the other, each for itself; the last one stays."""

    looks: list[dict[Owner, dict[str, Stored]]]
    seen: Counter[Owner] = field(default_factory=Counter)

    def items(self, owner: Owner) -> dict[str, Stored]:
        self.seen[owner] += 1
        return self.looks[min(self.seen[owner], len(self.looks)) - 1].get(owner, {})

    def owners_after(self, tenant: str, user: str | None) -> Iterator[Owner]:
        users = sorted(owner.user for owner in self.looks[0] if owner.user)
        return (Owner(tenant, each) for each in users if user is None or each > user)


@dataclass
class Slept:
    pauses: list[float] = field(default_factory=list)

    def __call__(self, seconds: float) -> None:
        self.pauses.append(seconds)


def stored(version: int = 2, jobs: int = 1) -> dict[Owner, dict[str, Stored]]:
    now = {**RIGHT["now"], "jobs": jobs}
    items = {"now": Stored(version, now), "month#2026-11": Stored(version, RIGHT["month#2026-11"])}
    return {ACME: items, ALICE: items}


def check(looks: list[dict[Owner, dict[str, Stored]]], jobs: Sequence[Charged] = (OPEN, ENDED)) -> QuotaCheck:
    return QuotaCheck(FakeStore(looks), pages_of(jobs), Slept(), lambda: 0.0)  # type: ignore[arg-type]  # a fake


def pages_of(jobs: Sequence[Charged], size: int = 1) -> JobsPage:
    """Jobs in pages; none was deleted."""

    def page(_tenant: str, user: str | None, is_deleted: bool, after: str | None) -> tuple[list[Charged], str | None]:
        mine = [] if is_deleted else [job for job in jobs if user in {None, job.user}]
        start = int(after or 0)
        return mine[start : start + size], str(start + size) if start + size < len(mine) else None

    return page


class TestRecompute:
    def test_counts_open_jobs_at_their_worst_and_ended_ones_as_they_were(self) -> None:
        assert counted([OPEN, ENDED]) == RIGHT

    @given(st.lists(st.sampled_from([OPEN, ENDED]), max_size=8), st.integers(0, 8))
    def test_is_the_same_in_parts(self, jobs: list[Charged], cut: int) -> None:
        assert added(counted(jobs[:cut]), counted(jobs[cut:])) == counted(jobs)

    def test_takes_an_absent_counter_for_zero(self) -> None:
        assert not list(compare(ALICE, {"now": {"jobs": 0}}, {}))


class TestCheck:
    def test_finds_nothing_where_all_is_right(self) -> None:
        report = check([stored()]).tenant("acme")
        assert (report.differences, report.in_motion, report.owners, report.jobs) == ((), (), 2, 2)

    def test_names_a_counter_that_is_off_after_a_second_look(self) -> None:
        checked = check([stored(jobs=2)])
        differences = checked.tenant("acme").differences
        assert {(each.owner, each.counter, each.recorded, each.recomputed) for each in differences} == {
            (ALICE, "jobs", 2, 1),
        }
        assert len(checked.sleep.pauses) == 1  # type: ignore[attr-defined]  # of two accounts only one differs from its own

    def test_forgives_an_index_that_is_behind(self) -> None:
        late, caught_up = stored(jobs=2), stored()
        assert check([late, late, caught_up, caught_up]).tenant("acme").differences == ()

    def test_looks_again_at_what_moves_and_says_so_in_the_end(self) -> None:
        looks = [stored(version=number, jobs=9) for number in range(30)]
        report = check(looks).tenant("acme")
        assert report.differences == ()
        assert set(report.in_motion) == {ACME, ALICE}

    def test_finds_counters_without_any_record_and_records_without_a_counter(self) -> None:
        assert check([stored()], jobs=()).tenant("acme").differences
        assert check([{}]).tenant("acme").differences

    def test_finds_a_tenant_that_is_not_the_sum_of_its_users(self) -> None:
        off = stored()
        off[ACME] = {**off[ACME], "now": Stored(2, {**RIGHT["now"], "jobs": 5})}
        (difference,) = check([off]).tenant("acme").differences
        assert (difference.owner, difference.recorded, difference.recomputed) == (ACME, 5, 1)


class TestInParts:
    """A check that is stopped after every page, and goes on elsewhere from what it said."""

    @given(st.lists(st.tuples(st.sampled_from(["alice", "bob", "carol"]), st.booleans()), max_size=12))
    def test_finds_what_it_finds_at_once(self, made: list[tuple[str, bool]]) -> None:
        jobs = [replace(ENDED if is_over else OPEN, user=user) for user, is_over in made]
        accounts = {Owner("acme", user): counted(job for job in jobs if job.user == user) for user in ("alice", "bob")}
        accounts[ACME] = counted(jobs)
        looks = [{o: {name: Stored(1, of) for name, of in items.items()} for o, items in accounts.items()}]
        whole = check(looks, jobs).tenant("acme")
        assert bool(whole.differences) == any(job.user == "carol" for job in jobs)
        parts, position, steps = Report(), Position(), 0
        while True:
            part, rest = check(looks, jobs).step("acme", position, until=0.0)
            parts, steps = parts + part, steps + 1
            if rest is None:
                break
            text = rest.encode()
            assert len(text) < MAX_TEXT
            position = Position.decode(text)
        assert parts == whole
        assert steps >= max(3, len(jobs))

    @pytest.mark.parametrize(
        "text",
        ["", "x", "%%%", "eJw", "A" * 6001, Position().encode()[:-4], bomb(), *map(packed, UNLIKELY)],
        ids=lambda text: text[:12],
    )
    def test_goes_on_from_nothing_but_what_it_said(self, text: str) -> None:
        with pytest.raises(InvalidRequest):
            Position.decode(text)
