"""The check recomputes every counter, and says exactly what differs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.quotas.check import Charged, QuotaCheck, compare, recompute
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


@dataclass
class FakeStore:
    """Accounts as they are seen at one look after the other; the last one stays."""

    looks: list[dict[Owner, dict[str, Stored]]]
    seen: int = 0

    def accounts(self, tenant: str) -> dict[Owner, dict[str, Stored]]:
        self.seen += 1
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]


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
    def jobs_of(tenant: str) -> Iterable[Charged]:
        return jobs

    return QuotaCheck(FakeStore(looks), jobs_of, Slept())  # type: ignore[arg-type]  # a fake of the same shape


class TestRecompute:
    def test_counts_open_jobs_at_their_worst_and_ended_ones_as_they_were(self) -> None:
        assert recompute("acme", [OPEN, ENDED]) == {ALICE: RIGHT, ACME: RIGHT}

    @given(st.lists(st.sampled_from([OPEN, ENDED, Charged("bob", HELD, None)]), max_size=8))
    def test_of_the_tenant_is_the_sum_of_its_users(self, jobs: list[Charged]) -> None:
        sums = recompute("acme", jobs)
        for item, counters in sums.get(ACME, {}).items():
            for counter, amount in counters.items():
                users = [each for owner, each in sums.items() if owner.user]
                assert amount == sum(each.get(item, {}).get(counter, 0) for each in users)

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
            (ACME, "jobs", 2, 1),
            (ALICE, "jobs", 2, 1),
        }
        assert len(checked.sleep.pauses) == 1  # type: ignore[attr-defined]

    def test_forgives_an_index_that_is_behind(self) -> None:
        late, caught_up = stored(jobs=2), stored()
        assert check([late, late, caught_up]).tenant("acme").differences == ()

    def test_looks_again_at_what_moves_and_says_so_in_the_end(self) -> None:
        looks = [stored(version=number, jobs=9) for number in range(30)]
        report = check(looks).tenant("acme")
        assert report.differences == ()
        assert set(report.in_motion) == {ACME, ALICE}

    def test_finds_counters_without_any_record_and_records_without_a_counter(self) -> None:
        assert check([stored()], jobs=()).tenant("acme").differences
        assert check([{}]).tenant("acme").differences
