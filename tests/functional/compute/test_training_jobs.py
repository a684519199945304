"""Training jobs as real processes, over fakes of S3, CloudWatch Logs and the control plane."""

from __future__ import annotations

import asyncio
import json
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.unit.compute.fakes import ROLE, FakeControl, FakeLogs, FakeObjects
from tests.unit.compute.harness import Emulator, archived, emulator, eventually, printed, statuses

Run = Callable[..., Any]

SHOW_SURROUNDINGS = """
import json, os, pathlib
ml = pathlib.Path.cwd()
print(json.dumps({
    "files": sorted(str(p.relative_to(ml)) for p in ml.rglob("*") if p.is_file()),
    "environment": dict(os.environ),
    "hyperparameters": json.loads((ml / "input/config/hyperparameters.json").read_text()),
    "channels": json.loads((ml / "input/config/inputdataconfig.json").read_text()),
    "resources": json.loads((ml / "input/config/resourceconfig.json").read_text()),
}))
"""


class TestACompletedJob:
    def test_sees_a_sagemaker_container(self, run: Run) -> None:
        async def scenario(emulated: Emulator) -> tuple[dict[str, Any], Path]:
            await emulated.train(
                "job",
                SHOW_SURROUNDINGS,
                HyperParameters={"depth": "3"},
                Environment={"ROOT": "/opt/ml/model", "HOME": "/x"},
            )
            await emulated.ended("job")
            return json.loads(emulated.logs.lines()[0]), emulated.host.settings.jobs_directory / "job"

        seen, root = run(scenario)

        assert seen["files"] == [
            "input/config/hyperparameters.json",
            "input/config/inputdataconfig.json",
            "input/config/resourceconfig.json",
            "input/data/training/rows.csv",
        ]
        assert seen["hyperparameters"] == {"depth": "3"}
        assert seen["channels"]["training"]["TrainingInputMode"] == "File"
        assert seen["resources"]["hosts"] == ["algo-1"]
        environment = seen["environment"]
        assert environment["TRAINING_JOB_NAME"] == "job"
        assert environment["ROOT"] == f"{root}/ml/model"
        assert environment["HOME"] == f"{root}/home"
        assert environment["TMPDIR"] == str(root / "tmp")
        assert environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"].startswith("http://127.0.0.1:2/_compute/credentials/")
        assert not {"AIMATRIX_CONTROL_SECRET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} & set(environment)
        assert not root.exists()

    def test_is_told_as_ended_when_nothing_of_it_is_left(self, run: Run) -> None:
        source = "import pathlib\nfor number in range(4000): pathlib.Path(f'../tmp/{number}').touch()"

        async def scenario(emulated: Emulator) -> tuple[str, bool]:
            await emulated.train("job", source)
            shown = await emulated.ended("job")
            return shown["TrainingJobStatus"], (emulated.host.settings.jobs_directory / "job").exists()

        assert run(scenario) == ("Completed", False)

    def test_gives_way_to_the_embedded_cloud(self, run: Run) -> None:
        source = """
import os, pathlib, time
group = pathlib.Path("/proc/self/autogroup")
deadline = time.monotonic() + 5
while group.exists() and not group.read_text().endswith("nice 10\\n") and time.monotonic() < deadline:
    time.sleep(0.01)
print("niceness", os.nice(0))
print("autogroup", group.read_text().split("nice")[-1].strip() if group.exists() else 10)
"""

        async def scenario(emulated: Emulator) -> list[str]:
            await emulated.train("job", source)
            await emulated.ended("job")
            return emulated.logs.lines()

        expected = min(os.nice(0) + 10, 19)
        assert run(scenario) == [f"niceness {expected}", "autogroup 10"]

    def test_leaves_model_and_output_and_bills_its_time(self, run: Run) -> None:
        source = 'open("model/m.bin", "w").write("m"); open("output/data/plot.svg", "w").write("p")'

        async def scenario(emulated: Emulator) -> tuple[dict[str, Any], FakeObjects]:
            await emulated.train("job", source)
            return await emulated.ended("job"), emulated.objects

        shown, objects = run(scenario)

        assert shown["TrainingJobStatus"] == "Completed"
        assert statuses(shown) == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
        assert shown["ModelArtifacts"]["S3ModelArtifacts"] == "s3://out/jobs/job/output/model.tar.gz"
        assert archived(objects.get("s3://out/jobs/job/output/model.tar.gz")) == ["m.bin"]
        assert archived(objects.get("s3://out/jobs/job/output/output.tar.gz")) == ["plot.svg"]
        assert shown["BillableTimeInSeconds"] >= 1
        assert shown["TrainingStartTime"] <= shown["TrainingEndTime"]
        assert set(objects.used_tokens) == {f"token of {ROLE}"}

    def test_uploads_nothing_when_it_leaves_nothing(self, run: Run) -> None:
        async def scenario(emulated: Emulator) -> FakeObjects:
            await emulated.train("job", "pass")
            await emulated.ended("job")
            return emulated.objects

        assert {bucket for bucket, _ in run(scenario).content} == {"data"}

    def test_tells_eventbridge_every_change_in_order(self, run: Run) -> None:
        async def scenario(emulated: Emulator) -> list[dict[str, Any]]:
            await emulated.train("job", "pass")
            await emulated.ended("job")
            await eventually(lambda: len(emulated.control.events) == 5)
            return emulated.control.events

        events = run(scenario)

        details = [json.loads(event["Detail"]) for event in events]
        assert [detail["SecondaryStatus"] for detail in details] == [
            "Starting",
            "Downloading",
            "Training",
            "Uploading",
            "Completed",
        ]
        assert {event["DetailType"] for event in events} == {"SageMaker Training Job State Change"}
        assert {event["Source"] for event in events} == {"aws.sagemaker"}

    def test_finds_the_metrics_its_definitions_describe(self, run: Run) -> None:
        source = 'print("loss=0.5;"); print("loss=0.25; acc=nan"); print("acc=0.75")'

        async def scenario(emulated: Emulator) -> dict[str, Any]:
            await emulated.train("job", source, AlgorithmSpecification={
                "TrainingImage": "i", "TrainingInputMode": "File", "ContainerEntrypoint": ["python3", "-c", source],
                "MetricDefinitions": [
                    {"Name": "loss", "Regex": "loss=([0-9.]+);"},
                    {"Name": "acc", "Regex": "acc=(.*)"},
                    {"Name": "broken", "Regex": "("},
                ],
            })  # fmt: skip
            return await emulated.ended("job")

        metrics = {entry["MetricName"]: entry["Value"] for entry in run(scenario)["FinalMetricDataList"]}

        assert metrics == {"loss": 0.25, "acc": 0.75}

    def test_keeps_checkpoints_in_step_with_s3(self, run: Run) -> None:
        source = """
import os, time
print("resumes from", open("checkpoints/state").read(), flush=True)
open("checkpoints/new", "w").write("2")
time.sleep(600)
"""
        objects = FakeObjects()
        objects.put("s3://out/checkpoints/state", b"1")

        async def scenario(emulated: Emulator) -> None:
            await emulated.train("job", source, CheckpointConfig={"S3Uri": "s3://out/checkpoints/"})
            await eventually(lambda: ("out", "checkpoints/new") in objects.content)
            assert emulated.logs.lines() == ["resumes from 1"]
            await emulated.call("sagemaker", "StopTrainingJob", TrainingJobName="job")
            await emulated.ended("job")

        run(scenario, objects=objects)


class TestAFailedJob:
    @pytest.mark.parametrize(
        ("source", "reason"),
        [
            (
                'open("output/failure", "w").write("bad rows"); raise SystemExit(3)',
                "AlgorithmError: bad rows, exit code: 3",
            ),
            ("raise SystemExit(7)", "AlgorithmError: , exit code: 7"),
            ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "AlgorithmError: , exit code: 139"),
        ],
    )
    def test_says_why(self, run: Run, source: str, reason: str) -> None:
        async def scenario(emulated: Emulator) -> dict[str, Any]:
            await emulated.train("job", source)
            return await emulated.ended("job")

        shown = run(scenario)

        assert (shown["TrainingJobStatus"], shown["FailureReason"]) == ("Failed", reason)
        assert "ModelArtifacts" not in shown

    def test_a_program_that_is_not_there(self, run: Run) -> None:
        async def scenario(emulated: Emulator) -> dict[str, Any]:
            algorithm = {"TrainingImage": "i", "TrainingInputMode": "File", "ContainerEntrypoint": ["no-such-program"]}
            await emulated.train("job", "", AlgorithmSpecification=algorithm)
            return await emulated.ended("job")

        assert (
            run(scenario)["FailureReason"]
            == "AlgorithmError: No such file or directory: no-such-program, exit code: 127"
        )

    def test_missing_data_fails_it_before_anything_runs(self, run: Run) -> None:
        async def scenario(emulated: Emulator) -> dict[str, Any]:
            source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/nothing-here"}}
            channel = {"ChannelName": "training", "DataSource": source}
            await emulated.train("job", "print(1)", InputDataConfig=[channel])
            shown = await emulated.ended("job")
            assert emulated.logs.lines() == []
            return shown

        shown = run(scenario)

        assert shown["FailureReason"].startswith("ClientError: Data download failed: No S3 objects found under S3 URL")
        assert statuses(shown) == ["Starting", "Downloading", "Failed"]

    def test_a_role_that_cannot_be_assumed(self, run: Run) -> None:
        async def scenario(emulated: Emulator) -> dict[str, Any]:
            await emulated.train("job", "print(1)")
            return await emulated.ended("job")

        reason = run(scenario, control=FakeControl(unknown_roles={ROLE}))["FailureReason"]

        assert reason.startswith(f"ClientError: Cannot assume the role {ROLE}")

    @pytest.mark.parametrize(
        ("source", "where"),
        [
            ('import os; os.symlink("/etc/passwd", "model/m")', "model: the symbolic link 'm'"),
            ('import os; os.symlink("../../../..", "output/data/up")', "data: the symbolic link 'up'"),
            ('import os; os.symlink("/etc/passwd", "checkpoints/c")', "checkpoints: the symbolic link 'c'"),
        ],
    )
    def test_a_link_out_of_its_directory_is_refused(self, run: Run, source: str, where: str) -> None:
        async def scenario(emulated: Emulator) -> dict[str, Any]:
            await emulated.train("job", source, CheckpointConfig={"S3Uri": "s3://out/checkpoints/"})
            shown = await emulated.ended("job")
            assert not [key for bucket, key in emulated.objects.content if bucket == "out"]
            return shown

        assert where in run(scenario)["FailureReason"]

    def test_a_refused_upload(self, run: Run) -> None:
        async def scenario(emulated: Emulator) -> dict[str, Any]:
            await emulated.train("job", 'open("model/m", "w").write("m")')
            return await emulated.ended("job")

        reason = run(scenario, objects=FakeObjects(refuse_uploads=True))["FailureReason"]

        assert reason == "ClientError: Artifact upload failed: model: AccessDenied: Access Denied"

    def test_using_more_disk_than_its_volume_has(self, run: Run) -> None:
        source = """
import os, time
print("about to fill the disk", flush=True)
for n in range(3):
    with open(f"output/data/part-{n}", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, 400 * 1024 * 1024)
time.sleep(600)
"""

        async def scenario(emulated: Emulator) -> tuple[dict[str, Any], Emulator]:
            await emulated.train("job", source)
            return await emulated.ended("job"), emulated

        shown, emulated = run(scenario)

        assert "more disk than its volume of 1 GB" in shown["FailureReason"]
        assert shown["FailureReason"].endswith("about to fill the disk")
        # What fills a disk would take long to upload, and the job is to end soon.
        assert [key for bucket, key in emulated.objects.content if bucket == "out"] == []
        assert emulated.logs.notices()[-1].startswith("aimatrix: output/data was not uploaded: it holds more than")

    def test_a_job_that_cleans_up_within_the_grace_period_goes_on(self, run: Run) -> None:
        source = """
import os, time
path = "output/data/part"
for n in range(3):
    with open(f"{path}-{n}", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, 400 * 1024 * 1024)
time.sleep(0.3)
for n in range(3):
    os.unlink(f"{path}-{n}")
time.sleep(0.5)
print("tidy")
"""

        async def scenario(emulated: Emulator) -> dict[str, Any]:
            await emulated.train("job", source)
            return await emulated.ended("job")

        assert run(scenario, stop_grace=5.0)["TrainingJobStatus"] == "Completed"

    def test_a_file_larger_than_its_volume_cannot_be_written(self, run: Run) -> None:
        source = 'open("model/m", "wb").truncate(2 * 1024**3)'

        async def scenario(emulated: Emulator) -> dict[str, Any]:
            await emulated.train("job", source)
            return await emulated.ended("job")

        assert run(scenario)["TrainingJobStatus"] == "Failed"


