"""Jobs on spot, interrupted while they run, from the outside."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from aimatrix.client import InvalidRequestError, ResourceRequirements
from tests.e2e.conftest import Cloud, Faults
from tests.e2e.scripts import lines, request, run
from tests.faults import Shows

pytestmark = pytest.mark.e2e

EPOCHS = 8


# A checkpoint an epoch, written beside and renamed; an epoch is as long as two rounds of the synchronisation.
RESUMES = f"""
import os, pathlib, time
kept = pathlib.Path(os.environ["SM_CHECKPOINT_DIR"]) / "epoch"
done = int(kept.read_text()) if kept.exists() else 0
print("begins after", done, flush=True)
for epoch in range(done + 1, {EPOCHS} + 1):
    time.sleep(1)
    part = kept.with_suffix(".part")
    part.write_text(str(epoch))
    part.rename(kept)
    print("epoch", epoch, flush=True)
"""
# Each run is interrupted when it has a checkpoint, however long it took to begin.
AFTER_AN_EPOCH = {"fault": "spot_interruption", "after_line": "epoch"}


def test_a_spot_job_that_is_interrupted_twice_goes_on_from_its_checkpoint_and_is_billed_once(
    cloud: Cloud, tmp_path: Path, faults: Faults, shows: Shows
) -> None:
    faults([{**AFTER_AN_EPOCH, "operation": "CreateTrainingJob", "times": 2}])
    with cloud.client("erin") as erin:
        job = run(erin, tmp_path, RESUMES, name="spot", spot=True, max_runtime_seconds=120, max_wait_seconds=600)
        said = lines(erin, job)
        attempts = erin.jobs.attempts(job.job_id)
        receipt = erin.costs.receipt(job.job_id).contents
    assert job.status == "completed", job.failure_reason
    epochs = [int(line.split()[1]) for line in said if line.startswith("epoch")]
    begun = [int(line.split()[-1]) for line in said if line.startswith("begins")]
    assert begun[0] == 0
    assert len(begun) == 3
    assert begun == sorted(begun)
    assert begun[-1] > 0
    assert epochs[-1] == EPOCHS
    assert epochs == sorted(epochs), "no epoch is run again once a checkpoint of it was kept"
    (attempt,) = attempts
    assert attempt["interruptions"] == 2
    assert attempt["billable_seconds"] < attempt["training_seconds"]
    (line,) = receipt["attempts"]
    assert (line["billable_seconds"], line["seconds"]) == (attempt["billable_seconds"], attempt["training_seconds"])
    assert float(line["spot_discount_percent"]) > 0
    shows(
        10,
        f"interrupted twice: begun after epochs {begun}, {len(epochs) - EPOCHS} epochs run again; "
        f"{line['billable_seconds']} of {line['seconds']} s billed, on one line",
    )


def test_a_spot_job_that_cannot_be_expected_to_end_is_refused_with_its_numbers(cloud: Cloud, tmp_path: Path) -> None:
    with cloud.client("erin") as erin:
        wanted = request(
            erin,
            tmp_path,
            "print(1)\n",
            name="hopeless",
            spot=True,
            max_runtime_seconds=86_400,
            expected_runtime_seconds=80_000,
        )
        with pytest.raises(InvalidRequestError) as refused:
            erin.jobs.submit(wanted)
    assert "is expected to take" in str(refused.value)
    assert "interruptions an hour" in str(refused.value)


def test_a_spot_job_on_batch_that_loses_its_machine_goes_on_in_another_attempt_and_is_billed_as_spot(
    cloud: Cloud, tmp_path: Path, faults: Faults, shows: Shows
) -> None:
    faults([{**AFTER_AN_EPOCH, "operation": "SubmitJob", "times": 1}])
    with cloud.client("erin") as erin:
        values = {"backend": "batch", "spot": True, "max_runtime_seconds": 120, "max_wait_seconds": 600}
        job = run(erin, tmp_path, RESUMES, name="lost", **values)
        said = lines(erin, job)
        first, second = erin.jobs.attempts(job.job_id)
        receipt = erin.costs.receipt(job.job_id).contents
    assert job.status == "completed", job.failure_reason
    epochs = [int(line.split()[1]) for line in said if line.startswith("epoch")]
    begun = [int(line.split()[-1]) for line in said if line.startswith("begins")]
    assert len(begun) == 2
    assert begun[1] > 0
    assert epochs == sorted(epochs)
    assert first["cause"] == "spot-interruption"
    assert "terminated" in first["reason"]
    assert "cause" not in second
    billed = [line["billable_seconds"] for line in receipt["attempts"]]
    assert billed == [first["billable_seconds"], second["billable_seconds"]]
    assert [line["spot_discount_percent"] for line in receipt["attempts"]] == ["60", "60"]
    on_demand = job.resource_allocation["price_per_hour_usd"]
    for line in receipt["attempts"]:
        assert float(line["price_per_hour_usd"]) == pytest.approx(0.4 * on_demand)
        assert line["seconds"] == line["billable_seconds"]
    (price,) = (each for each in receipt["prices"] if each["item"] == first["instance_type"])
    assert "on spot 40% of it: assumed" in price["source"]
    shows(10, f"on Batch, machine lost: attempt 2 begun after epoch {begun[1]} of {EPOCHS}; {billed} s billed")


def test_another_job_goes_on_from_a_folder_of_checkpoints_whatever_the_backend(cloud: Cloud, tmp_path: Path) -> None:
    with cloud.client("erin") as erin:
        wanted = request(erin, tmp_path, RESUMES, name="folder")
        bucket = wanted.script_path.removeprefix("s3://").partition("/")[0]
        root = wanted.script_path.partition("/uploads/")[0]
        with pytest.raises(InvalidRequestError, match="is no folder for your checkpoints"):
            erin.jobs.submit(replace(wanted, checkpoint_path=f"s3://{bucket}/tenants/acme/jobs/other/checkpoints/"))
        begun = []
        for backend in ("batch", "sagemaker"):
            again = replace(wanted, checkpoint_path=f"{root}/checkpoints/folder/", backend=backend)
            job = erin.jobs.wait(erin.jobs.submit(again).job_id, timeout=180)
            assert job.status == "completed", job.failure_reason
            begun += [int(line.split()[-1]) for line in lines(erin, job) if line.startswith("begins")]
    assert begun == [0, EPOCHS]


def test_a_script_that_needs_more_memory_goes_on_on_a_larger_instance_and_each_attempt_has_its_price(
    cloud: Cloud, tmp_path: Path, faults: Faults
) -> None:
    faults([{"operation": "CreateTrainingJob", "fault": "crash", "after_seconds": 1, "times": 1}])
    script = "import time\nprint('one attempt', flush=True)\ntime.sleep(3)\n"
    small = ResourceRequirements(gpu_count=0, cpu_cores=2, memory_gb=4)
    with cloud.client("erin") as erin:
        values = {"name": "larger", "resource_requirements": small, "larger_instance": True, "max_cost_usd": Decimal(1)}
        job = run(erin, tmp_path, script, **values)
        first, second = erin.jobs.attempts(job.job_id)
        receipt = erin.costs.receipt(job.job_id).contents
    assert job.status == "completed", job.failure_reason
    assert (first["cause"], second.get("cause")) == ("out-of-memory", None)
    assert (first["instance_type"], second["instance_type"]) == ("ml.m5.large", "ml.r5.large")
    assert [line["instance_type"] for line in receipt["attempts"]] == ["ml.m5.large", "ml.r5.large"]
    for line, attempt in zip(receipt["attempts"], (first, second), strict=True):
        assert float(line["instances_usd"]) + float(line["storage_usd"]) == pytest.approx(attempt["cost_usd"])
    assert float(receipt["totals"]["instances_usd"]) == pytest.approx(
        sum(float(line["instances_usd"]) for line in receipt["attempts"])
    )


def test_a_script_that_is_killed_for_lack_of_memory_is_tried_again_when_the_user_asks_for_it(
    cloud: Cloud, tmp_path: Path, faults: Faults
) -> None:
    faults([{"operation": "CreateTrainingJob", "fault": "crash", "after_seconds": 1, "times": 1}])
    script = "import time\nprint('one attempt', flush=True)\ntime.sleep(3)\n"
    with cloud.client("erin") as erin:
        job = run(erin, tmp_path, script, name="hungry", retry_on=["out-of-memory"], max_attempts=2)
        first, second = erin.jobs.attempts(job.job_id)
    assert job.status == "completed", job.failure_reason
    assert (first["cause"], second.get("cause")) == ("out-of-memory", None)
