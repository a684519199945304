from __future__ import annotations

import json
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import botocore
import pytest
from botocore.loaders import Loader
from hypothesis import given
from hypothesis import strategies as st

import chalicelib
from chalicelib.errors import InvalidRequest
from chalicelib.jobs.instances import (
    BatchMachines,
    InstanceType,
    Use,
    allocate,
    cheapest,
    price_list,
    serving_instance,
)
from chalicelib.jobs.job import Backend
from chalicelib.jobs.request import ResourceRequirements

USES: tuple[Use, ...] = ("sagemaker", "batch", "serving")
GPU_TYPES = ("t4", "v100", "a100", "h100")
FIELD = "config.resource_requirements"

BATCH = BatchMachines(volume_gib=500, gpu_types=frozenset(GPU_TYPES))

requirements = st.builds(
    ResourceRequirements,
    gpu_count=st.integers(0, 8),
    gpu_type=st.sampled_from(GPU_TYPES),
    memory_gb=st.integers(4, 512),
    cpu_cores=st.integers(2, 64),
    disk_gb=st.integers(20, 2000),
)


def needs(**values: Any) -> ResourceRequirements:
    """Small requirements without GPU, but for what is given."""
    return ResourceRequirements(**{"gpu_count": 0, "memory_gb": 4, "cpu_cores": 2, "disk_gb": 20, **values})


def fits(instance: InstanceType, wanted: ResourceRequirements) -> bool:
    """The rule in other words than the code's."""
    memory = instance.memory_gb * (0.9 if instance.use == "batch" else 1)
    disk = (instance.local_disk_gb or 10**9) if instance.use == "sagemaker" else 450
    disk_is_enough = disk >= wanted.disk_gb
    gpus_fit = (
        instance.gpus >= wanted.gpu_count and instance.gpu_type == wanted.gpu_type
        if wanted.gpu_count
        else instance.gpus == 0
    )
    return gpus_fit and memory >= wanted.memory_gb and instance.vcpu >= wanted.cpu_cores and disk_is_enough


@cache
def botocore_enum(shape: str) -> frozenset[str]:
    loader = Loader(extra_search_paths=[str(Path(botocore.__file__).parent / "data")])
    return frozenset(loader.load_service_model("sagemaker", "service-2")["shapes"][shape]["enum"])


class TestTable:
    @pytest.mark.parametrize("use", USES)
    def test_says_where_its_prices_are_from_and_when(self, use: Use) -> None:
        listed = price_list(use)
        read_from_aws = listed.source.startswith("AWS Price List API")
        # What was not read from AWS's own list must not look as if it were.
        assert read_from_aws or "not read from it" in listed.source
        assert "2024-01-01" < listed.date < "2100"

    @pytest.mark.parametrize("use", USES)
    def test_names_each_type_once_and_the_cheapest_first(self, use: Use) -> None:
        types = price_list(use).types
        assert len({each.name for each in types}) == len(types)
        assert [each.usd_per_hour for each in types] == sorted(each.usd_per_hour for each in types)

    @pytest.mark.parametrize("use", USES)
    def test_has_only_sizes_and_prices_that_can_be(self, use: Use) -> None:
        for each in price_list(use).types:
            assert 2 <= each.vcpu <= 192, each
            assert 4 <= each.memory_gb <= 2048, each
            assert isinstance(each.usd_per_hour, Decimal), each
            assert Decimal("0.01") < each.usd_per_hour < 100, each
            assert (each.gpus > 0) == (each.gpu_type in GPU_TYPES), each
            assert each.name.startswith("ml.") == (use != "batch"), each

    @pytest.mark.parametrize(
        ("use", "shape"), [("sagemaker", "TrainingInstanceType"), ("serving", "ProductionVariantInstanceType")]
    )
    def test_has_only_types_that_sagemaker_takes(self, use: Use, shape: str) -> None:
        assert {each.name for each in price_list(use).types} <= botocore_enum(shape)

    def test_gives_a_type_the_same_size_under_each_service(self) -> None:
        sizes: dict[str, set[tuple[object, ...]]] = {}
        for use in USES:
            for each in price_list(use).types:
                size = (each.gpus, each.gpu_type, each.vcpu, each.memory_gb, each.local_disk_gb)
                sizes.setdefault(each.name.removeprefix("ml."), set()).add(size)
        assert {name: size for name, size in sizes.items() if len(size) > 1} == {}

    def test_charges_more_on_sagemaker_than_for_the_bare_instance(self) -> None:
        bare = {each.name: each.usd_per_hour for each in price_list("batch").types}
        for each in price_list("sagemaker").types:
            assert Decimal(1) < each.usd_per_hour / bare[each.name.removeprefix("ml.")] < Decimal("1.5"), each

    def test_is_json_of_one_line_a_type(self) -> None:
        text = (Path(next(iter(chalicelib.__path__))) / "data" / "instance_types.json").read_text("utf-8")
        rows = [line.strip().rstrip(",") for line in text.splitlines() if '"type"' in line]
        assert len(rows) == sum(len(price_list(use).types) for use in USES)
        assert all(json.loads(row)["type"] for row in rows)


