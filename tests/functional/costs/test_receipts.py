"""Each finished job gets one receipt, which never changes and which the client can verify."""

from __future__ import annotations

from decimal import Decimal

from aimatrix.client import Receipt
from chalicelib.costs.counts import Counts
from chalicelib.jobs.gateways import BackendState
from tests.functional.costs.conftest import Costs
from tests.functional.jobs.conftest import ALICE


class TestIssue:
    def test_makes_a_receipt_that_the_client_verifies(self, costs: Costs) -> None:
        job = costs.ran(seconds=3600, billable=1800)
        receipt = Receipt.from_document(costs.issuing.issue(job).document())
        assert receipt.problems(costs.signer.public_key.pem) == []
        (attempt,) = receipt.contents["attempts"]
        assert (attempt["seconds"], attempt["billable_seconds"], attempt["spot_discount_percent"]) == (3600, 1800, "50")
        assert receipt.contents["month"] == "2026-03"
        assert {price["item"] for price in receipt.contents["prices"]} >= {"ml.m5.large", "sagemaker_disk_gb_months"}

    def test_holds_what_was_counted_and_what_is_still_to_come(self, costs: Costs) -> None:
        job = costs.ran()
        costs.store.add("acme", job.job_id, Counts({"dynamodb_write_units": Decimal(100), "api_requests": Decimal(1)}))
        told = costs.issuing.issue(job).document()["receipt"]
        lines = {line["item"]: line["count"] for line in told["control_plane"]}
        assert lines["api_requests"] == "1"
        assert lines["state_transitions"] == "9"
        assert lines["kms_signatures"] == "1"
        assert Decimal(lines["dynamodb_write_units"]) == 100 + 1 + 5

    def test_is_repeated_without_a_change(self, costs: Costs) -> None:
        job = costs.ran()
        first = costs.issuing.issue(job)
        costs.store.add("acme", job.job_id, Counts({"s3_reads": Decimal(7)}))
        costs.jobs.clock.advance(60)
        assert costs.issuing.issue(job) == first

    def test_makes_up_for_a_crash_after_the_job_had_ended(self, costs: Costs) -> None:
        job = costs.ran()
        assert costs.store.receipt("acme", job.job_id) is None  # the crash
        again = costs.jobs.finishing.finish("acme", job.job_id, None)
        assert costs.issuing.issue(again) == costs.store.receipt("acme", job.job_id)

    def test_by_two_at_once_keeps_one(self, costs: Costs) -> None:
        job = costs.ran()
        first = costs.issuing.issue(job)
        second = costs.signer.seal('{"totals":{}}')
        assert not costs.store.put_receipt("acme", job.job_id, second)
        assert costs.store.receipt("acme", job.job_id) == first

    def test_of_a_job_whose_execution_is_gone_leaves_the_transitions_out(self, costs: Costs) -> None:
        costs.history.count = None
        lines = costs.issuing.issue(costs.ran()).document()["receipt"]["control_plane"]
        assert "state_transitions" not in {line["item"] for line in lines}

    def test_leaves_out_an_attempt_that_never_came(self, costs: Costs) -> None:
        jobs = costs.jobs
        job = jobs.service.submit(ALICE, jobs.request(), None)
        jobs.lifecycle.plan("acme", job.job_id)
        took = {"training_seconds": 60, "billable_seconds": 60}
        jobs.backends.sagemaker.says(f"aimatrix-{job.job_id}-1", BackendState.COMPLETED, **took)
        ended = jobs.finishing.finish("acme", job.job_id, None)
        lines = costs.issuing.issue(ended).document()["receipt"]["attempts"]
        assert [line["number"] for line in lines] == [1]
