"""One attempt from spec to manifest: the contract that every script can count on."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.functional.trainer.harness import BUCKET, PREFIX, TOKEN, Container

SHOW = """
import json, os, sys
from pathlib import Path
Path(os.environ["SM_OUTPUT_DATA_DIR"], "seen.json").write_text(json.dumps(
    {"arguments": sys.argv[1:], "environment": dict(os.environ), "cwd": os.getcwd()}))
"""


def seen(container: Container) -> dict[str, object]:
    finished = container.run()
    assert finished.code == 0, finished.stdout
    document: dict[str, object] = json.loads(container.s3.objects[PREFIX + "output/seen.json"])
    return document


def environment(container: Container) -> dict[str, str]:
    found = seen(container)["environment"]
    assert isinstance(found, dict)
    return found


class TestConventions:
    def test_a_script_that_names_the_documents_options_gets_them(self, container: Container) -> None:
        container.script = SHOW + "OPTIONS = ['--job-id', '--data-path', '--output-path', '--parameters']\n"
        container.spec["parameters"] = {"max_depth": 6, "note": "a 'quoted' value"}
        assert seen(container)["arguments"] == [
            "--job-id=job-1",
            f"--data-path={container.root}/input/data/training",
            f"--output-path={container.root}/output/data",
            '--parameters={"max_depth": 6, "note": "a \'quoted\' value"}',
        ]

    def test_a_script_that_reads_sagemaker_variables_gets_hyperparameters(self, container: Container) -> None:
        container.script = SHOW
        container.spec["parameters"] = {"max_depth": 6, "b": True, "layers": [1, 2], "nothing": None, "map": {"k": 1}}
        assert seen(container)["arguments"] == [
            "-b", "True", "--layers", "[1, 2]", "--map", "k=1", "--max_depth", "6", "--nothing", "",
        ]  # fmt: skip

    def test_the_spec_overrides_what_the_script_mentions(self, container: Container) -> None:
        container.script = SHOW
        container.spec["arguments"] = "document"
        arguments = seen(container)["arguments"]
        assert isinstance(arguments, list)
        assert arguments[0] == "--job-id=job-1"

    def test_both_conventions_variables_are_always_set(self, container: Container) -> None:
        container.script = SHOW
        container.spec["parameters"] = {"max_depth": 6, "name": "x"}
        found = environment(container)
        root = container.root
        expected = {
            "JOB_ID": "job-1",
            "TRAINING_SCRIPT": f"{root}/code/train.py",
            "DATASET_PATH": f"{root}/input/data/training/data.csv",
            "SM_CHANNEL_TRAINING": f"{root}/input/data/training",
            "SM_CHANNEL_TRAIN": f"{root}/input/data/training",
            "SM_CHANNELS": '["training"]',
            "SM_MODEL_DIR": f"{root}/model",
            "SM_CHECKPOINT_DIR": f"{root}/checkpoints",
            "SM_OUTPUT_DATA_DIR": f"{root}/output/data",
            "SM_OUTPUT_DIR": f"{root}/output",
            "SM_INPUT_DIR": f"{root}/input",
            "SM_INPUT_CONFIG_DIR": f"{root}/input/config",
            "SM_HPS": '{"max_depth":6,"name":"x"}',
            "SM_HP_MAX_DEPTH": "6",
            "SM_HP_NAME": "x",
            "SM_HOSTS": '["algo-1"]',
            "SM_CURRENT_HOST": "algo-1",
            "SM_NUM_GPUS": "0",
            "SM_USER_ARGS": '["--max_depth","6","--name","x"]',
            "SM_MODULE_NAME": "train",
            "SM_FRAMEWORK": "sklearn",
            "SM_NETWORK_INTERFACE_NAME": "eth0",
        }
        assert {name: found.get(name) for name in expected} == expected
        assert int(found["SM_NUM_CPUS"]) >= 1
        assert json.loads(found["SM_TRAINING_ENV"])["hyperparameters"] == {"max_depth": 6, "name": "x"}

    def test_a_dataset_of_several_objects_is_a_directory(self, container: Container) -> None:
        container.script = SHOW
        container.s3.objects[f"{BUCKET}/set/a.csv"] = b"a"
        container.s3.objects[f"{BUCKET}/set/deep/b c.csv"] = b"b"
        container.s3.objects[f"{BUCKET}/set2/other.csv"] = b"not this one"
        container.spec["dataset"] = {"uri": f"s3://{BUCKET}/set", "objects": 2, "bytes": 2}
        training = container.root / "input/data/training"
        assert environment(container)["DATASET_PATH"] == str(training)
        files = {str(path.relative_to(training)) for path in training.rglob("*") if path.is_file()}
        assert files == {"a.csv", "deep/b c.csv"}

    def test_a_channel_that_sagemaker_has_filled_is_not_fetched_again(self, container: Container) -> None:
        channel = container.root / "input/data/training"
        channel.mkdir(parents=True)
        (channel / "given.csv").write_text("1")
        container.script = SHOW
        assert environment(container)["DATASET_PATH"] == str(channel / "given.csv")
        assert not [path for _, path in container.s3.requests if "data.csv" in path]

    def test_user_variables_arrive_and_reserved_ones_do_not(self, container: Container) -> None:
        container.script = SHOW
        container.spec["environment_variables"] = {
            "GREETING": "hello",
            "LD_PRELOAD": "/evil.so",
            "PYTHONPATH": "/evil",
            "PATH": "/evil",
            "AWS_ACCESS_KEY_ID": "evil",
            "SM_MODEL_DIR": "/evil",
            "MLFLOW_TRACKING_URI": "http://evil",
        }
        found = environment(container)
        assert found["GREETING"] == "hello"
        assert not [name for name, value in found.items() if "evil" in value]

    def test_the_attempts_secrets_are_not_in_the_scripts_environment(self, container: Container) -> None:
        container.script = SHOW
        found = environment(container)
        assert not [name for name in found if name.startswith("AIMATRIX_")]
        assert TOKEN not in str(found)


class TestResults:
    def test_outputs_are_uploaded_with_size_and_checksum(self, container: Container) -> None:
        container.script = """
