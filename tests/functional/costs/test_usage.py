"""The usage log is written in the transaction that ends a job: once, whole, to the month of its submission."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from chalicelib.costs.usage import SummaryKind
from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.job import JobStatus
from tests.functional.costs.conftest import Costs
from tests.functional.jobs.conftest import ALICE, BOB

MONTH = "2026-03"
PER_HOUR = Decimal("0.115") + Decimal("0.01917808")


class TestLog:
    def test_of_a_finished_job_has_its_facts(self, costs: Costs) -> None:
        job = costs.ran(seconds=3600)
        (row,) = costs.store.rows("acme", MONTH, None, 10, 0, None).rows
        assert (row.job_id, row.user, row.name, row.framework, row.status) == (
            *(job.job_id, "alice", "churn", "sklearn", "completed"),
        )
        hours = {name: str(value) for name, value in row.amounts.hours().items()}
        assert hours == {"gpu_hours": "0.000000", "cpu_hours": "2.000000", "storage_gb_hours": "100.000000"}
        assert row.amounts.instance_usd == Decimal("0.115")
        assert row.amounts.storage_usd == Decimal("0.019178")
        assert job.used is not None
        assert row.amounts.cost_usd == job.used.cost_usd
        assert (row.period_end - row.period_start).total_seconds() == 3600

    def test_is_added_to_once_however_often_a_job_is_finished(self, costs: Costs) -> None:
        job = costs.ran(seconds=100)
        for _ in range(3):
            costs.jobs.finishing.finish("acme", job.job_id, None)
        for kind in SummaryKind:
            (summary,) = costs.store.summaries("acme", MONTH, kind)
            assert (summary.jobs, summary.amounts.cpu_seconds) == (1, 200)

    def test_is_not_written_when_somebody_else_ended_the_job(self, costs: Costs) -> None:
        job = costs.jobs.service.submit(ALICE, costs.jobs.request(), None)
        costs.jobs.service.cancel(ALICE, job.job_id)
        costs.jobs.finishing.finish("acme", job.job_id, None)
        (row,) = costs.store.rows("acme", MONTH, None, 10, 0, None).rows
        assert (row.status, row.amounts.cost_usd) == ("cancelled", Decimal(0))

    def test_of_a_job_that_never_ran_costs_nothing(self, costs: Costs) -> None:
        job = costs.jobs.service.submit(ALICE, costs.jobs.request(), None)
        assert costs.jobs.finishing.finish("acme", job.job_id, "no capacity").status is JobStatus.FAILED
        (row,) = costs.store.rows("acme", MONTH, None, 10, 0, None).rows
        assert (row.amounts.cost_usd, row.period_start) == (Decimal(0), row.period_end)

    def test_charges_spot_for_what_is_billed(self, costs: Costs) -> None:
        costs.ran(seconds=3600, billable=900)
        (row,) = costs.store.rows("acme", MONTH, None, 10, 0, None).rows
        assert row.amounts.instance_usd == Decimal("0.02875")
        assert row.amounts.cpu_seconds == 1800

    def test_charges_every_attempt(self, costs: Costs) -> None:
        jobs = costs.jobs
        job = jobs.service.submit(ALICE, jobs.request(), None)
        jobs.lifecycle.plan("acme", job.job_id)
        first, second = (f"aimatrix-{job.job_id}-{number}" for number in (1, 2))
        took = {"training_seconds": 120, "billable_seconds": 120}
        jobs.backends.sagemaker.says(first, BackendState.FAILED, reason="CapacityError: try again", **took)
        assert jobs.lifecycle.assess("acme", job.job_id, 1, "CapacityError")["next"] == "retry"
        jobs.lifecycle.plan("acme", job.job_id)
        jobs.backends.sagemaker.says(second, BackendState.COMPLETED, training_seconds=240, billable_seconds=240)
        jobs.finishing.finish("acme", job.job_id, None)
        (row,) = costs.store.rows("acme", MONTH, None, 10, 0, None).rows
        assert row.amounts.cpu_seconds == 2 * 360

    def test_charges_a_job_that_crosses_the_month_to_the_month_of_its_submission(self, costs: Costs) -> None:
        costs.jobs.clock.moment = datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC)
        job = costs.ran(seconds=7000)
        assert costs.store.rows("acme", "2026-04", None, 10, 0, None).rows == ()
        (row,) = costs.store.rows("acme", MONTH, None, 10, 0, None).rows
        assert (row.job_id, row.period_end.month) == (job.job_id, 4)


class TestMonth:
    def test_receipts_usage_log_and_sums_are_equal_to_the_last_digit(self, costs: Costs) -> None:
        chance = random.Random(11)  # noqa: S311
        receipts = Decimal(0)
        for number in range(40):
            seconds = chance.randint(1, 5000)
            job = costs.ran(ALICE if number % 3 else BOB, seconds, chance.randint(1, seconds))
            totals = costs.issuing.issue(job).document()["receipt"]["totals"]
            receipts += Decimal(totals["instances_usd"]) + Decimal(totals["storage_usd"])
        rows = costs.store.rows("acme", MONTH, None, 200, 0, None).rows
        logged = sum((row.amounts.cost_usd for row in rows), Decimal(0))
        print(f"40 jobs: receipts USD {receipts}, usage log USD {logged}")
        assert receipts == logged
        for kind in SummaryKind:
            assert sum(each.amounts.cost_usd for each in costs.store.summaries("acme", MONTH, kind)) == logged
        users = {each.value: each.jobs for each in costs.store.summaries("acme", MONTH, SummaryKind.USER)}
        assert users == {"alice": 26, "bob": 14}


class TestLists:
    def test_give_pages_that_end(self, costs: Costs) -> None:
        made = [costs.ran(seconds=number).job_id for number in range(1, 6)]
        seen, cursor = [], None
        while True:
            page = costs.store.rows("acme", MONTH, "alice", 2, 0, cursor)
            seen += [row.job_id for row in page.rows]
            cursor = page.cursor
            if cursor is None:
                break
        assert seen == list(reversed(made))

    @pytest.mark.parametrize("user", [None, "bob"])
    def test_do_not_follow_a_cursor_into_another_list(self, costs: Costs, user: str | None) -> None:
        for number in range(3):
            costs.ran(seconds=number + 1)
        text = costs.store.rows("acme", MONTH, "alice", 1, 0, None).cursor
        assert text is not None
        cursor = costs.store.cursor(text.encode(), "acme", MONTH, "alice")
        assert cursor is not None
        assert cursor.key["owner_month_key"] == f"acme#alice#{MONTH}"