class TestCheapest:
    @given(wanted=requirements, backend=st.sampled_from(Backend))
    def test_fits_or_is_refused_with_a_cure_that_works(self, wanted: ResourceRequirements, backend: Backend) -> None:
        fitting = [each for each in price_list(backend.value).types if fits(each, wanted)]
        if fitting:
            assert cheapest(wanted, backend, BATCH).usd_per_hour == min(each.usd_per_hour for each in fitting)
            assert fits(cheapest(wanted, backend, BATCH), wanted)
            return
        with pytest.raises(InvalidRequest) as raised:
            cheapest(wanted, backend, BATCH)
        assert raised.value.problems
        for problem in raised.value.problems:
            dimension = problem.field.removeprefix(f"{FIELD}.")
            assert str(getattr(wanted, dimension)) in problem.message
            words = problem.cure.split()
            assert words[:3] == ["Use", "at", "most"]
            if len(raised.value.problems) == 1:
                assert cheapest(wanted.model_copy(update={dimension: int(words[3])}), backend, BATCH)

    @given(wanted=requirements)
    def test_needs_no_cure_without_gpu(self, wanted: ResourceRequirements) -> None:
        for backend in Backend:
            modest = wanted.model_copy(update={"gpu_count": 0, "disk_gb": min(wanted.disk_gb, BATCH.disk_gb)})
            assert cheapest(modest, backend, BATCH).gpus == 0

    @pytest.mark.parametrize("gpu_count", range(1, 9))
    @pytest.mark.parametrize("gpu_type", GPU_TYPES)
    def test_has_every_count_of_every_gpu_on_batch(self, gpu_type: str, gpu_count: int) -> None:
        assert cheapest(needs(gpu_count=gpu_count, gpu_type=gpu_type), Backend.BATCH, BATCH).gpus >= gpu_count

    @pytest.mark.parametrize(
        ("wanted", "backend", "name"),
        [
            (ResourceRequirements(), Backend.SAGEMAKER, "ml.p3.2xlarge"),
            (ResourceRequirements(), Backend.BATCH, "p3.2xlarge"),
            (needs(), Backend.SAGEMAKER, "ml.m5.large"),
            (needs(), Backend.BATCH, "m5.large"),
            (needs(memory_gb=8, cpu_cores=4), Backend.SAGEMAKER, "ml.c5.xlarge"),
            (needs(memory_gb=16), Backend.SAGEMAKER, "ml.r5.large"),
            (needs(memory_gb=512, cpu_cores=64), Backend.SAGEMAKER, "ml.r5.16xlarge"),
            (needs(memory_gb=512, cpu_cores=64), Backend.BATCH, "r5.24xlarge"),
            (needs(gpu_count=1, gpu_type="t4"), Backend.SAGEMAKER, "ml.g4dn.xlarge"),
            (needs(gpu_count=2, gpu_type="t4"), Backend.SAGEMAKER, "ml.g4dn.12xlarge"),
            (needs(gpu_count=8, gpu_type="t4"), Backend.BATCH, "g4dn.metal"),
            (needs(gpu_count=8, gpu_type="v100"), Backend.SAGEMAKER, "ml.p3.16xlarge"),
            (needs(gpu_count=8, gpu_type="v100", memory_gb=512), Backend.SAGEMAKER, "ml.p3dn.24xlarge"),
            (needs(gpu_count=1, gpu_type="a100"), Backend.SAGEMAKER, "ml.p4d.24xlarge"),
            (needs(gpu_count=1, gpu_type="h100"), Backend.SAGEMAKER, "ml.p5.4xlarge"),
            (needs(gpu_count=2, gpu_type="h100"), Backend.BATCH, "p5.48xlarge"),
            (needs(gpu_count=1, gpu_type="t4", disk_gb=126), Backend.SAGEMAKER, "ml.g4dn.2xlarge"),
            (needs(gpu_count=1, gpu_type="t4", disk_gb=450), Backend.BATCH, "g4dn.xlarge"),
        ],
    )
    def test_chooses(self, wanted: ResourceRequirements, backend: Backend, name: str) -> None:
        assert cheapest(wanted, backend, BATCH).name == name

    def test_says_which_other_ways_there_are(self) -> None:
        with pytest.raises(InvalidRequest) as raised:
            cheapest(needs(gpu_count=6, gpu_type="t4"), Backend.SAGEMAKER, BATCH)
        (problem,) = raised.value.problems
        assert problem.field == f"{FIELD}.gpu_count"
        assert "4 GPUs (ml.g4dn.12xlarge)" in problem.cure
        assert "gpu_type v100 (ml.p3.16xlarge)" in problem.cure
        assert "backend batch (g4dn.metal)" in problem.cure

    def test_names_each_field_whose_change_alone_would_help(self) -> None:
        with pytest.raises(InvalidRequest) as raised:
            cheapest(needs(gpu_count=4, gpu_type="t4", cpu_cores=64), Backend.SAGEMAKER, BATCH)
        assert [problem.field for problem in raised.value.problems] == [f"{FIELD}.gpu_count", f"{FIELD}.cpu_cores"]


