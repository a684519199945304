"""From a training script to a prediction, on both backends, seen from outside."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from aimatrix.client import Client, ConflictError, DeploymentConfig, NotFoundError, ResourceRequirements
from tests.e2e import scripts
from tests.e2e.conftest import Cloud, aimatrix, last_json

SKLEARN = """
import argparse, csv, json, os
import joblib, mlflow
from sklearn.linear_model import LogisticRegression

parser = argparse.ArgumentParser()
for name in ("--job-id", "--data-path", "--output-path", "--parameters"):
    parser.add_argument(name)
args = parser.parse_args()
parameters = json.loads(args.parameters)
rows = list(csv.DictReader(open(os.path.join(args.data_path, "data.csv"))))
X = [[float(row["a"]), float(row["b"])] for row in rows]
y = [int(row["target"]) for row in rows]
print("training on", len(rows), "rows with C =", parameters["C"], flush=True)
model = LogisticRegression(C=parameters["C"])
for step in range(1, 4):
    model.set_params(max_iter=step * 50).fit(X, y)
    mlflow.log_metric("accuracy", model.score(X, y), step=step)
    print(f"progress: step {step}/3", flush=True)
joblib.dump(model, os.path.join(args.output_path, "model.joblib"))
print("first prediction", model.predict(X[:1])[0], flush=True)
"""


@pytest.mark.e2e
class TestJourney:
    @pytest.mark.parametrize(("gpus", "gpu_type", "queue"), [(1, "t4", "t4"), (1, "a100", "a100"), (0, "h100", "cpu")])
    def test_runs_on_batch_where_the_gpus_are_that_it_asks_for(
        self, alice: Client, tmp_path: Path, gpus: int, gpu_type: str, queue: str
    ) -> None:
        job = scripts.run(
            alice,
            tmp_path,
            "import os; print(os.environ['AWS_BATCH_CE_NAME'])",
            backend="batch",
            resource_requirements=ResourceRequirements(gpus, gpu_type, memory_gb=8, cpu_cores=4, disk_gb=30),
        )
        assert job.status == "completed", job.failure_reason
        (environment,) = scripts.lines(alice, job)
        assert environment.endswith(f"-training-{queue}")

    @pytest.mark.parametrize("backend", ["sagemaker", "batch"])
    def test_trains_registers_deploys_and_predicts(self, alice: Client, tmp_path: Path, backend: str) -> None:
        job = scripts.run(
            alice,
            tmp_path,
            SKLEARN,
            name=f"journey-{backend}",
            framework="sklearn",
            parameters={"C": 0.5},
            backend=backend,
        )
        printed = scripts.lines(alice, job)
        assert job.status == "completed", (job.failure_reason, printed)
        assert printed[0] == "training on 200 rows with C = 0.5"
        assert [(metric.name, metric.step) for metric in job.metrics if metric.name == "accuracy"] == [
            ("accuracy", 1),
            ("accuracy", 2),
            ("accuracy", 3),
        ]
        assert job.progress.percentage_complete == 100
        assert job.document["mlflow"]["run_id"]
        assert job.resource_allocation["backend"] == backend
        assert {artifact.type for artifact in job.artifacts} >= {"model"}
        assert all(len(artifact.checksum) == 64 and artifact.size_bytes > 0 for artifact in job.artifacts)

        assert job.model_id is not None
        model = alice.models.get(job.model_id)
        assert (model.status, model.version, model.kind, model.servable) == ("ready", "1", "sklearn", True)
        assert model.mlflow["version"] == "1"

        deployment = alice.models.deploy(model.id, DeploymentConfig("development", replicas=1))
        active = alice.deployments.wait(deployment.id, timeout=120)
        assert active.status == "active", active.failure_reason
        answer = alice.deployments.predict(deployment.id, {"inputs": [[0.0, 0.0], [6.0, 4.0]]})
        as_csv = alice.deployments.predict_raw(deployment.id, b"0,0\n6,4\n", "text/csv")
        expected = printed[-1].removeprefix("first prediction ")
        assert [str(value) for value in answer["predictions"][:1]] == [expected]
        assert as_csv == answer

        with pytest.raises(ConflictError):
            alice.models.deprecate(model.id)
        alice.deployments.delete(deployment.id)
        alice.deployments.wait_down(deployment.id, timeout=60)
        assert alice.models.get(model.id).status == "ready"
        assert alice.models.deprecate(model.id).status == "deprecated"

    def test_updates_a_deployment_in_place(self, alice: Client, tmp_path: Path) -> None:
        versions = []
        for strength in (0.1, 10.0):
            job = scripts.run(
                alice, tmp_path, SKLEARN, name="in-place", framework="sklearn", parameters={"C": strength}
            )
            assert job.model_id is not None, job.failure_reason
            versions.append(alice.models.get(job.model_id))
        assert [model.version for model in versions] == ["1", "2"]
        first = alice.models.deploy(versions[0].id, DeploymentConfig("staging", replicas=1))
        assert alice.deployments.wait(first.id, timeout=120).is_active()
        second = alice.models.deploy(versions[1].id, DeploymentConfig("staging", replicas=1))
        active = alice.deployments.wait(second.id, timeout=120)
        assert second.id == first.id
        assert (active.status, active.revision, active.model_id) == ("active", 2, versions[1].id)
        assert alice.deployments.predict(active.id, {"inputs": [[0.0, 0.0]]})["predictions"]
        assert [alice.models.get(model.id).status for model in versions] == ["ready", "deployed"]
        alice.deployments.delete(active.id)
        alice.deployments.wait_down(active.id, timeout=60)

    def test_logs_resume_where_a_reader_stopped(self, alice: Client, tmp_path: Path) -> None:
        job = scripts.submit(alice, tmp_path, "for n in range(500):\n    print('line', n, flush=True)\n")
        seen: list[str] = []
        cursor = None
        while True:
            page = alice.jobs.log_page(job.job_id, cursor, follow=True)
            seen += [entry.message for entry in page.entries if entry.source == "script"]
            if page.ended:
                break
            cursor = page.next_cursor
        assert seen == [f"line {number}" for number in range(500)]

    def test_metrics_come_from_printed_lines_too(self, alice: Client, tmp_path: Path) -> None:
        script = "for n in range(1, 4):\n    print(f'epoch {n} loss={1 / n}', flush=True)\n"
        job = scripts.run(alice, tmp_path, script, metric_definitions={"loss": "loss=([0-9.]+)"})
        assert [round(metric.value, 3) for metric in alice.jobs.metrics(job.job_id, "loss")] == [1.0, 0.5, 0.333]

    def test_all_of_it_is_one_stream_and_two_files(self, cloud: Cloud, alice: Client, tmp_path: Path) -> None:
        script = (
            "import mlflow\n"
            "for step in range(30):\n"
            "    print('step', step, flush=True)\n"
            "    mlflow.log_metric('loss', 1 / (step + 1), step=step)\n"
        )
        job = scripts.run(alice, tmp_path, script)
        told = [each for page in alice.jobs.stream_pages(job.job_id, follow=True) for each in page.entries]
        assert told[-1] == {"type": "end"}
        assert [each["message"] for each in told if each["type"] == "log" and each["source"] == "script"] == [
            f"step {step}" for step in range(30)
        ]
        assert [each["step"] for each in told if each["type"] == "metric"] == list(range(30))
        states = [each["state"] for each in told if each["type"] == "state"]
        assert (states[0], states[-1]) == ("pending", "completed")
        chart = alice.jobs.chart(job.job_id, "loss", 10)
        assert (chart[0].value, chart[-1].step, len(chart) <= 10) == (1.0, 29, True)
        environment = {"AIMATRIX_API": cloud.api, "AIMATRIX_TOKEN": cloud.token("alice", "USER")}
        done = aimatrix("jobs", "export", job.job_id, "--to", str(tmp_path / "out"), "--json", environment=environment)
        assert done.returncode == 0, done.stderr
        assert last_json(done.stdout)["complete"]
        lines = gzip.decompress((tmp_path / "out" / "logs.jsonl.gz").read_bytes()).splitlines()
        assert "step 29" in [json.loads(line)["message"] for line in lines]
        points = gzip.decompress((tmp_path / "out" / "metrics.jsonl.gz").read_bytes()).splitlines()
        assert [json.loads(line)["step"] for line in points if json.loads(line)["name"] == "loss"] == list(range(30))

    def test_metrics_are_seen_while_the_script_runs(self, alice: Client, tmp_path: Path) -> None:
        script = (
            "import mlflow, time\n"
            "mlflow.log_metric('loss', 1.5, step=1)\n"
            "print('logged', flush=True)\n"
            "time.sleep(600)\n"
        )
        job = scripts.submit(alice, tmp_path, script)
        scripts.first_line(alice, job)
        alice.jobs.transport.sleep(5)  # the promise is five seconds from the call
        assert [metric.value for metric in alice.jobs.metrics(job.job_id)] == [1.5]
        assert alice.jobs.get(job.job_id).status == "running"
        alice.jobs.cancel(job.job_id)
        assert alice.jobs.wait(job.job_id, timeout=60).status == "cancelled"

    def test_a_requirements_file_beside_the_script_is_installed(self, alice: Client, tmp_path: Path) -> None:
        script = "import importlib.metadata as m\nprint('found', m.version('toolz'), flush=True)\n"
        job = scripts.run(alice, tmp_path, script, files={"requirements.txt": "toolz==1.0.0\n"})
        assert "found 1.0.0" in scripts.lines(alice, job), job.failure_reason


@pytest.mark.e2e
class TestCancel:
    def test_stops_a_running_script_and_says_so(self, alice: Client, tmp_path: Path) -> None:
        job = scripts.submit(alice, tmp_path, "import time\nprint('started', flush=True)\ntime.sleep(600)\n")
        scripts.first_line(alice, job)
        alice.jobs.cancel(job.job_id)
        alice.jobs.cancel(job.job_id) if not alice.jobs.get(job.job_id).is_finished() else None
        cancelled = alice.jobs.wait(job.job_id, timeout=60)
        assert cancelled.status == "cancelled"
        with pytest.raises(ConflictError):
            alice.jobs.cancel(job.job_id)

    def test_right_after_submission_leaves_nothing_running(self, alice: Client, tmp_path: Path) -> None:
        job = scripts.submit(alice, tmp_path, "import time\ntime.sleep(600)\n")
        alice.jobs.cancel(job.job_id)
        assert alice.jobs.wait(job.job_id, timeout=60).status == "cancelled"

    def test_of_what_is_not_there_is_not_found(self, alice: Client) -> None:
        with pytest.raises(NotFoundError):
            alice.jobs.cancel("00000000-0000-4000-8000-000000000000")
