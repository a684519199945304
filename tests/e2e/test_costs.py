"""Money, seen from outside: before a job, while it runs, and on the receipt after it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from aimatrix.client import Client, ForbiddenError, Job, NotFoundError, Receipt
from tests.e2e import scripts
from tests.e2e.conftest import Cloud, aimatrix

CONTROL_PLANE_USD = Decimal("0.001")
CENT = Decimal("0.01")
QUICK = "print('done', flush=True)\n"


@pytest.fixture(scope="module")
def carol(cloud: Cloud) -> Iterator[Client]:
    """Somebody whose month holds only the jobs of these tests."""
    with cloud.client("carol") as client:
        yield client


@pytest.fixture(scope="module")
def finished(carol: Client, tmp_path_factory: pytest.TempPathFactory) -> list[Job]:
    """Two jobs that completed, one on each backend, and one that failed."""
    folder = tmp_path_factory.mktemp("costs")
    jobs = [
        scripts.run(carol, folder, QUICK, name="priced", backend="sagemaker"),
        scripts.run(carol, folder, QUICK, name="priced-batch", backend="batch"),
        scripts.run(carol, folder, "raise SystemExit(3)\n", name="priced"),
    ]
    for job in jobs:
        receipt(carol, job)
    return jobs


def receipt(client: Client, job: Job) -> Receipt:
    """The receipt, which is issued a moment after the job's status is seen: the client waits for that."""
    return client.costs.receipt(job.job_id)


@pytest.mark.e2e
class TestReceipts:
    def test_are_signed_and_add_up(self, carol: Client, finished: list[Job]) -> None:
        key = str(carol.costs.public_key()["public_key"])
        receipts = [carol.costs.receipt(job.job_id) for job in finished]
        assert [receipt.problems(key) for receipt in receipts] == [[], [], []]
        assert [receipt.contents["status"] for receipt in receipts] == ["completed", "completed", "failed"]

    def test_hold_a_control_plane_that_costs_less_than_a_tenth_of_a_cent(
        self, carol: Client, finished: list[Job]
    ) -> None:
        for job in finished:
            told = carol.costs.receipt(job.job_id).contents
            shares = {line["item"]: (line["count"], line["usd"]) for line in told["control_plane"]}
            usd = Decimal(told["totals"]["control_plane_usd"])
            print(f"{told['name']}: control plane USD {usd}", shares)
            assert set(shares) >= {
                *("api_requests", "lambda_requests", "lambda_gb_seconds", "state_transitions"),
                *("dynamodb_read_units", "dynamodb_write_units", "s3_reads", "s3_writes", "kms_signatures"),
            }
            assert 0 < usd <= CONTROL_PLANE_USD

    def test_equal_the_usage_log_to_the_cent(self, carol: Client, finished: list[Job]) -> None:
        rows = {row["job_id"]: row for row in carol.costs.usage()}
        assert set(rows) == {job.job_id for job in finished}
        logged = sum((Decimal(str(row["cost_usd"])) for row in rows.values()), Decimal(0))
        totals = [carol.costs.receipt(job.job_id).contents["totals"] for job in finished]
        billed = sum((Decimal(each["instances_usd"]) + Decimal(each["storage_usd"]) for each in totals), Decimal(0))
        (summed,) = carol.costs.summary("user")
        print(f"receipts USD {billed}, usage log USD {logged}, monthly sum USD {summed['cost_usd']}")
        assert billed == logged == Decimal(str(summed["cost_usd"]))
        assert summed["jobs"] == 3
        assert billed > 0

    def test_are_verified_by_the_command_line_offline(
        self, cloud: Cloud, carol: Client, finished: list[Job], tmp_path: Path
    ) -> None:
        file, key = tmp_path / "receipt.json", tmp_path / "receipts.pem"
        file.write_text(json.dumps(dict(carol.costs.receipt(finished[0].job_id).document)))
        key.write_text(str(carol.costs.public_key()["public_key"]))
        assert aimatrix("receipt", "verify", str(file), "--public-key", str(key)).returncode == 0
        file.write_text(file.read_text().replace('"carol"', '"dave"'))
        assert aimatrix("receipt", "verify", str(file), "--public-key", str(key)).returncode == 1

    def test_and_usage_are_shown_on_the_command_line(self, cloud: Cloud, finished: list[Job]) -> None:
        carol = {"AIMATRIX_API": cloud.api, "AIMATRIX_TOKEN": cloud.token("carol", "USER")}
        shown = aimatrix("receipt", "show", finished[0].job_id, environment=carol)
        assert shown.returncode == 0, shown.stderr
        assert "state transitions" in shown.stdout
        used = aimatrix("usage", environment=carol)
        assert used.returncode == 0, used.stderr
        assert all(job.job_id in used.stdout for job in finished)

    def test_are_nobody_elses_and_of_finished_jobs_only(self, cloud: Cloud, finished: list[Job]) -> None:
        with cloud.client("dave") as stranger:
            for job_id in (finished[0].job_id, "00000000-0000-4000-8000-000000000000"):
                with pytest.raises(NotFoundError):
                    stranger.costs.receipt(job_id)


