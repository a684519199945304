"""Batch's decisions: what starts where, what a job is made of, when a failed attempt is tried again."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from localcloud.compute.batch.instances import Machine, Requirements, fits, known_machines
from localcloud.compute.batch.retries import retries
from localcloud.compute.batch.scheduler import NO_ENVIRONMENT, NO_MACHINE, TOO_LARGE, Environment, Waiting, decide
from localcloud.compute.batch.submission import container_of, substituted

MACHINES = [Machine("m5.large", 2, 8192, 0), Machine("m5.4xlarge", 16, 65536, 0), Machine("g5.xlarge", 4, 16384, 1)]
CPU = Environment("cpu", 8, ("m5",))
GPU = Environment("gpu", 8, ("g5",))


def job(name: str, vcpus: float = 2, queue: str = "q", memory: int = 1024, gpus: int = 0) -> Waiting:
    return Waiting(name, queue, Requirements(vcpus, memory, gpus))


class TestScheduling:
    def test_starts_in_order_until_the_environment_is_full(self) -> None:
        decision = decide({"q": [CPU]}, [job(f"j{n}") for n in range(6)], {"cpu": 2}, MACHINES)

        assert decision.starts == [("j0", "cpu"), ("j1", "cpu"), ("j2", "cpu")]

    def test_the_queue_of_higher_priority_goes_first(self) -> None:
        waiting = [job("low", 8, "low"), job("high", 8, "high")]

        assert decide({"high": [CPU], "low": [CPU]}, waiting, {}, MACHINES).starts == [("high", "cpu")]

    def test_small_jobs_do_not_overtake_a_large_one(self) -> None:
        waiting = [job("large", 8), job("small", 2), job("other", 2, "low")]

        assert decide({"q": [CPU], "low": [CPU]}, waiting, {"cpu": 4}, MACHINES).starts == []

    def test_takes_the_next_environment_when_the_first_is_full(self) -> None:
        second = Environment("second", 8, ("m5",))

        assert decide({"q": [CPU, second]}, [job("a")], {"cpu": 8}, MACHINES).starts == [("a", "second")]

    def test_a_gpu_job_goes_where_gpus_are(self) -> None:
        assert decide({"q": [CPU, GPU]}, [job("a", 4, gpus=1)], {}, MACHINES).starts == [("a", "gpu")]

    @pytest.mark.parametrize(
        ("environments", "waiting", "reason"),
        [
            ([CPU], job("a", gpus=1), NO_MACHINE),
            ([CPU], job("a", memory=10**6), NO_MACHINE),
            ([CPU], job("a", 9), TOO_LARGE),
            ([], job("a"), NO_ENVIRONMENT),
        ],
    )
    def test_a_job_that_fits_nowhere_says_why_and_holds_up_nobody(
        self, environments: list[Environment], waiting: Waiting, reason: str
    ) -> None:
        decision = decide({"q": environments}, [waiting, job("next")], {}, MACHINES)

        assert decision.stuck["a"] == reason
        assert decision.starts == ([("next", "cpu")] if environments else [])


class TestMachines:
    def test_optimal_means_machines_without_gpu(self) -> None:
        assert fits(Requirements(2, 1024, 0), ["optimal"], MACHINES)
        assert not fits(Requirements(2, 1024, 1), ["optimal"], MACHINES)

    def test_a_single_type_is_as_large_as_it_is(self) -> None:
        assert not fits(Requirements(4, 1024, 0), ["m5.large"], MACHINES)

    def test_what_the_table_does_not_know_is_allowed(self) -> None:
        assert fits(Requirements(400, 1024, 0), ["z9"], MACHINES)

    def test_the_projects_table_has_machines_with_and_without_gpus(self) -> None:
        machines = known_machines()

        assert any(machine.gpus for machine in machines)
        assert any(not machine.gpus for machine in machines)


class TestContainers:
    PROPERTIES: ClassVar[dict[str, Any]] = {
        "image": "i",
        "command": ["run", "Ref::mode", "Ref::unknown"],
        "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}],
    }

    def test_overrides_replace_entries_of_the_same_name(self) -> None:
        overrides = {
            "environment": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}],
            "resourceRequirements": [{"type": "VCPU", "value": "2"}],
        }

        container = container_of(self.PROPERTIES, overrides, {"mode": "train"})

        assert {entry["name"]: entry["value"] for entry in container["environment"]} == {"A": "1", "B": "3", "C": "4"}
        assert Requirements.of(container) == Requirements(2, 512, 0)
        assert container["command"] == ["run", "train", "Ref::unknown"]

    def test_a_parameter_is_one_word_whatever_it_holds(self) -> None:
        assert substituted(["Ref::x"], {"x": "a b; rm -rf /"}) == ["a b; rm -rf /"]


class TestRetries:
    ENDED: ClassVar = {"exit_code": "137", "reason": "", "status_reason": "Host EC2 (instance i-1) terminated."}

    def test_tries_again_while_attempts_are_left(self) -> None:
        assert retries({"attempts": 2}, 1, self.ENDED)
        assert not retries({"attempts": 2}, 2, self.ENDED)

    def test_the_first_matching_rule_decides(self) -> None:
        rules = [{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]

        assert retries({"attempts": 3, "evaluateOnExit": rules}, 1, self.ENDED)
        other = {**self.ENDED, "status_reason": "Essential container in task exited"}
        assert not retries({"attempts": 3, "evaluateOnExit": rules}, 1, other)

    def test_every_condition_of_a_rule_must_match(self) -> None:
        rules = [{"onStatusReason": "Host EC2*", "onExitCode": "1", "action": "EXIT"}]

        assert retries({"attempts": 3, "evaluateOnExit": rules}, 1, self.ENDED)
