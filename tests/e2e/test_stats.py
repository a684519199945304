"""Statistics over HTTP, of real jobs: every number is what the records say."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime
from statistics import mean

import pytest

from aimatrix.client import Client, ForbiddenError, Job, ResourceRequirements
from aimatrix.client.deployments import DeploymentConfig
from tests.e2e import scripts
from tests.e2e.conftest import Cloud, aimatrix, last_json

pytestmark = pytest.mark.e2e

TENANT = "figures"
"""Its own, so that its totals are those of these jobs alone."""
SCORES = {"accuracy": 0.93, "precision": 0.91, "recall": 0.7, "f1_score": 0.79}
TRAINS = f"""
import os
open(os.path.join(os.environ['SM_MODEL_DIR'], 'm.txt'), 'w').write('x')
for name, value in {SCORES}.items():
    print(f'{{name}}={{value}}', flush=True)
"""
METRICS = {name: f"{name}=([0-9.]+)" for name in SCORES}
ANSWERS = "def model_fn(d):\n    return 1\ndef predict_fn(data, model):\n    return [model for _ in data]\n"
MEASURES = """
import time
import mlflow
for step in range(7):
    mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metric("auc", step / 7, step=step)
print("measured", flush=True)
time.sleep(600)
"""
POINTS = 14
GPU = ResourceRequirements(1, "t4", memory_gb=8, cpu_cores=2, disk_gb=20)


@pytest.fixture(scope="module")
def erin(cloud: Cloud) -> Iterator[Client]:
    with cloud.client("erin", tenant=TENANT) as client:
        yield client


@pytest.fixture(scope="module")
def admin(cloud: Cloud) -> Iterator[Client]:
    with cloud.client("root", "ADMIN", tenant=TENANT) as client:
        yield client


@pytest.fixture(scope="module")
def completed(erin: Client, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job that left a model, which is not good enough to be deployed by itself."""
    folder = tmp_path_factory.mktemp("completed")
    more = {"files": {"inference.py": ANSWERS}, "metric_definitions": METRICS}
    return scripts.run(erin, folder, TRAINS, name="figures", **more)


