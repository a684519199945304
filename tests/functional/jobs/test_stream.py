"""All that happens to a job, as one stream with one cursor."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from chalicelib.cursor import Cursor
from chalicelib.errors import InvalidRequest
from chalicelib.jobs import views
from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.logs import LogReader
from chalicelib.jobs.stream import LATE_CHANGES, JobStream, StreamPosition
from tests.functional.jobs.conftest import ALICE, Jobs
from tests.functional.jobs.test_ledger import Stream
from tests.functional.jobs.test_logs import FakeLogs, Waiting


class World:
    """A job with one attempt, its log and its ledger."""

    def __init__(self, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
        self.jobs = jobs
        self.told = Stream(jobs, monkeypatch)
        self.logs = FakeLogs()
        self.waiting = Waiting(jobs.clock)
        client: Any = self.logs
        backends: Any = jobs.backends
        reader = LogReader(client, jobs.store, backends, lambda _: "group", jobs.clock, self.waiting)
        self.stream = JobStream(reader, self.told.ledger, jobs.store, jobs.clock, self.waiting)
        self.job_id = jobs.service.submit(ALICE, jobs.request(), None).job_id
        jobs.lifecycle.plan("acme", self.job_id)
        attempt = jobs.store.attempt("acme", self.job_id, 1)
        assert attempt is not None
        self.token = attempt.token
        self.lines = self.logs.streams.setdefault(f"aimatrix-{self.job_id}-1/algo-1", [])

    def print(self, *lines: str) -> None:
        self.lines += lines

    def tell(self, kind: str, token: str | None = None, **values: Any) -> None:
        said = {"j": f"acme#{self.job_id}", "n": 1, "k": token or self.token, "t": kind, **values}
        self.print("#aimatrix " + json.dumps(said))

    def run(self) -> None:
        self.jobs.backends.sagemaker.says(f"aimatrix-{self.job_id}-1", BackendState.RUNNING)
        self.jobs.lifecycle.observe("acme", self.job_id, 1)

    def end(self) -> None:
        self.tell("exit", code=0)
        self.jobs.backends.sagemaker.says(f"aimatrix-{self.job_id}-1", BackendState.COMPLETED, billable_seconds=1)
        self.jobs.finishing.finish("acme", self.job_id, None)

    def deliver(self) -> None:
        """The table's stream reaches the ledger."""
        self.told.deliver()

    def read(self, cursor: str | None = None, limit: int = 1000) -> tuple[list[dict[str, Any]], str, bool]:
        job = self.jobs.store.get("acme", self.job_id)
        assert job is not None
        page = self.stream.read(job, StreamPosition.from_text(cursor), limit)
        shown = [document for record in page.records for document in views.record(record)]
        return shown, page.position.to_cursor().encode(), page.is_end


@pytest.fixture
def world(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(jobs, monkeypatch)


def test_has_lines_metrics_and_states_and_says_its_end(world: World) -> None:
    world.run()
    world.print("epoch 1")
    world.tell("metrics", points=[["loss", 0.5, 1, None, 1], ["loss", float("nan"), 2, None, 2]])
    world.print("epoch 2")
    world.end()
    world.deliver()
    shown, _, is_end = world.read()
    assert is_end
    by_type = {kind: [each for each in shown if each["type"] == kind] for kind in ("log", "metric", "state")}
    assert [each["message"] for each in by_type["log"]] == ["epoch 1", "epoch 2"]
    assert [(each["name"], each["value"], each["step"]) for each in by_type["metric"]] == [
        ("loss", 0.5, 1),
        ("loss", "NaN", 2),
    ]
    states = [each["state"] for each in by_type["state"]]
    assert (states[0], states[-1]) == ("pending", "completed")
    assert "running" in states
    order = [each.get("message") or each.get("name") for each in shown if each["type"] != "state"]
    assert order == ["epoch 1", "loss", "loss", "epoch 2"]


def test_cut_off_anywhere_is_the_same_as_whole(world: World) -> None:
    world.run()
    for number in range(300):
        world.print(f"line {number}")
        if number % 7 == 0:
            world.tell("metrics", points=[["loss", 1 / (number + 1), number, None, number]])
    world.end()
    world.deliver()
    whole, _, _ = world.read(limit=10_000)
    chance = random.Random(3)  # noqa: S311
    pieces: list[dict[str, Any]] = []
    cursor, is_end = None, False
    while not is_end:
        shown, following, ended = world.read(cursor, chance.randint(1, 40))
        if chance.random() < 0.3:
            continue  # cut off: what was not read whole is asked for again
        pieces += shown
        cursor, is_end = following, ended

    def told(shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [each for each in shown if each["type"] != "state"]

    assert told(pieces) == told(whole)
    versions = [each["version"] for each in pieces if each["type"] == "state"]
    assert versions == list(range(1, len(versions) + 1))


def test_does_not_end_before_the_last_change_is_told(world: World) -> None:
    world.run()
    world.end()
    shown, cursor, is_end = world.read()
    assert (shown, is_end) == ([], False)
    world.deliver()
    shown, _, is_end = world.read(cursor)
    assert shown[-1]["state"] == "completed"
    assert is_end


def test_ends_although_a_change_was_never_told(world: World) -> None:
    world.end()
    world.jobs.clock.advance(LATE_CHANGES.total_seconds())
    assert world.read()[2]


def test_shows_no_metric_that_a_script_made_up_for_another_job(world: World) -> None:
    world.tell("metrics", token="guessed", points=[["loss", 0.5, 1, None, 1]])
    assert [each for each in world.read()[0] if each["type"] == "metric"] == []


def test_waits_for_what_comes(world: World) -> None:
    job = world.jobs.store.get("acme", world.job_id)
    assert job is not None
    world.waiting.then = lambda: world.print("at last")
    page = world.stream.follow(job, StreamPosition.from_text(None), 100, seconds=5)
    (record,) = page.records
    assert [each["message"] for each in views.record(record)] == ["at last"]


@pytest.mark.parametrize("change", [{"v": -1}, {"v": "1"}, {"a": 0}, {"i": "../other"}, {"x": 1}])
def test_takes_no_cursor_that_was_changed(world: World, change: dict[str, Any]) -> None:
    _, text, _ = world.read()
    cursor = Cursor.decode(text)
    assert cursor is not None
    with pytest.raises(InvalidRequest):
        StreamPosition.from_text(Cursor({**cursor.key, **change}).encode())


def test_takes_no_cursor_of_another_list(world: World) -> None:
    with pytest.raises(InvalidRequest):
        StreamPosition.from_text(Cursor({"pk": "a", "sk": "b"}).encode())
