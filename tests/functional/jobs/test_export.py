"""A job's log and metrics as files in S3."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.audit.entry import Action
from chalicelib.errors import Forbidden, NotFound
from chalicelib.identity.caller import Caller
from chalicelib.jobs.export import TAKES_AT_MOST, Export, Exporting, ExportService, ExportStatus, ExportStore
from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.logs import LogReader
from tests.functional.jobs.conftest import ALICE, BUCKET, Jobs
from tests.functional.jobs.test_logs import EXIT, FakeLogs, Waiting

BOB = Caller("acme", "bob", frozenset({"USER"}))
VIEWER = Caller("acme", "vera", frozenset({"VIEWER"}))


@dataclass
class FakeFunction:
    """Remembers what it was called with, and can be away."""

    events: list[Mapping[str, Any]] = field(default_factory=list)
    is_away: bool = False

    def call(self, event: Mapping[str, Any]) -> None:
        if self.is_away:
            raise ConnectionError
        self.events.append(event)


class World:
    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self.logs, self.function = FakeLogs(), FakeFunction()
        client: Any = self.logs
        backends: Any = jobs.backends
        function: Any = self.function
        reader = LogReader(client, jobs.store, backends, lambda _: "group", jobs.clock, Waiting(jobs.clock))
        store = ExportStore(jobs.store.table)
        self.service = ExportService(jobs.service, store, lambda: function, jobs.log.recorder, jobs.clock)
        self.exporting = Exporting(jobs.store, store, reader, jobs.metrics, jobs.objects, jobs.clock)
        self.job_id = jobs.service.submit(ALICE, jobs.request(), None).job_id
        jobs.lifecycle.plan("acme", self.job_id)
        self.lines = self.logs.streams.setdefault(f"aimatrix-{self.job_id}-1/algo-1", [])

    def run_all(self) -> None:
        while self.function.events:
            event = self.function.events.pop(0)
            self.exporting.run(event["tenant"], event["job_id"])

    def end(self) -> None:
        self.lines.append(EXIT)
        self.jobs.backends.sagemaker.says(f"aimatrix-{self.job_id}-1", BackendState.COMPLETED, billable_seconds=1)
        self.jobs.finishing.finish("acme", self.job_id, None)

    def measure(self, points: int) -> None:
        attempt = self.jobs.store.attempt("acme", self.job_id, 1)
        assert attempt is not None
        said = {"j": f"acme#{self.job_id}", "n": 1, "k": attempt.token, "t": "metrics"}
        values = [["loss", float("nan") if step == 3 else 1 / (step + 1), step, None, step] for step in range(points)]
        assert self.jobs.reports.take(["#aimatrix " + json.dumps({**said, "points": values})]) == 0

    def export(self, caller: Caller = ALICE) -> Export:
        found = self.service.get(caller, self.job_id)
        assert found is not None
        return found

    def file(self, name: str) -> list[dict[str, Any]]:
        (key,) = (file.key for file in self.export().files if file.name == name)
        body = self.jobs.objects.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return [json.loads(line) for line in gzip.decompress(body).splitlines()]


@pytest.fixture
def world(jobs: Jobs) -> World:
    return World(jobs)


def test_has_every_line_and_every_point(world: World) -> None:
    world.lines += [f"line {number}" for number in range(2500)]
    world.measure(40)
    world.end()
    assert world.service.request(ALICE, world.job_id).status(world.jobs.clock()) is ExportStatus.RUNNING
    world.run_all()
    export = world.export()
    assert (export.status(world.jobs.clock()), export.is_whole) == (ExportStatus.COMPLETED, True)
    assert [each["message"] for each in world.file("logs.jsonl.gz")] == [f"line {number}" for number in range(2500)]
    points = world.file("metrics.jsonl.gz")
    assert [each["step"] for each in points] == list(range(40))
    assert points[3]["value"] == "NaN"
    assert [(file.name, file.lines) for file in export.files] == [("logs.jsonl.gz", 2500), ("metrics.jsonl.gz", 40)]
    assert all(file.size > 0 for file in export.files)


def test_of_a_job_that_goes_on_says_that_it_is_not_whole(world: World) -> None:
    world.lines += ["so far"]
    world.service.request(ALICE, world.job_id)
    world.run_all()
    assert not world.export().is_whole
    world.end()
    world.service.request(ALICE, world.job_id)
    world.run_all()
    assert world.export().is_whole


def test_asked_for_again_while_it_is_under_way_is_one(world: World) -> None:
    first = world.service.request(ALICE, world.job_id)
    world.jobs.clock.advance(60)
    assert world.service.request(ALICE, world.job_id) == first


def test_that_never_ended_has_failed_and_can_be_asked_for_again(world: World) -> None:
    world.function.is_away = True
    with pytest.raises(ConnectionError):
        world.service.request(ALICE, world.job_id)
    world.jobs.clock.advance(TAKES_AT_MOST.total_seconds())
    assert world.export().status(world.jobs.clock()) is ExportStatus.FAILED
    world.function.is_away = False
    world.service.request(ALICE, world.job_id)
    world.run_all()
    assert world.export().status(world.jobs.clock()) is ExportStatus.COMPLETED


def test_is_for_who_may_see_the_job_and_submit_one(world: World) -> None:
    with pytest.raises(NotFound):
        world.service.request(BOB, world.job_id)
    with pytest.raises(Forbidden):
        world.service.request(VIEWER, world.job_id)
    assert world.service.get(ALICE, world.job_id) is None
    assert not world.function.events
    world.service.request(ALICE, world.job_id)
    assert world.export(VIEWER).files == ()


def test_is_in_the_audit_log_and_goes_with_the_job(world: World) -> None:
    world.end()
    world.service.request(ALICE, world.job_id)
    world.run_all()
    assert [entry["action"] for entry in world.jobs.log.entries()].count(Action.EXPORT_JOB.value) == 1
    world.jobs.deletion.delete(Caller("acme", "root", frozenset({"ADMIN"})), world.job_id)
    listed = world.jobs.objects.client.list_objects_v2(Bucket=BUCKET, Prefix=f"tenants/acme/jobs/{world.job_id}/")
    assert listed["KeyCount"] == 0
    assert world.exporting.run("acme", world.job_id) is None