import os
from pathlib import Path
out = Path(os.environ["SM_OUTPUT_DATA_DIR"])
(out / "deep").mkdir()
(out / "deep" / "a b.txt").write_bytes(b"x" * 1000)
(out / "empty").write_bytes(b"")
"""
        manifest = container.run().manifest
        assert manifest["artifacts"] == [
            {
                "name": name,
                "type": "output",
                "path": f"s3://{PREFIX}output/{name}",
                "size_bytes": len(body),
                "checksum": hashlib.sha256(body).hexdigest(),
            }
            for name, body in (("empty", b""), ("deep/a b.txt", b"x" * 1000))
        ]
        assert container.s3.objects[PREFIX + "output/deep/a b.txt"] == b"x" * 1000

    def test_the_manifest_is_the_last_object_and_the_exit_line_comes_after_it(self, container: Container) -> None:
        finished = container.run()
        assert finished.manifest["exit_code"] == 0
        assert finished.manifest["arguments"] == "document"
        assert finished.manifest["started_at"] < finished.manifest["ended_at"]
        assert container.s3.requests[-1] == ("PUT", f"/{PREFIX}manifest.json")
        assert finished.stdout.rstrip().split(b"\n")[-1].startswith(b'#aimatrix {"j":"default#job-1","n":1,')
        (line,) = finished.structured("exit")
        assert (line["code"], line["signal"], line["reason"], line["k"]) == (0, None, None, TOKEN)

    def test_started_is_said_before_the_scripts_first_line(self, container: Container) -> None:
        output = container.run().stdout
        assert output.index(b'"t":"started"') < output.index(b"hello")

    @pytest.mark.parametrize("variable", ["SM_MODEL_DIR", "SM_OUTPUT_DATA_DIR"])
    def test_a_model_is_archived_wherever_the_convention_puts_it(self, container: Container, variable: str) -> None:
        container.script = f"""