class TestOutput:
    def test_invalid_utf_8_and_long_lines_arrive(self, run: Run) -> None:
        source = r'import sys; sys.stdout.buffer.write(b"\xff\xfe\n" + b"x" * 600_000 + b"\nlast"); sys.stdout.flush()'

        async def scenario(emulated: Emulator) -> list[str]:
            await emulated.train("job", source)
            await emulated.ended("job")
            return emulated.logs.lines()

        lines = run(scenario)

        assert lines[0] == "\ufffd\ufffd"
        assert "".join(lines[1:-1]) == "x" * 600_000
        assert lines[-1] == "last"

    def test_fifty_megabytes_are_there_before_the_job_is_completed(self, run: Run) -> None:
        source = 'line = "y" * 99 + "\\n"\nimport sys\nfor n in range(500): sys.stdout.write(line * 1050)\nprint("end")'

        async def scenario(emulated: Emulator) -> list[str]:
            await emulated.train("job", source)
            await emulated.ended("job")
            return emulated.logs.lines()

        lines = run(scenario)

        assert len(lines) == 500 * 1050 + 1
        assert lines[-1] == "end"

    def test_stdout_and_stderr_share_the_stream_of_the_job(self, run: Run) -> None:
        source = 'import sys; print("out", flush=True); print("err", file=sys.stderr, flush=True); print("out again")'

        async def scenario(emulated: Emulator) -> dict[tuple[str, str], list[str]]:
            await emulated.train("job", source)
            await emulated.ended("job")
            return emulated.logs.streams

        ((group, stream), lines) = next(iter(run(scenario).items()))

        assert group == "/aws/sagemaker/TrainingJobs"
        assert stream.startswith("job/algo-1-")
        assert lines[1:] == ["out", "err", "out again"]

    def test_a_job_whose_output_nobody_can_take_ends(self, tmp_path: Path) -> None:
        class Broken(FakeLogs):
            def put(self, group: str, stream: str, events: Sequence[tuple[int, str]]) -> None:
                raise RuntimeError("nothing that a log service says")

        async def scenario() -> dict[str, Any]:
            async with emulator(tmp_path, logs=Broken()) as emulated:
                await emulated.train("job", "while True: print('x' * 1000)")
                return await emulated.ended("job")

        assert asyncio.run(scenario())["FailureReason"].startswith("InternalServerError: ")

    def test_the_log_begins_with_what_runs_in_place_of_the_image(self, run: Run) -> None:
        async def scenario(emulated: Emulator) -> list[str]:
            await emulated.train("job", "pass")
            await emulated.ended("job")
            return emulated.logs.notices()

        image = "000000000000.dkr.ecr.us-east-1.amazonaws.com/sklearn:1"
        version = platform.python_version()
        assert run(scenario) == [
            f"aimatrix: the compute emulator runs Python {version} of this machine in place of the image {image}"
        ]

    def test_the_last_words_of_a_killed_process_are_there(self, run: Run) -> None:
        source = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("asked to stop", flush=True))
print("ready", flush=True)
while True: time.sleep(600)
"""

        async def scenario(emulated: Emulator) -> tuple[dict[str, Any], list[str]]:
            await emulated.train("job", source)
            await printed(emulated, "ready")
            await emulated.call("sagemaker", "StopTrainingJob", TrainingJobName="job")
            shown = await emulated.ended("job")
            return shown, emulated.logs.lines()

        shown, lines = run(scenario, stop_grace=0.3)

        assert lines == ["ready", "asked to stop"]
        assert shown["TrainingJobStatus"] == "Stopped"
