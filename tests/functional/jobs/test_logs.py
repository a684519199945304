"""Reading and following what a script printed, with one cursor over all attempts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.cursor import Cursor
from chalicelib.errors import InvalidRequest
from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.logs import LogEntry, LogReader, Position
from tests.functional.jobs.conftest import ALICE, FakeClock, Jobs

EXIT = '#aimatrix {"j":"acme#1","n":1,"k":"t","t":"exit","code":0}'


@dataclass
class FakeLogs:
    """CloudWatch Logs as far as a reader sees it: streams of messages, and tokens that stay the same at the end."""

    streams: dict[str, list[str]] = field(default_factory=dict)
    page: int = 100
    looks: int = 0

    class exceptions:  # noqa: N801  botocore's name
        class ResourceNotFoundException(Exception):
            pass

        class InvalidParameterException(Exception):
            pass

    def describe_log_streams(self, *, logGroupName: str, logStreamNamePrefix: str, limit: int) -> Any:  # noqa: N803
        names = sorted(name for name in self.streams if name.startswith(logStreamNamePrefix))
        return {"logStreams": [{"logStreamName": name} for name in names[:limit]]}

    def get_log_events(self, *, logStreamName: str, limit: int, nextToken: str = "f/0", **_: Any) -> Any:  # noqa: N803
        self.looks += 1
        if not nextToken.startswith("f/"):
            raise self.exceptions.InvalidParameterException
        if logStreamName not in self.streams:
            raise self.exceptions.ResourceNotFoundException
        start = int(nextToken.removeprefix("f/"))
        found = self.streams[logStreamName][start : start + min(limit, self.page)]
        events = [{"timestamp": 1000 + start + offset, "message": message} for offset, message in enumerate(found)]
        return {"events": events, "nextForwardToken": f"f/{start + len(found)}"}


@dataclass
class Waiting:
    """A sleep that advances the clock and lets the script print meanwhile."""

    clock: FakeClock
    then: Any = None
    slept: float = 0

    def __call__(self, seconds: float) -> None:
        self.slept += seconds
        self.clock.advance(seconds)
        if self.then:
            self.then()


@pytest.fixture
def logs() -> FakeLogs:
    return FakeLogs()


@pytest.fixture
def reader(jobs: Jobs, logs: FakeLogs) -> LogReader:
    return LogReader(logs, jobs.store, jobs.backends, lambda _: "group", jobs.clock, Waiting(jobs.clock))  # type: ignore[arg-type]


def _job(jobs: Jobs, attempts: int = 1) -> str:
    job_id = jobs.service.submit(ALICE, jobs.request(), None).job_id
    for number in range(1, attempts + 1):
        jobs.lifecycle.plan("acme", job_id)
        jobs.backends.sagemaker.says(f"aimatrix-{job_id}-{number}", BackendState.FAILED, reason="InternalServerError")
        if number < attempts:
            jobs.lifecycle.assess("acme", job_id, number, None)
    return job_id


def _texts(entries: tuple[LogEntry, ...]) -> list[str]:
    return [entry.message for entry in entries]


class TestRead:
    def test_shows_what_the_script_printed_and_nothing_of_the_agent(
        self, jobs: Jobs, reader: LogReader, logs: FakeLogs
    ) -> None:
        job_id = _job(jobs)
        logs.streams[f"aimatrix-{job_id}-1/algo-1-1"] = ["one", '#aimatrix {"t":"metrics"}', "two"]
        page = reader.read(jobs.service.get(ALICE, job_id), Position(), 100)
        assert _texts(page.entries) == ["one", "two"]
        assert not page.is_end

    def test_goes_on_from_the_cursor_without_loss_or_repeat(
        self, jobs: Jobs, reader: LogReader, logs: FakeLogs
    ) -> None:
        job_id = _job(jobs)
        stream = logs.streams.setdefault(f"aimatrix-{job_id}-1/algo-1-1", [str(number) for number in range(25)])
        seen: list[str] = []
        cursor = None
        for _ in range(10):
            page = reader.read(jobs.service.get(ALICE, job_id), Position.from_text(cursor), 7)
            seen += _texts(page.entries)
            cursor = page.position.to_cursor().encode()
            if len(stream) < 30:
                stream.append(str(len(stream)))
        assert seen == [str(number) for number in range(30)]

    def test_goes_through_all_attempts_in_order(self, jobs: Jobs, reader: LogReader, logs: FakeLogs) -> None:
        job_id = _job(jobs, attempts=2)
        logs.streams[f"aimatrix-{job_id}-1/algo-1-1"] = ["first", EXIT]
        logs.streams[f"aimatrix-{job_id}-2/algo-1-9"] = ["second", EXIT]
        jobs.finishing.finish("acme", job_id, None)
        page = reader.read(jobs.service.get(ALICE, job_id), Position(), 100)
        assert [(entry.attempt, entry.message) for entry in page.entries] == [(1, "first"), (2, "second")]
        assert page.is_end

    def test_reads_one_attempt_to_its_own_end(self, jobs: Jobs, reader: LogReader, logs: FakeLogs) -> None:
        job_id = _job(jobs, attempts=2)
        logs.streams[f"aimatrix-{job_id}-1/algo-1-1"] = ["first", EXIT]
        logs.streams[f"aimatrix-{job_id}-2/algo-1-9"] = ["second"]
        job = jobs.service.get(ALICE, job_id)
        first, second = (reader.read(job, Position.from_text(None, only), 100, only) for only in (1, 2))
        assert (_texts(first.entries), first.is_end) == (["first"], True)
        assert (_texts(second.entries), second.is_end) == (["second"], False)
        with pytest.raises(InvalidRequest):
            Position.from_text(first.position.to_cursor().encode(), 2)

    def test_is_not_at_the_end_before_the_job_is_finished(self, jobs: Jobs, reader: LogReader, logs: FakeLogs) -> None:
        job_id = _job(jobs)
        logs.streams[f"aimatrix-{job_id}-1/algo-1-1"] = ["one", EXIT]
        assert not reader.read(jobs.service.get(ALICE, job_id), Position(), 100).is_end
        jobs.finishing.finish("acme", job_id, None)
        assert reader.read(jobs.service.get(ALICE, job_id), Position(), 100).is_end

    def test_gives_the_last_lines_of_a_killed_machine_time_to_arrive(
        self, jobs: Jobs, reader: LogReader, logs: FakeLogs
    ) -> None:
        job_id = _job(jobs)
        logs.streams[f"aimatrix-{job_id}-1/algo-1-1"] = ["one"]
        jobs.finishing.finish("acme", job_id, None)
        job = jobs.service.get(ALICE, job_id)
        assert not reader.read(job, Position(), 100).is_end
        jobs.clock.advance(11)
        assert reader.read(job, Position(), 100).is_end

    def test_of_a_job_that_never_ran_is_empty_and_ended(self, jobs: Jobs, reader: LogReader) -> None:
        job_id = jobs.service.submit(ALICE, jobs.request(), None).job_id
        job = jobs.finishing.finish("acme", job_id, "never planned")
        assert reader.read(job, Position(), 100).is_end

    def test_never_leads_into_the_log_of_another_job(self, jobs: Jobs, reader: LogReader, logs: FakeLogs) -> None:
        mine, theirs = _job(jobs), _job(jobs)
        logs.streams[f"aimatrix-{theirs}-1/algo-1-1"] = ["secret"]
        for instance in ("algo-1-1", f"../aimatrix-{theirs}-1/algo-1-1", f"aimatrix-{theirs}-1/algo-1-1"):
            cursor = Cursor({"a": 1, "i": instance, "t": "", "e": 0}).encode()
            try:
                page = reader.read(jobs.service.get(ALICE, mine), Position.from_text(cursor), 100)
            except InvalidRequest:
                continue
            assert page.entries == ()

    @pytest.mark.parametrize("key", [{"a": 0}, {"a": 10**9}, {"t": "junk"}, {"i": "x" * 200}, {"i": "a/b"}])
    def test_refuses_a_cursor_that_was_tampered_with(
        self, jobs: Jobs, reader: LogReader, logs: FakeLogs, key: dict[str, Any]
    ) -> None:
        job_id = _job(jobs)
        logs.streams[f"aimatrix-{job_id}-1/algo-1-1"] = ["one"]
        cursor = Cursor({"a": 1, "i": "algo-1-1", "t": "", "e": 0, **key}).encode()
        with pytest.raises(InvalidRequest, match="cursor"):
            reader.read(jobs.service.get(ALICE, job_id), Position.from_text(cursor), 100)

    def test_refuses_a_made_up_cursor(self) -> None:
        with pytest.raises(InvalidRequest, match="cursor"):
            Position.from_text("eyJhIjoxfQ")


class TestFollow:
    def test_waits_for_the_next_line(self, jobs: Jobs, reader: LogReader, logs: FakeLogs) -> None:
        job_id = _job(jobs)
        stream = logs.streams.setdefault(f"aimatrix-{job_id}-1/algo-1-1", [])
        waiting = Waiting(jobs.clock, then=lambda: stream.append("at last") if jobs.clock().second >= 2 else None)
        following = LogReader(reader.client, reader.store, reader.backends, reader.group_of, jobs.clock, waiting)
        page = following.follow(jobs.service.get(ALICE, job_id), Position(), 100, 20)
        assert _texts(page.entries) == ["at last"]
        assert 1.5 < waiting.slept < 4

    def test_gives_up_after_its_time_with_a_position_to_go_on_from(
        self, jobs: Jobs, reader: LogReader, logs: FakeLogs
    ) -> None:
        job_id = _job(jobs)
        logs.streams[f"aimatrix-{job_id}-1/algo-1-1"] = []
        page = reader.follow(jobs.service.get(ALICE, job_id), Position(), 100, 20)
        assert (page.entries, page.is_end) == ((), False)
        assert logs.looks < 40


@pytest.mark.parametrize(
    ("message", "level"),
    [
        ("2026-03-01 12:00:00 WARNING mlflow: slow", "WARNING"),
        ("ERROR: no rows", "ERROR"),
        ("Traceback (most recent call last):", "ERROR"),
        ("FATAL error", "CRITICAL"),
        ("INFORMATION is not a level", "INFO"),
        ("epoch 1 loss 0.5", "INFO"),
    ],
)
def test_the_level_is_what_the_line_says(message: str, level: str, jobs: Jobs) -> None:
    assert LogEntry(jobs.clock(), message, 1).level == level