import os, joblib
from sklearn.linear_model import LogisticRegression
model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
joblib.dump(model, os.path.join(os.environ["{variable}"], "model.joblib"))
"""
        finished = container.run()
        model = finished.manifest["model"]
        archive = container.s3.objects[PREFIX + "model.tar.gz"]
        assert (model["kind"], model["servable"], model["reason"]) == ("sklearn", True, None)
        assert model["checksum"] == hashlib.sha256(archive).hexdigest()
        assert model["size_bytes"] == len(archive)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            names = tar.getnames()
        assert model["file"] in names
        assert "code/inference.py" in names
        assert list((container.root / "model").iterdir()) == []

    def test_a_failed_scripts_outputs_are_uploaded_and_its_model_is_not(self, container: Container) -> None:
        container.script = """
import os, sys
from pathlib import Path
Path(os.environ["SM_MODEL_DIR"], "model.json").write_text("{}")
Path(os.environ["SM_OUTPUT_DATA_DIR"], "log.txt").write_text("so far")
sys.exit(3)
"""
        finished = container.run()
        assert finished.code == 3
        assert finished.manifest["model"] is None
        assert [artifact["name"] for artifact in finished.manifest["artifacts"]] == ["log.txt"]

    def test_metrics_and_progress_come_out_of_printed_lines(self, container: Container) -> None:
        container.script = """
for epoch in range(1, 4):
    print(f"progress: epoch {epoch}/3, step {epoch * 10}/30")
    print(f"epoch={epoch} loss={1 / epoch:.4f} accuracy=nope")
"""
        container.spec["metric_definitions"] = [
            {"name": "train:loss", "regex": r"loss=([0-9.]+)"},
            {"name": "accuracy", "regex": r"accuracy=(\S+)"},
        ]
        finished = container.run()
        assert finished.points() == [("train:loss", 1.0, 0), ("train:loss", 0.5, 1), ("train:loss", 0.3333, 2)]
        last = finished.structured("progress")[-1]
        assert (last["epoch"], last["epochs"], last["step"], last["steps"], last["percent"]) == (3, 3, 30, 30, 100.0)
        assert finished.manifest["metrics"] == {"train:loss": 0.3333}

    def test_sagemakers_own_configuration_files_are_there_on_batch_too(self, container: Container) -> None:
        container.spec["parameters"] = {"max_depth": 6, "name": "x"}
        container.run()
        config = container.root / "input/config"
        assert json.loads((config / "hyperparameters.json").read_text()) == {"max_depth": "6", "name": '"x"'}
        assert json.loads((config / "resourceconfig.json").read_text())["current_host"] == "algo-1"
        assert list(json.loads((config / "inputdataconfig.json").read_text())) == ["training"]


class TestTrouble:
    def test_a_spec_that_makes_no_sense_leaves_a_manifest_beside_it(self, container: Container) -> None:
        container.spec["arguments"] = "whatever"
        finished = container.run()
        assert finished.code == 1
        assert (finished.manifest["job_id"], finished.manifest["attempt"]) == ("job-1", 1)
        assert "arguments is 'whatever'" in finished.manifest["reason"]
        assert finished.manifest["reason"] == finished.failure

    def test_a_download_that_fails_leaves_a_manifest(self, container: Container) -> None:
        container.spec["requirements"] = {"uri": "s3://artifacts/uploads/requirements.txt"}
        finished = container.run()
        assert finished.manifest["exit_code"] == 1
        assert "s3://artifacts/uploads/requirements.txt does not exist" in finished.manifest["reason"]

    def test_links_alone_are_no_model(self, container: Container) -> None:
        container.script = """
import os
os.symlink("/etc/passwd", os.environ["SM_MODEL_DIR"] + "/model.pkl")
os.symlink("round", os.environ["SM_MODEL_DIR"] + "/round")
"""
        finished = container.run()
        assert (finished.code, finished.manifest["model"]) == (0, None)
        assert "model.tar.gz" not in {row["name"] for row in finished.manifest["artifacts"]}
        assert "aimatrix: model.pkl was left out of the model: it is a link to a place outside" in finished.lines()
        assert list((container.root / "model").iterdir()) == []

    def test_of_a_used_up_disk_only_the_small_outputs_are_kept(self, container: Container) -> None:
        # Files full of holes: as long to upload as others, without a disk to fill.
        container.script = """
import os
top = os.environ["SM_OUTPUT_DATA_DIR"]
for name in ("a", "b"):
    open(f"{top}/{name}.bin", "wb").truncate(70 * 1024**2)
