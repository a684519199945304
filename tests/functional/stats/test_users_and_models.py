"""How much users use of what they may, and how good models are: what their own records say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chalicelib.models.model import ModelStatus, Use
from chalicelib.quotas.quota import Limits
from tests.functional.jobs.conftest import ADMIN, ALICE, BOB, STRANGER, VIEWER
from tests.functional.stats.conftest import Stats

GPU: dict[str, Any] = {"resource_requirements": {"gpu_count": 1, "gpu_type": "t4"}, "max_runtime_seconds": 3600}


class TestUsers:
    def test_have_what_their_accounts_say(self, stats: Stats) -> None:
        job = stats.running(**GPU)
        stats.jobs.accounts.set_limits(ADMIN, "alice", Limits(max_concurrent_jobs=4, max_gpu_hours_per_month=2))
        (shown,) = stats.ask("users").json["users"]
        hours = job.reservation.most.gpu_seconds / 3600
        assert (shown["user_id"], shown["month"]) == ("alice", "2026-03")
        assert (shown["max_concurrent_jobs"], shown["current_concurrent_jobs"]) == (4, 1)
        assert (shown["max_gpu_hours_per_month"], shown["current_gpu_hours_this_month"]) == (2, round(hours, 4))
        assert shown["gpu_utilization_percent"] == round(hours / 2 * 100, 4)
        assert shown["jobs_utilization_percent"] == 25.0
        assert "cpu_utilization_percent" not in shown  # without a limit there is no share of it

    def test_of_a_limit_of_nothing_use_no_share(self, stats: Stats) -> None:
        stats.jobs.accounts.set_limits(ADMIN, "alice", Limits(max_gpu_hours_per_month=0))
        (shown,) = stats.ask("users").json["users"]
        assert (shown["max_gpu_hours_per_month"], shown.get("gpu_utilization_percent")) == (0, None)

    def test_see_themselves_and_administrators_everybody(self, stats: Stats) -> None:
        for caller in (BOB, ALICE):
            stats.submitted(caller)
        for caller, seen in ((ALICE, ["alice"]), (BOB, ["bob"]), (VIEWER, ["vera"]), (ADMIN, ["alice", "bob"])):
            assert [each["user_id"] for each in stats.ask("users", caller).json["users"]] == seen
        assert stats.ask("users", STRANGER).json["users"] == []

    def test_come_in_pages(self, stats: Stats) -> None:
        for caller in (ALICE, BOB):
            stats.submitted(caller)
        first = stats.ask("users?limit=1", ADMIN).json
        second = stats.ask(f"users?limit=1&cursor={first['next_cursor']}", ADMIN).json
        assert [each["user_id"] for page in (first, second) for each in page["users"]] == ["alice", "bob"]
        assert stats.ask("users?cursor=eHg").status == 400

    def test_cost_a_query_and_three_items_each_in_one_call_for_33(self, stats: Stats) -> None:
        for caller in (ALICE, BOB):
            stats.submitted(caller)
        _, calls = stats.counted("users", ADMIN)
        assert calls == {"Query": 1, "BatchGetItem": 1}
        _, calls = stats.counted("users", ALICE)
        assert calls == {"BatchGetItem": 1}

    def test_are_all_there_where_one_call_does_not_take_them(self, stats: Stats) -> None:
        names = [f"user-{number:02d}" for number in range(40)]
        for name in names:
            stats.submitted(replace(ALICE, user=name))
        answer, calls = stats.counted("users", ADMIN)
        assert [each["user_id"] for each in answer.json["users"]] == names
        assert {each["current_concurrent_jobs"] for each in answer.json["users"]} == {1}
        assert calls == {"Query": 1, "BatchGetItem": 2}


class TestModels:
    def test_have_their_scores_and_how_many_deployments_serve_them(self, stats: Stats) -> None:
        scores = {"accuracy": 0.91, "precision": 0.8, "recall": 0.7, "f1_score": 0.75, "loss": 0.2}
        uses = {"d-1": Use.SERVED, "d-2": Use.CLAIMED, "t-1": Use.TRANSFORMS}
        stats.model(1, metrics=scores, uses=uses, status=ModelStatus.DEPLOYED)
        stats.model(2, metrics={"accuracy": 0.5})
        second, first = stats.ask("models").json["models"]
        assert first == {
            "id": "m-1",
            "name": "churn",
            "version": "1",
            "framework": "sklearn",
            "status": "deployed",
            "accuracy": 0.91,
            "precision": 0.8,
            "recall": 0.7,
            "f1_score": 0.75,
            "deployment_count": 2,
        }
        assert (second["accuracy"], second.get("recall"), second["deployment_count"]) == (0.5, None, 0)

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("", [3, 2, 1]),
            ("?framework=pytorch", [2]),
            ("?status=ready", [3, 2]),
            ("?framework=sklearn&status=ready", [3]),
        ],
    )
    def test_are_read_from_one_index_a_page(self, stats: Stats, query: str, found: list[int]) -> None:
        stats.model(1, status=ModelStatus.DEPRECATED)
        stats.model(2, framework="pytorch")
        stats.model(3)
        answer, calls = stats.counted(f"models{query}")
        assert [each["id"] for each in answer.json["models"]] == [f"m-{number}" for number in found]
        assert calls == {"Query": 1}

    def test_come_in_pages_and_to_their_tenant_alone(self, stats: Stats) -> None:
        for number in range(3):
            stats.model(number)
        first = stats.ask("models?limit=2").json
        second = stats.ask(f"models?limit=2&cursor={first['next_cursor']}").json
        assert [each["id"] for page in (first, second) for each in page["models"]] == ["m-2", "m-1", "m-0"]
        assert stats.ask("models", STRANGER).json["models"] == []