@pytest.mark.e2e
class TestUsage:
    def test_is_exported_as_csv(self, carol: Client, finished: list[Job]) -> None:
        rows = list(csv.DictReader(io.StringIO("".join(carol.costs.usage_csv()))))
        assert {row["job_id"] for row in rows} == {job.job_id for job in finished}
        assert all(Decimal(row["cost_usd"]) >= 0 and row["user_id"] == "carol" for row in rows)

    def test_of_others_needs_the_permission(self, cloud: Cloud, carol: Client, finished: list[Job]) -> None:
        assert list(carol.costs.usage(user_id="alice")) == []
        with pytest.raises(ForbiddenError):
            carol.costs.summary("framework")
        with cloud.client("root", "ADMIN") as admin:
            assert {row["user_id"] for row in admin.costs.usage(user_id="carol")} == {"carol"}
            assert "custom" in {each["value"] for each in admin.costs.summary("framework")}


@pytest.mark.e2e
class TestBeforeAndDuring:
    def test_a_dry_run_tells_the_price_and_makes_nothing(
        self, carol: Client, finished: list[Job], tmp_path: Path
    ) -> None:
        request = scripts.request(carol, tmp_path, QUICK, name="priced")
        before = [job.job_id for job in carol.jobs.list()]
        plan = carol.jobs.plan(request)
        assert plan["estimate"]["basis"] == "1 completed run of this name on this instance type"
        assert plan["estimate"]["usd"]["low"] <= plan["estimate"]["usd"]["expected"] <= plan["estimate"]["usd"]["high"]
        assert plan["estimate"]["usd"]["high"] <= plan["reservation"]["cost_usd"]
        assert [job.job_id for job in carol.jobs.list()] == before

    def test_a_running_job_tells_what_it_has_cost_so_far(self, carol: Client, tmp_path: Path) -> None:
        job = scripts.submit(carol, tmp_path, "import time\nprint('here', flush=True)\ntime.sleep(600)\n", name="slow")
        scripts.first_line(carol, job)
        with pytest.raises(NotFoundError, match="its receipt is made when it has ended") as early:
            carol.costs.receipt(job.job_id)
        assert (early.value.code, early.value.document["reason"]) == ("not-there-yet", "job-not-finished")
        cost = carol.jobs.get(job.job_id).document["cost"]
        assert cost["basis"].startswith("the time limit")
        assert 0 <= cost["running_usd"] < cost["reserved_usd"]
        carol.jobs.cancel(job.job_id)
        ended = carol.jobs.wait(job.job_id, timeout=90).document["cost"]
        assert "running_usd" not in ended
        assert 0 < ended["actual_usd"] < ended["estimated_usd"]