open(f"{top}/notes.txt", "w").write("small")
print("the last words")
raise OSError(28, "No space left on device")
"""
        container.spec["limits"] = {"disk_bytes": 100 * 1024**2, "log_bytes": None}
        finished = container.run()
        assert [row["name"] for row in finished.manifest["artifacts"]] == ["notes.txt"]
        assert "No space left on device" in finished.manifest["reason"]
        assert "the last words" in finished.manifest["reason"]
        note = next(line for line in finished.lines() if "were not uploaded" in line)
        assert note.startswith(f"aimatrix: 2 of 3 outputs ({140 * 1024**2} bytes) were not uploaded")

    def test_the_reason_is_out_before_the_outputs_are(self, container: Container) -> None:
        container.script = """
import os
open(os.environ["SM_OUTPUT_DATA_DIR"] + "/result", "w").write("r")
raise SystemExit(3)
"""
        finished = container.run()
        written = [path.rpartition("/")[2] for method, path in finished.s3.requests if method == "PUT"]
        assert written == ["manifest.json", "result", "manifest.json"]

    def test_a_missing_script_fails_the_job_with_its_address(self, container: Container) -> None:
        container.spec["script"] = {"uri": f"s3://{BUCKET}/nowhere.py", "name": "nowhere.py"}
        finished = container.run()
        assert finished.code == 1
        assert finished.manifest["reason"] == f"s3://{BUCKET}/nowhere.py does not exist"
        assert finished.failure == finished.manifest["reason"]

    def test_an_empty_dataset_fails_the_job(self, container: Container) -> None:
        container.spec["dataset"] = {"uri": f"s3://{BUCKET}/nothing/", "objects": 0, "bytes": 0}
        manifest = container.run().manifest
        assert manifest["reason"] == f"there is no dataset at s3://{BUCKET}/nothing/"
        assert manifest["cause"] == "data"

    def test_a_spec_that_cannot_be_read_is_said_in_the_failure_file(self, container: Container) -> None:
        container.spec["schema"] = 2
        finished = container.run()
        assert finished.code == 1
        assert "schema 1" in finished.failure
        assert finished.structured("exit") == []

    def test_uploads_that_are_refused_fail_the_job(self, container: Container) -> None:
        container.script = 'import os; open(os.environ["SM_OUTPUT_DATA_DIR"] + "/x", "w").write("1")'
        container.s3.refuse_writes = True
        finished = container.run()
        assert finished.code == 1
        (line,) = finished.structured("exit")
        assert "the output 'x' could not be uploaded" in line["reason"]
        assert "no writing here" in line["reason"]
        assert finished.failure == line["reason"]

    def test_parameters_that_no_argument_can_hold_fail_clearly(self, container: Container) -> None:
        container.script = "OPTION = '--parameters'"
        container.spec["parameters"] = {"big": "x" * 140_000}
        finished = container.run()
        assert finished.code == 1
        assert "longer than Linux allows" in finished.manifest["reason"]

    def test_a_nul_character_fails_clearly(self, container: Container) -> None:
        container.spec["arguments"] = "script_mode"
        container.spec["parameters"] = {"x": "a\0b"}
        assert "NUL" in container.run().manifest["reason"]

    def test_symbolic_links_out_of_the_directory_are_reported_and_not_followed(
        self, container: Container, tmp_path: Path
    ) -> None:
        secret = tmp_path / "secret.txt"
        secret.write_text("secret")
        container.script = f"""
import os
out = os.environ["SM_OUTPUT_DATA_DIR"]
os.symlink({str(secret)!r}, out + "/leak")
os.symlink({str(tmp_path)!r}, out + "/dir")
os.symlink("/nowhere", out + "/dangling")
open(out + "/real", "w").write("1")
os.symlink("real", out + "/latest")
os.mkfifo(out + "/fifo")
"""
        finished = container.run()
        assert finished.code == 0
        assert sorted(container.s3.under(PREFIX + "output/")) == ["latest", "real"]
        notes = "\n".join(finished.lines())
        assert "'leak' is a symbolic link that leaves its directory" in notes
        assert "'dir' is a symbolic link that leaves its directory" in notes
        assert "'dangling' is a symbolic link that leads nowhere" in notes
        assert "'fifo' is not a regular file" in notes
        assert secret.read_text() == "secret"
