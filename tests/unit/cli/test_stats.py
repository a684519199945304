"""stats: tables for people, documents for programs, and pages that are fetched to the end."""

from __future__ import annotations

from typing import Any

from tests.unit.cli.harness import Terminal, document
from tests.unit.client.fake_service import JOB_ID, job_document

JOB = {**job_document(JOB_ID, status="running"), "user_id": "alice", "metric_count": 7}
USER: dict[str, Any] = {
    "user_id": "alice",
    "month": "2031-05",
    "max_concurrent_jobs": 5,
    "current_concurrent_jobs": 2,
    "max_gpu_hours_per_month": 100,
    "current_gpu_hours_this_month": 12.5,
    "gpu_utilization_percent": 12.5,
    "current_cpu_hours_this_month": 3.0,
    "current_storage_gb": 60.0,
}
MODEL: dict[str, Any] = {
    "id": "m-1",
    "name": "wine",
    "version": "3",
    "framework": "sklearn",
    "status": "deployed",
    "accuracy": 0.91,
    "deployment_count": 2,
}
FRAMEWORK: dict[str, Any] = {
    "framework": "sklearn",
    "total_jobs": 4,
    "completed_jobs": 2,
    "failed_jobs": 1,
    "cancelled_jobs": 0,
    "mean_duration_seconds": 61.25,
    "gpu_hours": 1.5,
}


def cells(terminal: Terminal, *words: str) -> list[list[str]]:
    shown = terminal.run("stats", *words)
    assert shown.exit_code == 0, shown.stderr
    return [line.split() for line in shown.stdout.splitlines()]


class TestActiveJobs:
    def test_are_listed_to_the_last_page(self, terminal: Terminal) -> None:
        terminal.service.stats["active-jobs"] = [{**JOB, "job_id": f"j-{number}"} for number in range(5)]
        rows = cells(terminal, "active-jobs")
        assert [row[0] for row in rows] == ["JOB", *(f"j-{number}" for number in range(5))]
        assert rows[1][-2:] == ["7", "-"]

    def test_say_when_they_measured_last(self, terminal: Terminal) -> None:
        terminal.service.stats["active-jobs"] = [{**JOB, "last_metric_timestamp": "2031-05-01T10:00:00.000Z"}]
        assert cells(terminal, "active-jobs")[1][-1] == "2031-05-01T10:00:00.000Z"
        assert document(terminal.run("stats", "active-jobs", "--json")) == {
            "jobs": terminal.service.stats["active-jobs"]
        }

    def test_of_one_user_are_asked_for(self, terminal: Terminal) -> None:
        assert terminal.run("stats", "active-jobs", "--user", "bob").stdout == "no job waits or runs\n"
        assert terminal.service.requests[-1].url.params["user_id"] == "bob"


class TestUsers:
    def test_are_shown_with_their_share(self, terminal: Terminal) -> None:
        terminal.service.stats["users"] = [USER]
        (_, row) = cells(terminal, "users")
        assert " ".join(row) == "alice 2 of 5 12.5 of 100 12.5 % 3 60"

    def test_without_a_limit_have_no_share(self, terminal: Terminal) -> None:
        unlimited = {
            name: value for name, value in USER.items() if not name.startswith("max_") and "utilization" not in name
        }
        terminal.service.stats["users"] = [unlimited]
        assert " ".join(cells(terminal, "users")[1]) == "alice 2 12.5 - 3 60"
        assert document(terminal.run("stats", "users", "--json")) == {"users": [unlimited]}


class TestModels:
    def test_are_shown_with_the_scores_that_are_known(self, terminal: Terminal) -> None:
        terminal.service.stats["models"] = [MODEL]
        rows = cells(terminal, "models", "--framework", "sklearn")
        assert rows[1] == ["m-1", "wine:3", "sklearn", "deployed", "0.91", "-", "-", "-", "2"]
        assert terminal.service.requests[-1].url.params["framework"] == "sklearn"


class TestFrameworks:
    def test_are_shown_with_the_days_that_were_asked_for(self, terminal: Terminal) -> None:
        terminal.service.stats["frameworks"] = [FRAMEWORK]
        rows = cells(terminal, "frameworks", "--from", "2031-04-01", "--to", "2031-04-30")
        assert rows[0] == ["2031-04-01", "to", "2031-04-30"]
        assert " ".join(rows[2]) == "sklearn 4 2 1 0 61.2 s 1.500"

    def test_of_no_jobs_are_none(self, terminal: Terminal) -> None:
        assert terminal.run("stats", "frameworks").stdout.splitlines()[1] == "no jobs were submitted"

    def test_are_a_document_for_programs(self, terminal: Terminal) -> None:
        terminal.service.stats["frameworks"] = [FRAMEWORK]
        found = document(terminal.run("stats", "frameworks", "--json"))
        assert found == {"from": "2031-05-01", "to": "2031-05-01", "frameworks": [FRAMEWORK]}
