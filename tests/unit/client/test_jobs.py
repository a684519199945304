from __future__ import annotations

import math
from collections import deque

import httpx
import pytest

from aimatrix.client import JobRequest, ResourceRequirements, ServiceError, UnreachableError, WaitTimeoutError
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

LOGS = "/logs"


def service_with_log(*pages: list[str]) -> FakeService:
    return FakeService(
        stages={JOB_ID: deque([job_document(status="running")])}, log=[log_lines(*page) for page in pages]
    )


class TestSubmit:
    def test_sends_what_was_said_and_nothing_that_was_not(self) -> None:
        service = FakeService()
        request = JobRequest(
            name="wine",
            framework="sklearn",
            script_path="s3://b/train.py",
            dataset_path="s3://b/wine.csv",
            parameters={"max_depth": 6},
            resource_requirements=ResourceRequirements(cpu_cores=2),
            metric_definitions={"loss": "loss=(.*)"},
            backend="batch",
        )

        client_of(service).jobs.submit(request)

        assert service.bodies("POST", "/training/jobs") == [
            {
                "name": "wine",
                "framework": "sklearn",
                "config": {
                    "script_path": "s3://b/train.py",
                    "dataset_path": "s3://b/wine.csv",
                    "parameters": {"max_depth": 6},
                    "resource_requirements": {"gpu_count": 0, "cpu_cores": 2},
                    "environment": {"backend": "batch"},
                    "metric_definitions": [{"name": "loss", "regex": "loss=(.*)"}],
                },
            }
        ]

    def test_uses_the_callers_own_idempotency_key(self) -> None:
        service = FakeService()

        client_of(service).jobs.submit(JobRequest("n", "custom", "s3://b/a", "s3://b/c"), idempotency_key="mine")

        assert service.requests[0].headers["idempotency-key"] == "mine"


class TestRead:
    def test_lists_over_pages(self) -> None:
        service = FakeService(stages={f"j{n}": deque([job_document(f"j{n}")]) for n in range(5)})

        assert [job.job_id for job in client_of(service).jobs.list()] == ["j0", "j1", "j2", "j3", "j4"]
        assert len(service.requests) == 3

    def test_fetches_no_page_that_nobody_reads(self) -> None:
        service = FakeService(stages={f"j{n}": deque([job_document(f"j{n}")]) for n in range(5)})

        next(client_of(service).jobs.list())

        assert len(service.requests) == 1

    def test_goes_past_an_empty_page(self) -> None:
        service = FakeService(stages={"j": deque([job_document("j")])})
        service.faults = [
            Fault("GET", "jobs", httpx.Response(200, json={"jobs": [], "next_cursor": "0"})),
        ]

        assert [job.job_id for job in client_of(service).jobs.list()] == ["j"]

    def test_ends_where_a_cursor_leads_to_itself(self) -> None:
        service = FakeService()
        service.faults = [Fault("GET", "jobs", httpx.Response(200, json={"jobs": [], "next_cursor": "x"}))] * 2

        assert list(client_of(service).jobs.list()) == []

    def test_keeps_fields_it_does_not_know(self) -> None:
        service = FakeService(stages={JOB_ID: deque([job_document(colour="green")])})

        assert client_of(service).jobs.get(JOB_ID).document["colour"] == "green"

    def test_reads_metrics_that_are_no_numbers(self) -> None:
        service = FakeService(points=[point("loss", "NaN"), point("gain", "-Infinity"), point("loss", 0.5, 2)])

        first, second, third = client_of(service).jobs.metrics(JOB_ID)

        assert math.isnan(first.value)
        assert second.value == -math.inf
        assert (third.value, third.step) == (0.5, 2)
        assert [each.to_document()["value"] for each in (first, second, third)] == ["NaN", "-Infinity", 0.5]

    def test_an_id_cannot_leave_its_place_in_the_path(self) -> None:
        service = FakeService()

        with pytest.raises(Exception, match="no "):
            client_of(service).jobs.get("../models?x=1")
        assert service.requests[0].url.raw_path == b"/api/v1/training/jobs/..%2Fmodels%3Fx%3D1"


