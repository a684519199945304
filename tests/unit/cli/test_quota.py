"""quota, and what quotas do to submit and jobs."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.harness import Terminal, document
from tests.unit.client.fake_quotas import quota_document, refusal
from tests.unit.client.fake_service import JOB_ID, Fault, job_document, problem

JUNE = "2031-06-01T00:00:00.000Z"
PUT = "/admin/quotas/users/ada"


class TestOwn:
    def test_shows_used_reserved_and_free_of_each_limit_with_a_bar(self, terminal: Terminal) -> None:
        result = terminal.run("quota")

        assert result.exit_code == 0
        shown = {" ".join(line.split()) for line in result.stdout.splitlines()}
        assert "ada 2031-05" in shown
        assert "max_cpu_hours_per_month 50.5 200 749.5 1,000 CPU hours █▒▒▒▒░░░░░░░░░░░░░░░" in shown
        assert "max_concurrent_jobs 2 3 5 jobs ████████░░░░░░░░░░░░" in shown
        assert "max_usd_per_month 0.5 0.75 no limit" in shown
        assert "the tenant default as a whole 2031-05" in shown

    def test_a_lowered_limit_is_a_full_bar(self, terminal: Terminal) -> None:
        limits = {**quota_document()["limits"], "max_concurrent_jobs": 0, "max_runtime_seconds": 3600}
        terminal.service.quotas["ada"] = quota_document(limits=limits)

        shown = " ".join(terminal.run("quota").stdout.split())

        assert f"max_concurrent_jobs 2 0 0 jobs {'█' * 20}" in shown
        assert "max_runtime_seconds 3600 seconds a job" in shown

    def test_is_a_document_of_both(self, terminal: Terminal) -> None:
        own = document(terminal.run("quota", "--json"))

        assert (own["user"]["user_id"], own["tenant"]["scope"]) == ("ada", "tenant")


class TestUsers:
    def test_are_listed_with_what_they_hold(self, terminal: Terminal) -> None:
        limits = {**quota_document()["limits"], "max_gpus": {"t4": 4}}
        terminal.service.quotas = {
            "ada": quota_document("ada", limits=limits, current_gpus={"t4": 1}),
            "bob": quota_document("bob"),
        }

        lines = [line.split() for line in terminal.run("quota", "users").stdout.splitlines()]

        assert lines[1:] == [
            ["ada", "2/5", "0/100", "250.5/1,000", "1.25", "60/1,000", "t4", "1/4"],
            ["bob", "2/5", "0/100", "250.5/1,000", "1.25", "60/1,000"],
        ]

    def test_nobody_is_an_empty_list_and_no_error(self, terminal: Terminal) -> None:
        assert document(terminal.run("quota", "users", "--json")) == {"quotas": []}
        assert terminal.run("quota", "users").stdout == "nobody has had a job\n"

    def test_those_who_may_not_see_them_are_told(self, terminal: Terminal) -> None:
        terminal.service.faults = [Fault("GET", "/users", problem(403, "forbidden", "needs quotas:manage"))]

        result = terminal.run("quota", "users")

        assert result.exit_code == 4
        assert "needs quotas:manage" in result.stderr


def _set(terminal: Terminal, words: str) -> Any:
    return terminal.run("quota", "set", *words.split())


class TestSet:
    def test_changes_only_what_is_given(self, terminal: Terminal) -> None:
        before = quota_document()["limits"]

        result = _set(terminal, "ada --max-concurrent-jobs 10 --max-usd 12.50 --max-gpus t4=4")

        assert result.exit_code == 0
        (sent,) = terminal.service.bodies("PUT", PUT)
        assert sent == {**before, "max_concurrent_jobs": 10, "max_usd_per_month": 12.5, "max_gpus": {"t4": 4}}
        assert "10 jobs" in result.stdout

    def test_none_takes_a_limit_off(self, terminal: Terminal) -> None:
        limits = {**quota_document()["limits"], "max_gpus": {"t4": 4, "a100": 1}, "max_runtime_seconds": 60}
        terminal.service.quotas["ada"] = quota_document(limits=limits)

        _set(terminal, "ada --max-storage-gb none --max-runtime none --max-gpus t4=none")

        (sent,) = terminal.service.bodies("PUT", PUT)
        assert sent == {**limits, "max_storage_gb": None, "max_runtime_seconds": None, "max_gpus": {"a100": 1}}

    def test_reads_a_time(self, terminal: Terminal) -> None:
        terminal.run("quota", "set", "ada", "--max-runtime", "1h30m")

        assert terminal.service.bodies("PUT", PUT)[0]["max_runtime_seconds"] == 5400

    def test_is_about_the_tenant_when_told(self, terminal: Terminal) -> None:
        changed = document(terminal.run("quota", "set", "--tenant", "--max-gpu-hours", "500", "--json"))

        assert changed["limits"]["max_gpu_hours_per_month"] == 500
        assert terminal.service.tenant_quota["limits"]["max_gpu_hours_per_month"] == 500
        assert terminal.run("quota", "get", "--tenant").stdout.startswith("the tenant default as a whole")

    @pytest.mark.parametrize(
        ("words", "named"),
        [
            ("ada", "--max-"),
            ("--max-usd 5", "USER / --tenant"),
            ("ada --tenant --max-usd 5", "USER / --tenant"),
            ("ada --max-concurrent-jobs -1", "--max-concurrent-jobs"),
            ("ada --max-concurrent-jobs 1.5", "--max-concurrent-jobs"),
            ("ada --max-concurrent-jobs ٣", "--max-concurrent-jobs"),
            ("ada --max-usd 1e9", "--max-usd"),
            ("ada --max-usd nan", "--max-usd"),
            ("ada --max-runtime soon", "--max-runtime"),
            ("ada --max-gpus t4", "--max-gpus"),
            ("ada --max-gpus k80=1", "--max-gpus"),
            ("ada --max-gpus t4=1 --max-gpus t4=2", "--max-gpus"),
        ],
    )
    def test_wrong_usage_sends_nothing(self, terminal: Terminal, words: str, named: str) -> None:
        result = _set(terminal, words)

        assert result.exit_code == 2
        assert named in result.stderr
        assert terminal.service.requests == []


class TestCheck:
    def test_without_a_difference_ends_well(self, terminal: Terminal) -> None:
        result = terminal.run("quota", "check")

        assert (result.exit_code, result.stdout) == (0, "2 accounts, 7 jobs: no difference\n")

    def test_of_a_large_tenant_says_how_far_it_has_come(self, terminal: Terminal) -> None:
        terminal.service.quota_parts = 3
        result = terminal.run("quota", "check")
        assert (result.exit_code, result.stdout) == (0, "6 accounts, 21 jobs: no difference\n")
        assert result.stderr.splitlines() == ["2 accounts, 7 jobs so far", "4 accounts, 14 jobs so far"]

    def test_with_a_difference_fails_and_names_it(self, terminal: Terminal) -> None:
        wrong = {"scope": "user", "user_id": "ada", "item": "now", "counter": "jobs", "recorded": 2, "recomputed": 1}
        terminal.service.quota_report |= {"differences": [wrong], "in_motion": [{"scope": "tenant", "user_id": None}]}

        result = terminal.run("quota", "check")

        assert result.exit_code == 1
        _, row, said = result.stdout.splitlines()
        assert row.split() == ["ada", "now", "jobs", "2", "1"]
        assert said == "2 accounts, 7 jobs: 1 difference"
        assert "not compared: tenant" in result.stderr
        assert document(terminal.run("quota", "check", "--json"))["differences"] == [wrong]


def _submit(terminal: Terminal, project: Path, *words: str) -> Any:
    return terminal.run(
        "submit", project / "train.py", "--data", project / "data.csv", "--framework", "sklearn", *words
    )


class TestRefusal:
    def test_tells_each_limit_its_cure_and_when_there_is_room(self, terminal: Terminal, project: Path) -> None:
        money = {"scope": "tenant", "limit": "max_usd_per_month", "unit": "USD", "limit_value": 100, "used": 99.5}
        terminal.service.faults = [Fault("POST", "/jobs$", refusal({}, {**money, "requested": 2}, fits_at=JUNE))]

        result = _submit(terminal, project)

        assert result.exit_code == 7
        said = result.stderr.splitlines()
        assert said[-6:] == [
            "error: over quota",
            "  your max_concurrent_jobs: 1 job asked for, 5 of 5 used or reserved",
            f"    Submit again after {JUNE}.",
            "  your tenant's max_usd_per_month: 2 USD asked for, 99.5 of 100 used or reserved",
            f"    Submit again after {JUNE}.",
            f"  There is room for it at {JUNE}, as far as is known now.",
        ]
        assert terminal.clock.sleeps == []

    def test_says_so_when_it_never_fits(self, terminal: Terminal, project: Path) -> None:
        terminal.service.faults = [Fault("POST", "/jobs$", refusal({"requested": 6}))]

        assert "It never fits under these limits." in _submit(terminal, project).stderr

    def test_says_so_when_nobody_knows(self, terminal: Terminal, project: Path) -> None:
        terminal.service.faults = [Fault("POST", "/jobs$", refusal({}))]

        assert "When there is room for it isn't known." in _submit(terminal, project).stderr

    def test_is_a_document_with_the_limits(self, terminal: Terminal, project: Path) -> None:
        terminal.service.faults = [Fault("POST", "/jobs$", refusal({}, fits_at=JUNE))]

        error = document(_submit(terminal, project, "--json"))["error"]

        assert (error["code"], error["status"], error["fits_at"]) == ("quota-exceeded", 429, JUNE)
        assert error["limits"][0]["limit"] == "max_concurrent_jobs"


class TestSubmit:
    def test_sends_the_bound_on_money_and_says_when_it_ends_the_job(self, terminal: Terminal, project: Path) -> None:
        answer = job_document(time_limit={"seconds": 312, "set_by": "max_usd_per_month"})
        terminal.service.submitted["k"] = answer

        result = _submit(terminal, project, "--max-cost", "1.50", "--shorten", "--idempotency-key", "k")

        (sent,) = terminal.service.bodies("POST", "/training/jobs")
        assert (sent["config"]["max_cost_usd"], sent["config"]["over_budget"]) == (1.5, "shorten")
        assert "stops after  312 s, set by max_usd_per_month" in result.stderr

    @pytest.mark.parametrize("amount", ["", "free", "-1", "1e3", "inf"])
    def test_refuses_what_is_no_money(self, terminal: Terminal, project: Path, amount: str) -> None:
        result = _submit(terminal, project, "--max-cost", amount)

        assert result.exit_code == 2
        assert "--max-cost" in result.stderr


class TestJobs:
    def test_show_what_they_hold_and_then_what_they_took(self, terminal: Terminal) -> None:
        most = {"gpu_hours": 0, "cpu_hours": 0.4, "storage_gb": 30, "cost_usd": 0.023}
        limit = {"seconds": 600, "set_by": "max_runtime_seconds"}
        running = job_document(status="running", time_limit=limit, reserved=most)
        terminal.service.stages[JOB_ID] = deque([running])

        shown = terminal.run("jobs", "get", JOB_ID).stdout
        assert "600 s\n" in shown
        assert "reserved    0.4 CPU hours · 30 GB · $0.0230" in shown

        used = {**most, "cpu_hours": 0.01, "cost_usd": 0.0006}
        terminal.service.stages[JOB_ID] = deque([{**running, "status": "completed", "used": used}])
        shown = terminal.run("jobs", "get", JOB_ID).stdout
        assert "reserved" not in shown
        assert "took        0.01 CPU hours · 30 GB · $0.0006" in shown

    def test_are_deleted_when_they_have_finished(self, terminal: Terminal) -> None:
        terminal.service.stages[JOB_ID] = deque([job_document(status="running")])
        assert terminal.run("jobs", "delete", JOB_ID).exit_code == 5

        terminal.service.stages[JOB_ID] = deque([job_document(status="completed")])
        assert document(terminal.run("jobs", "delete", JOB_ID, "--json")) == {"job_id": JOB_ID, "deleted": True}
        assert terminal.run("jobs", "delete", JOB_ID).exit_code == 3
