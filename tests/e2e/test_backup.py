"""A tenant moves from one embedded cloud to another, empty one, and is there what it was."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aimatrix.client import Client, DeploymentConfig, Job, Model
from tests.e2e import scripts
from tests.e2e.conftest import Cloud, aimatrix, last_json, start, stop
from tests.e2e.listener import Listener
from tests.e2e.test_experiments import PLAN, counts
from tests.e2e.test_journey import SKLEARN

pytestmark = pytest.mark.e2e

TENANT = "acme"
ROW = [[6.0, 4.0], [1.0, 3.0]]
FOREVER = "import time\nprint('started', flush=True)\ntime.sleep(600)\n"


def run(*words: str, code: int = 0) -> Any:
    """A command of the operator's, and the document that it ends with."""
    done = aimatrix(*words, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return last_json(done.stdout)


@dataclass(frozen=True)
class Before:
    """What the tenant had in the first cloud, as its API told it."""

    trained: Job
    stuck: Job
    model: Model
    deployment: str
    predicted: Any
    experiment: str
    key: str
    receipts: dict[str, Any]
    metrics: list[tuple[str, int | None, float]]
    files: dict[str, str]
    exported: Any


@dataclass(frozen=True)
class World:
    first: Cloud
    second: Cloud
    folder: Path
    again: Path
    before: Before
    imported: Any
    listener: Listener


def points(client: Client, job_id: str) -> list[tuple[str, int | None, float]]:
    return [(point.name, point.step, point.value) for point in client.jobs.metrics(job_id)]


def files(cloud: Cloud) -> dict[str, str]:
    """What lies below the tenant in the bucket: the SHA-256 of each object."""
    s3 = cloud.boto("s3")
    bucket = next(each["Name"] for each in s3.list_buckets()["Buckets"] if "-artifacts-" in each["Name"])
    found = s3.list_objects_v2(Bucket=bucket, Prefix=f"tenants/{TENANT}/").get("Contents", [])
    return {
        each["Key"]: hashlib.sha256(s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()).hexdigest()
        for each in found
    }


def lived_in(cloud: Cloud, folder: Path, into: Path) -> Before:
    """Let the tenant do a bit of everything, and export it while a job is running."""
    with cloud.client("alice", tenant=TENANT) as alice:
        trained = scripts.run(
            alice, folder, SKLEARN, name="churn", framework="sklearn", parameters={"C": 0.5}, tags=["kept"]
        )
        assert trained.model_id, trained.failure_reason
        failed = scripts.run(alice, folder, "raise SystemExit(3)\n", name="bad")
        deleted = scripts.run(alice, folder, "print('gone')\n", name="gone")
        receipts = {job.job_id: alice.costs.receipt(job.job_id) for job in (trained, failed, deleted)}
        with cloud.client("root", "ADMIN", tenant=TENANT) as admin:
            admin.jobs.delete(deleted.job_id)
        made = alice.models.deploy(trained.model_id, DeploymentConfig("development", replicas=1))
        assert alice.deployments.wait(made.id, timeout=120).is_active()
        predicted = alice.deployments.predict(made.id, {"inputs": ROW})
        experiment = alice.experiments.create(PLAN)
        alice.experiments.count(experiment.id, counts("conversion", 100, 8, 9))
        stuck = scripts.submit(alice, folder, FOREVER, name="stuck")
        scripts.first_line(alice, stuck)
        exported = run("export", TENANT, str(into), "--state", str(cloud.state))
        before = Before(
            trained=alice.jobs.get(trained.job_id),
            stuck=stuck,
            model=alice.models.get(trained.model_id),
            deployment=made.id,
            predicted=predicted,
            experiment=experiment.id,
            key=str(alice.costs.public_key()["public_key"]),
            receipts=receipts,
            metrics=points(alice, trained.job_id),
            files=files(cloud),
            exported=exported,
        )
        alice.jobs.cancel(stuck.job_id)
        alice.jobs.wait(stuck.job_id, timeout=60)
    return before


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Both clouds: the first is gone when the second gets the tenant."""
    states = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    folder = tmp_path_factory.mktemp("exports") / "acme"
    first = start(states[0])
    try:
        before = lived_in(first, tmp_path_factory.mktemp("work"), folder)
    finally:
        stop(states[0])
    second = start(states[1])
    try:
        listener = Listener(second, TENANT)
        imported = run("import", str(folder), "--state", str(second.state))
        again = folder.with_name("again")
        run("export", TENANT, str(again), "--state", str(second.state))
        yield World(first, second, folder, again, before, imported, listener)
    finally:
        stop(states[1])


@pytest.fixture(scope="module")
def alice(world: World) -> Iterator[Client]:
    with world.second.client("alice", tenant=TENANT) as client:
        yield client


def records(folder: Path, table: str) -> dict[tuple[str, str], Any]:
    lines = gzip.decompress((folder / "records" / f"{table}.jsonl.gz").read_bytes()).splitlines()
    found = (json.loads(line) for line in lines)
    return {(item["pk"]["S"], item["sk"]["S"]): item for item in found}


class TestAMove:
    def test_says_what_it_took_and_brought(self, world: World) -> None:
        assert world.before.exported["open"] == {"jobs": 1, "deployments": 1, "rollouts": 0, "transforms": 0, "runs": 0}
        assert world.imported["written"] == world.imported["records"]
        assert world.imported["brought"] == world.imported["objects"] == len(world.before.files)

    def test_has_every_job_with_its_metrics_and_its_whole_ledger(self, world: World, alice: Client) -> None:
        before = world.before
        jobs = {job.name: job for job in alice.jobs.list()}
        assert {name: job.status for name, job in jobs.items()} == {
            "churn": "completed",
            "bad": "failed",
            "stuck": "failed",
        }
        assert jobs["churn"].document["config"] == before.trained.document["config"]
        assert jobs["churn"].artifacts == before.trained.artifacts
        assert points(alice, before.trained.job_id) == before.metrics
        for job in jobs.values():
            assert alice.jobs.history(job.job_id).is_equal, job.name

    def test_a_job_that_was_running_has_failed_and_says_why(self, world: World, alice: Client) -> None:
        stuck = alice.jobs.get(world.before.stuck.job_id)
        assert "was open when it was exported" in str(stuck.failure_reason)

    def test_receipts_are_what_was_signed(self, world: World, alice: Client) -> None:
        key = (world.folder / "public-keys" / "1.pem").read_text(encoding="utf-8")
        assert key.strip() == world.before.key.strip()
        for job_id, receipt in world.before.receipts.items():
            if job_id in {job.job_id for job in alice.jobs.list()}:
                again = alice.costs.receipt(job_id)
                assert (again.document, again.problems(key)) == (receipt.document, [])

    def test_the_audit_log_is_whole_and_goes_on(self, world: World) -> None:
        environment = {
            "AIMATRIX_API": world.second.api,
            "AIMATRIX_TOKEN": world.second.token("root", "ADMIN", tenant=TENANT),
        }
        done = aimatrix("audit", "verify", "--json", environment=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        assert last_json(done.stdout)["head"]["seq"] >= len(
            [sk for _, sk in records(world.folder, "audit") if sk.startswith("row#")]
        )

    def test_the_quotas_fit_the_jobs(self, world: World) -> None:
        with world.second.client("root", "ADMIN", tenant=TENANT) as admin:
            found = admin.quotas.check()
            assert (found.differences, found.jobs) == ((), 4)

    def test_objects_are_the_same_bytes(self, world: World) -> None:
        there = files(world.second)
        assert {key: there.get(key) for key in world.before.files} == world.before.files

    def test_an_experiment_goes_on_counting(self, world: World, alice: Client) -> None:
        found = alice.experiments.count(world.before.experiment, counts("conversion", 100, 8, 9))
        assert (found.looks, [point.samples for point in found.points()]) == (2, [100, 200])


class TestWhatFollows:
    def test_the_model_is_deployed_anew_and_predicts_the_same(self, world: World, alice: Client) -> None:
        before = world.before
        old = alice.deployments.get(before.deployment)
        assert (old.status, "deploy the model again" in str(old.failure_reason)) == ("terminated", True)
        model = alice.models.get(before.model.id)
        assert (model.status, model.version) == ("ready", before.model.version)
        made = alice.models.deploy(model.id, DeploymentConfig("development", replicas=1))
        active = alice.deployments.wait(made.id, timeout=120)
        assert active.is_active(), active.failure_reason
        assert alice.deployments.predict(made.id, {"inputs": ROW})["predictions"] == before.predicted["predictions"]

    def test_only_what_happens_here_is_told(self, world: World, alice: Client, tmp_path: Path) -> None:
        job = scripts.run(alice, tmp_path, "print('here')\n", name="after")
        world.listener.until("training.job.status-changed", jobId=job.job_id, status="completed")
        told = [event["detail"]["jobId"] for event in world.listener.seen if "jobId" in event["detail"]]
        assert set(told) == {job.job_id}
        # So no policy was asked to deploy the model that came with the import.
        assert world.listener.of("training.model.ready") == []

    def test_a_stack_is_found_by_its_name_as_in_an_account(self, world: World, tmp_path: Path) -> None:
        settings = json.loads((world.second.state / "settings.json").read_text(encoding="utf-8"))
        account = {
            "AWS_ENDPOINT_URL": world.second.addresses["aws"],
            "AWS_ACCESS_KEY_ID": settings["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": settings["secret_access_key"],
        }
        words = ("export", TENANT, str(tmp_path / "acme"), "--region", "us-east-1", "--json", "--stack")
        absent = aimatrix(*words, "absent", environment=account)
        assert (absent.returncode, last_json(absent.stdout)["error"]["code"]) == (3, "not_found")
        done = aimatrix(*words, "aimatrix", environment=account)
        assert done.returncode == 0, done.stderr
        assert records(tmp_path / "acme", "metrics").items() >= records(world.folder, "metrics").items()

    def test_the_same_import_does_nothing_and_another_is_refused(self, world: World) -> None:
        state = str(world.second.state)
        assert run("import", str(world.folder), "--state", state)["was_done"]
        refused = run("import", str(world.again), "--state", state, code=5)
        assert "another export of the tenant acme was imported here" in refused["error"]["message"]

    def test_an_export_of_it_is_what_the_first_one_was_but_for_what_was_ended(self, world: World) -> None:
        for table in ("usage", "quotas", "metrics", "audit", "experiments"):
            assert records(world.again, table) == records(world.folder, table), table
        ended = {
            "jobs": {f"{TENANT}#{world.before.stuck.job_id}"},
            "models": {f"{TENANT}#{world.before.model.id}"},
            "deployments": {f"{TENANT}#{world.before.deployment}"},
        }
        for table, expected in ended.items():
            old, new = records(world.folder, table), records(world.again, table)
            assert {pk for pk, sk in {*old, *new} if old.get((pk, sk)) != new.get((pk, sk))} == expected, table
        old_objects, new_objects = (folder / "objects.jsonl.gz" for folder in (world.folder, world.again))
        assert old_objects.read_bytes() == new_objects.read_bytes()