class TestFollowLogs:
    def test_gives_every_line_once_in_order_until_the_last(self) -> None:
        service = service_with_log(["a", "b"], [], ["c"])

        assert [entry.message for entry in client_of(service).jobs.follow_logs(JOB_ID)] == ["a", "b", "c"]

    def test_asks_for_a_long_poll_and_for_ndjson(self) -> None:
        service = service_with_log(["a"])

        list(client_of(service).jobs.follow_logs(JOB_ID))

        assert service.requests[0].url.params["follow"] == "true"
        assert service.requests[0].headers["accept"] == "application/x-ndjson"

    @pytest.mark.parametrize("error", [httpx.ReadError("reset"), httpx.RemoteProtocolError("peer closed")])
    def test_a_dropped_connection_neither_loses_nor_repeats_a_line(self, error: httpx.TransportError) -> None:
        service = service_with_log(["a", "b"], ["c"], ["d"])
        service.faults = [Fault("GET", "cursor=1", error, handled=True)] * 4

        assert [entry.message for entry in client_of(service).jobs.follow_logs(JOB_ID)] == ["a", "b", "c", "d"]

    def test_survives_an_outage_longer_than_the_retries_of_one_call(self) -> None:
        service = service_with_log(["a"], ["b"])
        service.faults = [Fault("GET", "cursor=1", httpx.ConnectError("refused"))] * 12

        assert [entry.message for entry in client_of(service).jobs.follow_logs(JOB_ID)] == ["a", "b"]

    def test_gives_up_in_the_end(self) -> None:
        service = service_with_log(["a"], ["b"])
        service.faults = [Fault("GET", "cursor=1", httpx.ConnectError("refused"))] * 1000

        with pytest.raises(UnreachableError):
            list(client_of(service).jobs.follow_logs(JOB_ID))

    def test_a_line_that_was_cut_short_is_fetched_again_whole(self) -> None:
        service = service_with_log(["a"], ["b"])
        cut = httpx.Response(200, text='{"message": "b', headers={"X-Next-Cursor": "2", "X-Stream-End": "true"})
        service.faults = [Fault("GET", "cursor=1", cut)]

        assert [entry.message for entry in client_of(service).jobs.follow_logs(JOB_ID)] == ["a", "b"]

    def test_goes_on_from_a_cursor(self) -> None:
        service = service_with_log(["a"], ["b"], ["c"])

        assert [entry.message for entry in client_of(service).jobs.follow_logs(JOB_ID, "1")] == ["b", "c"]

    def test_does_not_ask_in_a_tight_loop_when_answers_are_empty_and_quick(self) -> None:
        service, clock = service_with_log([], [], [], ["a"]), Clock()

        assert [entry.message for entry in client_of(service, clock).jobs.follow_logs(JOB_ID)] == ["a"]
        assert clock.sleeps == [0.5, 0.5, 0.5]

    def test_a_missing_job_is_told_at_once(self) -> None:
        service = FakeService()

        with pytest.raises(Exception, match="no job"):
            list(client_of(service).jobs.follow_logs("gone"))
        assert len(service.requests) == 1

    def test_without_follow_it_ends_with_what_is_there(self) -> None:
        service = service_with_log(["a"], ["b"])
        service.log_ends = False

        assert [entry.message for entry in client_of(service).jobs.logs(JOB_ID)] == ["a", "b"]

    def test_a_service_that_keeps_failing_is_told(self) -> None:
        service = service_with_log(["a"])
        service.faults = [Fault("GET", LOGS, problem(500, detail="broken"))] * 100

        with pytest.raises(ServiceError, match="broken"):
            list(client_of(service).jobs.follow_logs(JOB_ID))


class TestWait:
    def test_ends_when_the_job_has_finished(self) -> None:
        stages = [job_document(status=status) for status in ("pending", "running", "running", "failed")]
        service, clock = FakeService(stages={JOB_ID: deque(stages)}), Clock()

        job = client_of(service, clock).jobs.wait(JOB_ID)

        assert (job.status, job.succeeded()) == ("failed", False)
        assert len(clock.sleeps) == 3

    def test_asks_ever_less_often_but_never_less_than_every_two_seconds(self) -> None:
        stages = [job_document(status="running")] * 30 + [job_document(status="completed")]
        service, clock = FakeService(stages={JOB_ID: deque(stages)}), Clock()

        client_of(service, clock).jobs.wait(JOB_ID)

        assert clock.sleeps == sorted(clock.sleeps)
        assert max(clock.sleeps) == 2.0

    def test_gives_up_when_its_time_is_over(self) -> None:
        service, clock = FakeService(stages={JOB_ID: deque([job_document(status="running")])}), Clock()

        with pytest.raises(WaitTimeoutError, match="goes on"):
            client_of(service, clock).jobs.wait(JOB_ID, timeout=10)
        assert clock.seconds <= 10
