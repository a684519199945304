"""Where the next attempt runs: never elsewhere unasked, never back to what was too small."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.jobs.causes import Cause
from chalicelib.jobs.instances import BatchMachines, allocate
from chalicelib.jobs.job import Allocation, Attempt, Backend, Job, TimeLimit
from chalicelib.jobs.moves import Staying, next_allocation
from chalicelib.jobs.request import ResourceRequirements
from chalicelib.quotas import charge

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BATCH = BatchMachines(volume_gib=500, gpu_types=frozenset({"t4", "a100", "h100"}))
SMALL: dict[str, Any] = {"gpu_count": 0, "cpu_cores": 2, "memory_gb": 4}
ONE_T4: dict[str, Any] = {"gpu_count": 1, "gpu_type": "t4", "cpu_cores": 4, "memory_gb": 8}


def job(asked: dict[str, Any], retry: dict[str, Any], backend: Backend = Backend.SAGEMAKER) -> Job:
    requirements = ResourceRequirements.model_validate(asked)
    allocation = allocate(requirements, backend, BATCH)
    return Job(
        tenant="acme",
        job_id="j",
        user="alice",
        name="churn",
        framework="pytorch",
        config={"resource_requirements": requirements.model_dump(), "retry": retry},
        allocation=allocation,
        created_at=NOW,
        updated_at=NOW,
        time_limit=TimeLimit(3600),
        reservation=charge.reservation(allocation, 3600, NOW),
    )


def ended(number: int, cause: Cause, on: Allocation | None = None, reason: str = "it ended") -> Attempt:
    attempt = Attempt("acme", "j", number, "t", on.backend if on else Backend.SAGEMAKER, NOW, allocation=on)
    return replace(attempt, cause=cause.value, reason=reason)


def followed(of: Job, *causes: Cause, reason: str = "it ended") -> list[Allocation]:
    """What the attempts run on that end so, one after the other, and the one after them."""
    attempts: list[Attempt] = []
    given = [of.allocation]
    for number, cause in enumerate(causes, start=1):
        attempts.append(ended(number, cause, given[-1], reason))
        found = next_allocation(of, attempts, BATCH)
        assert isinstance(found, Allocation), found
        given.append(found)
    return given


class TestUnasked:
    @pytest.mark.parametrize("cause", Cause)
    def test_nothing_moves(self, cause: Cause) -> None:
        assert next_allocation(job(SMALL, {"max_attempts": 5}), [ended(1, cause)], BATCH) == Staying()

    @pytest.mark.parametrize("cause", [each for each in Cause if each not in {Cause.OUT_OF_MEMORY, Cause.CAPACITY}])
    def test_nothing_moves_after_another_cause(self, cause: Cause) -> None:
        asked = {"larger_instance": True, "other_instance_type": True, "other_backend": True}
        assert next_allocation(job(SMALL, asked), [ended(1, cause)], BATCH) == Staying()


class TestLargerInstance:
    def test_has_half_as_much_memory_again_at_the_lowest_price(self) -> None:
        given = followed(job(SMALL, {"larger_instance": True}), Cause.OUT_OF_MEMORY, Cause.OUT_OF_MEMORY)
        assert [(each.instance_type, each.memory_gb) for each in given] == [
            ("ml.m5.large", 8),
            ("ml.r5.large", 16),
            ("ml.r5.xlarge", 32),
        ]
        assert [each.price_per_hour_usd for each in given] == sorted(each.price_per_hour_usd for each in given)

    def test_keeps_the_type_of_gpu_where_the_instances_memory_was_full(self) -> None:
        first, second = followed(job(ONE_T4, {"larger_instance": True}), Cause.OUT_OF_MEMORY)
        assert (first.instance_type, second.instance_type) == ("ml.g4dn.xlarge", "ml.g4dn.2xlarge")

    def test_has_larger_gpus_where_the_gpus_memory_was_full(self) -> None:
        wanted = job(ONE_T4, {"larger_instance": True})
        _, second = followed(wanted, Cause.OUT_OF_MEMORY, reason="torch.OutOfMemoryError: CUDA out of memory. Tried")
        assert (second.instance_type, second.gpu_type) == ("ml.p5.4xlarge", "h100")

    def test_on_batch_has_all_memory_of_its_machine(self) -> None:
        first, second = followed(job(SMALL, {"larger_instance": True}, Backend.BATCH), Cause.OUT_OF_MEMORY)
        assert (first.backend, second.backend) == (Backend.BATCH, Backend.BATCH)
        assert second.memory_gb >= 1.5 * first.memory_gb

    def test_ends_at_the_largest(self) -> None:
        wanted = job({**SMALL, "memory_gb": 512}, {"larger_instance": True})
        (_, largest) = followed(wanted, Cause.OUT_OF_MEMORY)
        found = next_allocation(wanted, [ended(1, Cause.OUT_OF_MEMORY, largest)], BATCH)
        assert largest.memory_gb == 768
        assert isinstance(found, Staying)
        assert "no sagemaker type that fits has" in found.reason


class TestOtherType:
    def test_is_the_cheapest_that_has_not_been_without_capacity(self) -> None:
        causes = [Cause.CAPACITY] * 4
        given = followed(job(SMALL, {"other_instance_type": True}), *causes)
        names = [each.instance_type for each in given]
        assert len(set(names)) == len(names)
        prices = [each.price_per_hour_usd for each in given]
        assert prices == sorted(prices)

    def test_does_not_go_back_below_the_memory_that_was_too_little(self) -> None:
        wanted = job(SMALL, {"larger_instance": True, "other_instance_type": True})
        given = followed(wanted, Cause.OUT_OF_MEMORY, Cause.CAPACITY, Cause.CAPACITY)
        assert all(each.memory_gb >= 12 for each in given[1:])

    def test_is_of_the_same_kind_of_gpu(self) -> None:
        given = followed(job(ONE_T4, {"other_instance_type": True}), Cause.CAPACITY, Cause.CAPACITY)
        assert {each.gpu_type for each in given} == {"t4"}

    def test_comes_to_an_end_and_then_the_attempt_stays(self) -> None:
        wanted = job({**ONE_T4, "gpu_type": "a100"}, {"other_instance_type": True})
        assert next_allocation(wanted, [ended(1, Cause.CAPACITY)], BATCH) == Staying("No other instance type fits.")


class TestOtherBackend:
    def test_comes_after_the_other_types(self) -> None:
        wanted = job({**ONE_T4, "gpu_count": 4}, {"other_instance_type": True, "other_backend": True})
        (first, second) = followed(wanted, Cause.CAPACITY)
        assert (first.backend, second.backend) == (Backend.SAGEMAKER, Backend.BATCH)
        assert second.gpu_count == 4

    def test_comes_at_once_where_no_other_type_is_allowed(self) -> None:
        _, second = followed(job(SMALL, {"other_backend": True}), Cause.CAPACITY)
        assert (second.backend, second.cpu_cores, second.memory_gb) == (Backend.BATCH, 2, 4)

    def test_stays_there(self) -> None:
        wanted = job(SMALL, {"other_instance_type": True, "other_backend": True}, Backend.BATCH)
        assert next_allocation(wanted, [ended(1, Cause.CAPACITY, wanted.allocation)], BATCH) == Staying()

    def test_is_none_without_a_batch_part(self) -> None:
        wanted = job(SMALL, {"other_backend": True})
        assert next_allocation(wanted, [ended(1, Cause.CAPACITY)], None) == Staying("No machine of Batch fits.")
