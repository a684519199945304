"""Work is counted from its beginning to its end, for whom it was done."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

import pytest
from botocore.exceptions import ClientError

from chalicelib.calls import Calls, Sent
from chalicelib.costs.counts import Counts
from chalicelib.costs.meter import Meter


@dataclass
class FakeStore:
    added: dict[tuple[str, str], Counts] = field(default_factory=dict)
    error: Exception | None = None

    def add(self, tenant: str, job_id: str, counts: Counts) -> None:
        if self.error:
            raise self.error
        self.added[tenant, job_id] = self.added.get((tenant, job_id), Counts()) + counts


@dataclass
class Metered:
    """A meter of 1 GB whose clock a test sets."""

    clock: list[float] = field(default_factory=lambda: [100.0])
    calls: Calls = field(default_factory=Calls)
    store: FakeStore = field(default_factory=FakeStore)
    start_seconds: float = 0.0
    meter: Meter = field(init=False)

    def __post_init__(self) -> None:
        self.meter = Meter(self.calls, self.store, 1024, lambda: self.clock[0], self.start_seconds)

    def write(self, units: int = 1) -> None:
        self.calls.note("dynamodb", "PutItem", {"ConsumedCapacity": {"CapacityUnits": units}}, Sent())


class TestMeter:
    def test_adds_calls_and_time_to_the_job(self) -> None:
        metered = Metered()
        with metered.meter.work():
            metered.meter.for_job("acme", "j1")
            metered.write(3)
            metered.clock[0] += 0.2504
        assert metered.store.added["acme", "j1"].amounts == {
            "dynamodb_write_units": 4,  # and its own
            "lambda_requests": 1,
            "lambda_gb_seconds": Decimal("0.251"),
        }

    def test_counts_the_request_that_it_answers(self) -> None:
        metered = Metered()
        with metered.meter.work(request=True):
            metered.meter.for_job("acme", "j1")
        assert metered.store.added["acme", "j1"].amounts["api_requests"] == 1

    def test_does_not_count_what_came_before(self) -> None:
        metered = Metered()
        metered.write(50)
        with metered.meter.work():
            metered.meter.for_job("acme", "j1")
        assert metered.store.added["acme", "j1"].amounts["dynamodb_write_units"] == 1

    def test_counts_a_cold_start_with_the_first_work_only(self) -> None:
        metered = Metered(start_seconds=0.5)
        for job in ("j1", "j2"):
            with metered.meter.work():
                metered.meter.for_job("acme", job)
        times = [metered.store.added["acme", job].amounts["lambda_gb_seconds"] for job in ("j1", "j2")]
        assert times == [Decimal("0.5"), 0]

    def test_shares_by_weight(self) -> None:
        metered = Metered()
        with metered.meter.work():
            metered.meter.for_job("acme", "j1", 3)
            metered.meter.for_job("acme", "j2", 1)
            metered.write(8)
        units = [metered.store.added["acme", job].amounts["dynamodb_write_units"] for job in ("j1", "j2")]
        assert units == [6 + 1, 2 + 1]

    def test_counts_work_that_failed(self) -> None:
        metered = Metered()

        def fail() -> None:
            with metered.meter.work():
                metered.meter.for_job("acme", "j1")
                metered.write()
                raise LookupError

        with pytest.raises(LookupError):
            fail()
        assert metered.store.added["acme", "j1"].amounts["dynamodb_write_units"] == 2

    def test_writes_nothing_for_work_that_is_nobodys(self) -> None:
        metered = Metered()
        with metered.meter.work():
            metered.write()
        assert metered.store.added == {}

    def test_does_not_undo_work_that_it_cannot_count(self) -> None:
        metered = Metered(store=FakeStore(error=ClientError({"Error": {"Code": "Throttling"}}, "UpdateItem")))
        with metered.meter.work():
            metered.meter.for_job("acme", "j1")
        assert metered.store.added == {}
