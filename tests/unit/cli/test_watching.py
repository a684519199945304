from __future__ import annotations

from collections import deque

import httpx
import pytest

from aimatrix.cli.watching import Changed, Event, Measured, Printed, Watch
from aimatrix.client import Job, NotFoundError
from tests.unit.client.fake_service import (
    JOB_ID,
    Clock,
    FakeService,
    Fault,
    client_of,
    job_document,
    log_lines,
    point,
    problem,
)


def watch(service: FakeService, cursor: str | None = None) -> Watch:
    clock = Clock()
    job = Job.from_document(job_document())
    return Watch(client_of(service, clock), job, cursor, monotonic=clock.monotonic, sleep=clock.sleep)


def lines(events: list[Event]) -> list[str]:
    return [entry.message for event in events if isinstance(event, Printed) for entry in event.entries]


def running_then_completed() -> deque[dict[str, object]]:
    return deque(
        [
            job_document(status="running", secondary_status="Downloading"),
            job_document(status="running", secondary_status="Training", progress={"percentage_complete": 50.0}),
            job_document(status="completed"),
        ]
    )


class TestWatch:
    def test_gives_each_line_once_and_ends_with_the_finished_job(self) -> None:
        service = FakeService(stages={JOB_ID: running_then_completed()}, log=[log_lines("a", "b"), [], log_lines("c")])

        events = list(watch(service))

        assert lines(events) == ["a", "b", "c"]
        assert isinstance(events[-1], Changed)
        assert events[-1].job.status == "completed"

    def test_tells_each_change_of_status_once(self) -> None:
        service = FakeService(stages={JOB_ID: running_then_completed()}, log=[log_lines("a")])

        told = [(each.job.status, each.job.secondary_status) for each in watch(service) if isinstance(each, Changed)]

        assert told == [
            ("pending", None),
            ("running", "Downloading"),
            ("running", "Training"),
            ("completed", None),
        ]

    def test_gives_each_point_once_in_the_order_of_time(self) -> None:
        points = [point("b", 1.0, 1, 2), point("a", 0.5, 1, 1), point("a", 0.7, 2, 3)]
        service = FakeService(stages={JOB_ID: running_then_completed()}, log=[[]], points=points)

        measured = [metric for event in watch(service) if isinstance(event, Measured) for metric in event.metrics]

        assert [(metric.name, metric.value) for metric in measured] == [("a", 0.5), ("b", 1.0), ("a", 0.7)]

    def test_a_dropped_connection_does_not_show(self) -> None:
        service = FakeService(stages={JOB_ID: running_then_completed()}, log=[log_lines("a"), log_lines("b")])
        service.faults = [Fault("GET", "cursor=1", httpx.ReadError("reset"), handled=True)] * 3

        assert lines(list(watch(service))) == ["a", "b"]

    def test_goes_on_from_a_cursor(self) -> None:
        service = FakeService(stages={JOB_ID: running_then_completed()}, log=[log_lines("a"), log_lines("b")])

        assert lines(list(watch(service, "1"))) == ["b"]

    def test_knows_where_it_was_when_it_is_left(self) -> None:
        service = FakeService(
            stages={JOB_ID: running_then_completed()}, log=[log_lines("a"), log_lines("b"), log_lines("c")]
        )
        left = watch(service)
        for event in left:
            if isinstance(event, Printed):
                break

        rest = watch(FakeService(stages={JOB_ID: running_then_completed()}, log=service.log), left.cursor)

        assert lines(list(rest)) == ["b", "c"]

    def test_an_error_of_the_reading_thread_reaches_whoever_iterates(self) -> None:
        service = FakeService(stages={JOB_ID: running_then_completed()})
        service.faults = [Fault("GET", "/logs", problem(404, "not-found", "gone"))]

        with pytest.raises(NotFoundError, match="gone"):
            list(watch(service))
