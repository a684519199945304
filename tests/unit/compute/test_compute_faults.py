"""Faults on demand."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.compute.errors import ValidationFailed
from localcloud.compute.faults import FaultPlan


def plan_of(*rules: dict[str, Any], seed: int = 1) -> FaultPlan:
    plan = FaultPlan()
    plan.replace({"seed": seed, "rules": list(rules)})
    return plan


def fired(plan: FaultPlan, occasions: int, operation: str = "CreateTrainingJob") -> list[bool]:
    return [plan.on_call(operation) is not None for _ in range(occasions)]


class TestRules:
    def test_the_same_seed_gives_the_same_faults(self) -> None:
        rule = {"operation": "CreateTrainingJob", "fault": "throttle", "probability": 0.5}

        first, second, other = (fired(plan_of(rule, seed=seed), 100) for seed in (7, 7, 8))

        assert first == second
        assert first != other
        assert 25 < sum(first) < 75

    def test_fires_no_more_often_than_it_says(self) -> None:
        plan = plan_of({"operation": "CreateTrainingJob", "fault": "throttle", "times": 3})

        assert fired(plan, 5) == [True, True, True, False, False]
        assert plan.document()["rules"][0]["left"] == 0

    def test_concerns_its_operation_only(self) -> None:
        plan = plan_of({"operation": "CreateTrainingJob", "fault": "throttle"})

        assert plan.on_call("DescribeTrainingJob") is None

    def test_a_rule_for_one_family_does_not_touch_the_other(self) -> None:
        plan = plan_of({"fault": "spot_interruption", "after_seconds": 2, "name_prefix": "a"})

        assert plan.on_call("CreateTrainingJob") is None
        assert plan.on_job("CreateTrainingJob", "b") is None
        rule = plan.on_job("CreateTrainingJob", "a-1")
        assert rule is not None
        assert rule.after_seconds == 2

    def test_missing_capacity_meets_jobs_and_endpoints_and_what_only_a_job_meets_leaves_endpoints_alone(self) -> None:
        plan = plan_of({"fault": "crash"}, {"fault": "no_capacity", "operation": "CreateEndpoint"})

        assert plan.on_endpoint("UpdateEndpoint", "e") is None
        found = plan.on_endpoint("CreateEndpoint", "e")
        assert found is not None
        assert found.fault == "no_capacity"
        assert plan_of({"fault": "ping_timeout", "seconds": 1}).on_job("CreateTrainingJob", "e") is None

    @pytest.mark.parametrize(
        ("fault", "code", "status"),
        [
            ("throttle", "ThrottlingException", 400),
            ("resource_limit", "ResourceLimitExceeded", 400),
            ("internal_error", "InternalFailure", 500),
        ],
    )
    def test_call_faults_are_the_services_own_errors(self, fault: str, code: str, status: int) -> None:
        error = plan_of({"fault": fault}).on_call("CreateTrainingJob")

        assert error is not None
        assert (error.code, error.status) == (code, status)


class TestParsing:
    @pytest.mark.parametrize(
        "rule",
        [
            {"fault": "meteor"},
            {},
            {"fault": "throttle", "often": True},
            {"fault": "throttle", "probability": 1.5},
            {"fault": "throttle", "probability": True},
            {"fault": "throttle", "times": -1},
            {"fault": "throttle", "times": 1.5},
            {"fault": "crash", "after_seconds": "1"},
            {"fault": "crash", "name_prefix": 3},
            {"fault": "crash", "after_line": 3},
            "throttle",
        ],
    )
    def test_refuses_a_wrong_rule_and_keeps_the_plan_in_force(self, rule: object) -> None:
        plan = plan_of({"fault": "throttle"})

        with pytest.raises(ValidationFailed, match=r"rules\[0\]"):
            plan.replace({"rules": [rule]})
        assert plan.on_call("CreateTrainingJob") is not None

    @pytest.mark.parametrize("document", [{"seed": "x"}, {"rules": {}}, {"extra": 1}, {"rules": [{}] * 101}])
    def test_refuses_a_wrong_plan(self, document: dict[str, Any]) -> None:
        with pytest.raises(ValidationFailed):
            FaultPlan().replace(document)