class TestBatchOfAnInstallation:
    def test_has_no_larger_disk_than_its_machines(self) -> None:
        with pytest.raises(InvalidRequest) as raised:
            cheapest(needs(disk_gb=451), Backend.BATCH, BATCH)
        (problem,) = raised.value.problems
        assert problem.field == f"{FIELD}.disk_gb"
        assert problem.cure == (
            "Use at most 450 GB (m5.large), or backend sagemaker (ml.m5.large), "
            "or have an administrator install the stack with a larger BatchDiskGiB."
        )

    def test_takes_every_disk_of_the_contract_where_the_machines_have_it(self) -> None:
        assert cheapest(needs(disk_gb=2000), Backend.BATCH, BatchMachines(2050, BATCH.gpu_types)).name == "m5.large"

    def test_has_no_gpu_without_a_queue(self) -> None:
        with pytest.raises(InvalidRequest) as raised:
            cheapest(ResourceRequirements(), Backend.BATCH, BatchMachines(500, frozenset({"t4", "h100"})))
        (problem,) = raised.value.problems
        assert problem.field == f"{FIELD}.gpu_type"
        assert "is v100" in problem.message
        assert problem.cure == (
            "Use gpu_type h100 (p5.4xlarge), or gpu_type t4 (g4dn.2xlarge), or backend sagemaker (ml.p3.2xlarge), "
            "or have an administrator install the stack with BatchV100ImageId."
        )

    def test_says_whom_to_ask_when_nothing_else_helps(self) -> None:
        wanted = needs(gpu_count=8, gpu_type="v100", memory_gb=512, disk_gb=2000)
        with pytest.raises(InvalidRequest) as raised:
            cheapest(wanted, Backend.BATCH, BatchMachines(500, frozenset({"t4"})))
        (problem,) = raised.value.problems
        assert problem.cure == "Have an administrator install the stack with BatchV100ImageId."

    def test_is_no_way_out_where_there_is_none(self) -> None:
        with pytest.raises(InvalidRequest) as raised:
            cheapest(needs(gpu_count=6, gpu_type="t4"), Backend.SAGEMAKER, None)
        assert "backend batch" not in raised.value.problems[0].cure