@pytest.fixture(scope="module")
def failed(erin: Client, tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("failed")
    return scripts.run(erin, folder, "raise SystemExit(3)\n", name="figures", resource_requirements=GPU)


@pytest.fixture(scope="module")
def running(erin: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    """A job that has measured all that it will, and goes on."""
    folder = tmp_path_factory.mktemp("running")
    job = scripts.submit(erin, folder, MEASURES, name="figures", max_runtime_seconds=900)
    scripts.first_line(erin, job)
    scripts.until(lambda: len(list(erin.jobs.metrics(job.job_id))) == POINTS)
    yield erin.jobs.get(job.job_id)
    with contextlib.suppress(Exception):
        erin.jobs.cancel(job.job_id)
        erin.jobs.wait(job.job_id, timeout=90)


class TestStats:
    def test_of_active_jobs_count_the_points_that_are_kept(
        self, erin: Client, completed: Job, failed: Job, running: Job
    ) -> None:
        scripts.until(lambda: [each.metric_count for each in erin.stats.active_jobs()] == [POINTS])
        (shown,) = erin.stats.active_jobs()
        kept = list(erin.jobs.metrics(running.job_id))
        assert (shown.job.job_id, shown.job.status) == (running.job_id, "running")
        assert shown.metric_count == len(kept)
        assert shown.last_metric_timestamp == max(point.timestamp for point in kept)
        assert {completed.status, failed.status} == {"completed", "failed"}

    def test_of_users_are_what_their_quotas_say(
        self, erin: Client, admin: Client, completed: Job, failed: Job, running: Job
    ) -> None:
        (own,) = erin.stats.users()
        quota = erin.quotas.own().user.document
        for name in ("current_concurrent_jobs", "current_gpu_hours_this_month", "current_cpu_hours_this_month"):
            assert own.document[name] == quota[name]
        assert own.current_concurrent_jobs == 1
        assert failed.used is not None
        assert own.gpu_utilization_percent == pytest.approx(failed.used.gpu_hours, abs=1e-4)  # of a hundred hours
        assert [each.document for each in admin.stats.users()] == [own.document]

    def test_of_models_are_what_their_records_say(self, erin: Client, completed: Job) -> None:
        assert completed.model_id is not None, completed.failure_reason
        model = erin.models.get(completed.model_id)
        (shown,) = erin.stats.models()
        assert (shown.id, shown.deployment_count) == (model.id, 0)
        assert (shown.accuracy, shown.precision, shown.recall, shown.f1_score) == tuple(SCORES.values())
        assert {name: model.metrics[name] for name in SCORES} == SCORES
        deployment = erin.models.deploy(model.id, DeploymentConfig("development"))
        active = erin.deployments.wait(deployment.id, timeout=120)
        assert active.is_active(), active.failure_reason
        (served,) = erin.stats.models()
        assert served.deployment_count == len(erin.models.get(model.id).document["deployments"]) == 1
        erin.deployments.delete(active.id)
        erin.deployments.wait_down(active.id, timeout=120)
        scripts.until(lambda: next(erin.stats.models()).deployment_count == 0)

    def test_of_frameworks_are_the_sums_of_the_records(
        self, erin: Client, admin: Client, completed: Job, failed: Job, running: Job
    ) -> None:
        jobs = list(erin.jobs.list())
        day = min(job.created_at for job in jobs)[:10]
        report = admin.stats.frameworks(day, max(job.created_at for job in jobs)[:10])
        (custom,) = report.frameworks
        ended = [job for job in jobs if job.is_finished()]
        took = [_seconds(job) for job in ended]
        print(f"{len(jobs)} jobs; durations {took}, mean {custom.mean_duration_seconds}; GPU hours {custom.gpu_hours}")
        assert (custom.framework, custom.total_jobs) == ("custom", len(jobs))
        assert (custom.completed_jobs, custom.failed_jobs, custom.cancelled_jobs) == (1, 1, 0)
        assert len(ended) == 2
        assert custom.mean_duration_seconds == pytest.approx(mean(took), abs=0.001)
        assert custom.gpu_hours == pytest.approx(sum(row["gpu_hours"] for row in erin.costs.usage()), abs=1e-6)
        assert custom.gpu_hours > 0

    def test_are_for_those_who_may_see_them(self, cloud: Cloud, erin: Client, running: Job) -> None:
        with pytest.raises(ForbiddenError):
            erin.stats.frameworks()
        with cloud.client("erin", "ADMIN", tenant="elsewhere") as stranger:
            assert list(stranger.stats.active_jobs()) == []
            assert list(stranger.stats.models()) == []
            assert stranger.stats.frameworks().frameworks == ()
        with cloud.client("frank", tenant=TENANT) as colleague:
            assert list(colleague.stats.active_jobs()) == []
            assert [each.user_id for each in colleague.stats.users()] == ["frank"]

    def test_are_shown_on_the_command_line(self, cloud: Cloud, completed: Job, running: Job) -> None:
        admin = {"AIMATRIX_API": cloud.api, "AIMATRIX_TOKEN": cloud.token("root", "ADMIN", tenant=TENANT)}
        for verb, text in (
            ("active-jobs", running.job_id),
            ("users", "erin"),
            ("models", completed.model_id),
            ("frameworks", "custom"),
        ):
            shown = aimatrix("stats", verb, environment=admin)
            assert shown.returncode == 0, shown.stderr
            assert str(text) in shown.stdout
        (job,) = last_json(aimatrix("stats", "active-jobs", "--json", environment=admin).stdout)["jobs"]
        assert job["metric_count"] == POINTS


def _seconds(job: Job) -> float:
    assert job.started_at is not None
    assert job.completed_at is not None
    return (datetime.fromisoformat(job.completed_at) - datetime.fromisoformat(job.started_at)).total_seconds()
