"""On Batch a job gets the type of GPU that it asks for: one queue and one environment for each."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.jobs.definitions import WITHOUT_GPU, JobDefinitions
from chalicelib.jobs.instances import BatchMachines, price_list
from chalicelib.jobs.rules import BOUNDS
from chalicelib.settings import Settings
from infra import functions, names
from infra.batch import MACHINES
from infra.names import Json
from localcloud.compute.batch.instances import Requirements, known_machines
from localcloud.compute.batch.scheduler import Environment, Waiting, decide

GPU_TYPES = {each.gpu_type for each in price_list("batch").types if each.gpu_type}


def properties(template: Json, kind: str) -> dict[str, Json]:
    """Properties by logical id."""
    return {name: each["Properties"] for name, each in template["Resources"].items() if each["Type"] == kind}


def queues(template: Json) -> dict[str, Json]:
    """The one compute environment of each queue, by the queue's name."""
    environments = properties(template, "AWS::Batch::ComputeEnvironment")
    found = {}
    for queue in properties(template, "AWS::Batch::JobQueue").values():
        (entry,) = queue["ComputeEnvironmentOrder"]
        found[queue["JobQueueName"]["Fn::Sub"]] = environments[entry["ComputeEnvironment"]["Ref"]]
    return found


def machines_of(template: Json, queue: str) -> set[str]:
    """The types of the table that a queue's jobs may run on."""
    families = queues(template)[f"${{AWS::StackName}}-training-{queue}"]["ComputeResources"]["InstanceTypes"]
    return {each.name for each in price_list("batch").types if each.name.partition(".")[0] in families}


class TestQueues:
    def test_are_one_for_each_type_of_gpu_in_the_table_and_one_for_none(self, template: Json) -> None:
        assert set(queues(template)) == {
            f"${{AWS::StackName}}-training-{each}{spot}" for each in GPU_TYPES | {WITHOUT_GPU} for spot in ("", "-spot")
        }

    def test_on_spot_have_spot_machines_and_the_others_none(self, template: Json) -> None:
        for name, environment in queues(template).items():
            given = environment["ComputeResources"]
            on_spot = ("SPOT", "SPOT_PRICE_CAPACITY_OPTIMIZED")
            expected = on_spot if name.endswith("-spot") else ("EC2", "BEST_FIT_PROGRESSIVE")
            assert (given["Type"], given["AllocationStrategy"]) == expected

    @pytest.mark.parametrize("queue", names.BATCH_QUEUES)
    def test_lead_to_all_machines_with_these_gpus_and_no_others(self, template: Json, queue: str) -> None:
        kind = queue.removesuffix("-spot")
        gpu_type = None if kind == WITHOUT_GPU else kind
        assert machines_of(template, queue) == {
            each.name for each in price_list("batch").types if each.gpu_type == gpu_type
        }

    def test_are_named_as_the_control_plane_names_them(self) -> None:
        prefix = functions.SETTINGS["BATCH_QUEUE_PREFIX"]
        assert isinstance(prefix, dict)
        given = JobDefinitions(
            lambda: pytest.fail("asks nothing of Batch"),
            Settings({"AIMATRIX_BATCH_QUEUE_PREFIX": prefix["Fn::If"][1]["Fn::Sub"]}),
        )
        for gpu_type in (None, *GPU_TYPES):
            kind = gpu_type or WITHOUT_GPU
            assert {"Fn::Sub": given.queue_of(gpu_type)} == names.batch_queue_arn(kind)
            assert {"Fn::Sub": given.queue_of(gpu_type, spot=True)} == names.batch_queue_arn(f"{kind}-spot")

    def test_are_the_only_ones_that_the_state_machine_may_submit_to(self, template: Json) -> None:
        role = template["Resources"]["TrainJobStateMachineRole"]["Properties"]
        statements = role["Policies"][0]["PolicyDocument"]["Statement"]
        (submit,) = [each for each in statements if "batch:SubmitJob" in each["Action"]]
        allowed = {each["Fn::Sub"] for each in submit["Resource"] if ":job-queue/" in each["Fn::Sub"]}
        assert {each.rpartition("/")[2] for each in allowed} == set(queues(template))


class TestMachines:
    @pytest.mark.parametrize("each", price_list("batch").types, ids=lambda each: each.name)
    def test_take_a_whole_instance_of_every_type_in_the_table(self, template: Json, each: Any) -> None:
        """Held against the emulator's scheduler, with the limits that the template gives."""
        places = {
            name: [Environment(name, maximum(template), tuple(found["ComputeResources"]["InstanceTypes"]))]
            for name, found in queues(template).items()
        }
        queue = f"${{AWS::StackName}}-training-{each.gpu_type or WITHOUT_GPU}"
        job = Waiting("j", queue, Requirements(each.vcpu, each.memory_gb * 1024, each.gpus))
        assert decide(places, [job], {}, known_machines()).starts == [("j", queue)]

    def test_with_v100_exist_only_where_an_image_for_them_is_given(self, template: Json) -> None:
        """AWS's own image for GPUs does not support p3."""
        conditions = {
            name: each["Condition"]
            for name, each in template["Resources"].items()
            if each["Type"] in {"AWS::Batch::ComputeEnvironment", "AWS::Batch::JobQueue"}
        }
        assert {name for name, condition in conditions.items() if condition == "HasBatchV100"} == {
            "BatchV100Environment",
            "BatchV100Queue",
            "BatchV100SpotEnvironment",
            "BatchV100SpotQueue",
        }
        assert MACHINES["v100"].image["ImageIdOverride"] == {"Ref": "BatchV100ImageId"}
        chosen = functions.SETTINGS["BATCH_GPU_TYPES"]
        assert isinstance(chosen, dict)
        condition, given, otherwise = chosen["Fn::If"][1]["Fn::If"]
        assert (condition, set(given.split(",")), set(otherwise.split(","))) == (
            "HasBatchV100",
            GPU_TYPES,
            GPU_TYPES - {"v100"},
        )

    def test_get_a_new_disk_when_the_launch_template_changes(self, template: Json) -> None:
        for environment in queues(template).values():
            version = environment["ComputeResources"]["LaunchTemplate"]["Version"]
            assert version == {"Fn::GetAtt": ["BatchLaunchTemplate", "LatestVersionNumber"]}

    def test_have_the_disk_that_the_control_plane_is_told(self, template: Json) -> None:
        (launched,) = properties(template, "AWS::EC2::LaunchTemplate").values()
        (disk,) = launched["LaunchTemplateData"]["BlockDeviceMappings"]
        told = functions.SETTINGS["BATCH_DISK_GIB"]
        assert isinstance(told, dict)
        assert disk["Ebs"]["VolumeSize"] == told["Fn::If"][1] == {"Ref": "BatchDiskGiB"}


class TestParameters:
    def test_let_the_largest_machine_in(self, template: Json) -> None:
        assert maximum(template) >= max(each.vcpu for each in price_list("batch").types)

    def test_never_shut_a_job_out(self, template: Json) -> None:
        """What the API accepts must be placed with the least that an installation may be given, too."""
        parameters = template["Parameters"]
        assert parameters["BatchMaxCpus"]["MinValue"] == BOUNDS["cpu_cores"][1]
        least = BatchMachines(parameters["BatchDiskGiB"]["MinValue"], frozenset())
        assert least.disk_gb == BOUNDS["disk_gb"][0]


def maximum(template: Json) -> int:
    default: int = template["Parameters"]["BatchMaxCpus"]["Default"]
    return default