class TestAllocate:
    def test_is_the_whole_instance_on_sagemaker(self) -> None:
        allocation = allocate(needs(gpu_count=1, gpu_type="a100", disk_gb=300), Backend.SAGEMAKER, BATCH)
        assert (allocation.instance_type, allocation.instance_count) == ("ml.p4d.24xlarge", 1)
        assert (allocation.gpu_count, allocation.cpu_cores, allocation.memory_gb) == (8, 96, 1152)
        assert allocation.disk_gb == 300

    def test_is_the_share_that_was_asked_for_on_batch(self) -> None:
        allocation = allocate(needs(gpu_count=1, gpu_type="a100", memory_gb=64, cpu_cores=12), Backend.BATCH, BATCH)
        assert (allocation.gpu_count, allocation.cpu_cores, allocation.memory_gb) == (1, 12, 64)

    @given(wanted=requirements)
    def test_on_batch_leaves_the_instance_memory_of_its_own(self, wanted: ResourceRequirements) -> None:
        try:
            allocation = allocate(wanted, Backend.BATCH, BATCH)
        except InvalidRequest:
            return
        instance = next(each for each in price_list("batch").types if each.name == allocation.instance_type)
        assert allocation.memory_gb <= 0.9 * instance.memory_gb

    def test_names_no_gpu_where_there_is_none(self) -> None:
        assert allocate(needs(gpu_type="h100"), Backend.SAGEMAKER, BATCH).gpu_type is None

    def test_carries_price_source_and_date(self) -> None:
        allocation = allocate(needs(), Backend.BATCH, BATCH)
        assert allocation.price_per_hour_usd == Decimal("0.096")
        assert (allocation.price_source, allocation.price_date) == (
            price_list("batch").source,
            price_list("batch").date,
        )
        assert allocation.price_date == price_list("batch").date


class TestServingInstance:
    def test_is_m5_large_when_nothing_is_said(self) -> None:
        assert serving_instance().name == "ml.m5.large"

    @pytest.mark.parametrize(
        ("limits", "name"),
        [
            ({"memory_gb": 4}, "ml.c5.large"),
            ({"memory_gb": 16, "cpu_cores": 4}, "ml.m5.xlarge"),
            ({"gpu_count": 1}, "ml.g4dn.xlarge"),
            ({"gpu_count": 1, "gpu_type": "v100"}, "ml.p3.2xlarge"),
            ({"gpu_count": 8, "gpu_type": "h100"}, "ml.p5.48xlarge"),
            ({"memory_gb": 512, "cpu_cores": 64}, "ml.r5.24xlarge"),
        ],
    )
    def test_chooses(self, limits: dict[str, Any], name: str) -> None:
        assert serving_instance(**limits).name == name

    def test_names_the_field_of_the_deployment_when_nothing_fits(self) -> None:
        with pytest.raises(InvalidRequest) as raised:
            serving_instance(memory_gb=512, gpu_count=1, gpu_type="t4")
        assert [problem.field for problem in raised.value.problems] == ["resource_limits.memory_gb"]
        assert "batch" not in raised.value.problems[0].cure
