"""receipt, usage and submit --dry-run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.harness import Terminal, document
from tests.unit.client.fake_service import JOB_ID, problem
from tests.unit.client.sealed import contents, pem, sealed

ROW = {
    "job_id": JOB_ID,
    "name": "wine",
    "user_id": "alice",
    "status": "completed",
    "gpu_hours": 1.5,
    "cpu_hours": 3.0,
    "storage_gb_hours": 45.0,
    "cost_usd": 0.25,
}


@pytest.fixture
def receipt(tmp_path: Path) -> Path:
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(sealed(contents())))
    return file


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "receipts.pem"
    file.write_text(pem())
    return file


class TestReceipt:
    def test_is_shown_line_by_line(self, terminal: Terminal) -> None:
        terminal.service.receipts[JOB_ID] = sealed(contents())
        shown = terminal.run("receipt", "show", JOB_ID)
        assert shown.exit_code == 0
        for text in ("1 × ml.m5.large", "60 s", "state transitions", "0.000225", "$ 0.002238"):
            assert text in shown.stdout

    def test_is_given_out_as_it_was_signed(self, terminal: Terminal) -> None:
        terminal.service.receipts[JOB_ID] = sealed(contents())
        assert document(terminal.run("receipt", "show", JOB_ID, "--json")) == terminal.service.receipts[JOB_ID]

    def test_of_an_unfinished_job_is_not_there(self, terminal: Terminal) -> None:
        assert terminal.run("receipt", "show", JOB_ID).exit_code == 3

    def test_is_verified_from_two_files_without_asking_anybody(
        self, terminal: Terminal, receipt: Path, key: Path
    ) -> None:
        checked = terminal.run("receipt", "verify", receipt, "--public-key", key)
        assert (checked.exit_code, checked.stdout) == (0, "valid  job j-1, $ 0.002238\n")
        assert terminal.service.requests == []

    def test_is_verified_by_id_with_the_services_key(self, terminal: Terminal) -> None:
        terminal.service.receipts[JOB_ID] = sealed(contents())
        terminal.service.public_key = pem()
        checked = document(terminal.run("receipt", "verify", JOB_ID, "--json"))
        assert checked == {"job_id": "j-1", "valid": True, "problems": []}

    def test_that_was_altered_is_found(self, terminal: Terminal, receipt: Path, key: Path) -> None:
        receipt.write_text(receipt.read_text().replace("alice", "bob"))
        checked = terminal.run("receipt", "verify", receipt, "--public-key", key)
        assert checked.exit_code == 1
        assert checked.stdout.splitlines()[0] == "not valid"

    def test_needs_files_that_are_what_they_should_be(self, terminal: Terminal, receipt: Path, key: Path) -> None:
        assert terminal.run("receipt", "verify", key, "--public-key", key).exit_code == 2
        assert terminal.run("receipt", "verify", receipt, "--public-key", receipt).exit_code == 2
        assert terminal.run("receipt", "verify", receipt, "--public-key", "nowhere.pem").exit_code == 2

    def test_key_is_printed_as_pem(self, terminal: Terminal) -> None:
        terminal.service.public_key = pem()
        assert terminal.run("receipt", "public-key").stdout == pem()


class TestUsage:
    def test_is_shown_with_its_total(self, terminal: Terminal) -> None:
        terminal.service.usage = [ROW, {**ROW, "job_id": "other", "cost_usd": 0.1}]
        shown = terminal.run("usage", "--month", "2031-05")
        assert shown.exit_code == 0
        assert [line.split()[0] for line in shown.stdout.splitlines() if line] == ["JOB", JOB_ID, "other", "total"]
        assert "$ 0.35" in shown.stdout

    def test_of_nothing_is_no_error(self, terminal: Terminal) -> None:
        assert terminal.run("usage").stdout == "nothing was used\n"

    def test_can_be_summed_up(self, terminal: Terminal) -> None:
        terminal.service.summaries = [{**ROW, "value": "sklearn", "jobs": 7}]
        assert terminal.run("usage", "--by", "framework").stdout.splitlines()[1].split()[:2] == ["sklearn", "7"]
        assert terminal.service.requests[-1].url.params["by"] == "framework"

    def test_is_exported_whole(self, terminal: Terminal) -> None:
        terminal.service.usage = [{**ROW, "job_id": f"j-{number}"} for number in range(5)]
        assert terminal.run("usage", "--csv").stdout.split() == ["job_id", *(f"j-{number}" for number in range(5))]

    def test_csv_goes_alone(self, terminal: Terminal) -> None:
        assert terminal.run("usage", "--csv", "--json").exit_code == 2


class TestDryRun:
    PLAN = {  # noqa: RUF012
        "resource_allocation": {"instance_type": "ml.m5.large", "instance_count": 1, "price_per_hour_usd": 0.115},
        "image": "repository/image:1",
        "time_limit": {"seconds": 3600, "set_by": "max_cost_usd"},
        "estimate": {
            "duration": {"low": "PT1M", "expected": "PT2M", "high": "PT3M"},
            "usd": {"low": 0.001, "expected": 0.002, "high": 0.003},
            "basis": "2 completed runs of this name on this instance type",
            "price_source": "a list",
            "price_date": "2031-01-01",
        },
    }
    WORDS = ("submit", "s3://b/train.py", "--dataset", "s3://b/d.csv", "--framework", "sklearn", "--dry-run")

    def test_shows_the_plan_and_makes_no_job(self, terminal: Terminal) -> None:
        terminal.service.plan = self.PLAN
        shown = terminal.run(*self.WORDS)
        assert shown.exit_code == 0
        for text in ("1 × ml.m5.large", "repository/image:1", "$ 0.0020 (0.0010 to 0.0030)", "PT2M", "max_cost_usd"):
            assert text in shown.stdout
        assert terminal.service.submitted == {}

    def test_says_whether_it_would_wait(self, terminal: Terminal) -> None:
        full = {
            "would_wait": True,
            "reason": "It needs 4 GPUs; 6 of the 8 of the pool sagemaker/v100 are in use.",
            "position": 3,
            "jobs_ahead_is_exact": True,
            "expected_start": "2031-01-01T10:00:00.000Z",
            "expected_start_basis": "the expected ends of 2 admitted jobs",
        }
        terminal.service.plan = {**self.PLAN, "queue": full}
        shown = terminal.run(*self.WORDS).stdout
        for text in (full["reason"], "3", full["expected_start"], full["expected_start_basis"]):
            assert str(text) in shown
        free = {"would_wait": False, "reason": "No limit would keep it from starting."}
        terminal.service.plan = {**self.PLAN, "queue": free}
        assert "at once" in terminal.run(*self.WORDS).stdout

    def test_is_refused_as_a_submission_would_be(self, terminal: Terminal) -> None:
        from tests.unit.client.fake_service import Fault

        terminal.service.faults = [Fault("POST", "dry_run", problem(429, "quota-exceeded", "too much"))]
        assert terminal.run(*self.WORDS).exit_code == 7
