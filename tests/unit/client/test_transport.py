"""Retries, tokens and problems, below every call."""

from __future__ import annotations

import httpx
import pytest

from aimatrix.client import (
    ConflictError,
    ForbiddenError,
    InvalidRequestError,
    JobRequest,
    NotAuthenticatedError,
    NotFoundError,
    QuotaExceededError,
    RetryPolicy,
    ServiceError,
    UnreachableError,
)
from tests.unit.client.fake_service import JOB_ID, TOKEN, Clock, FakeService, Fault, client_of, problem

REQUEST = JobRequest("wine", "sklearn", "s3://b/train.py", "s3://b/wine.csv")
JOBS = r"/training/jobs(\?|$)"


class TestRetries:
    @pytest.mark.parametrize("status", [429, 502, 503, 504])
    def test_a_passing_failure_of_a_read_does_not_show(self, status: int) -> None:
        service, clock = FakeService(), Clock()
        service.faults = [Fault("GET", JOBS, httpx.Response(status))] * 2

        assert list(client_of(service, clock).jobs.list()) == []
        assert len(service.requests) == 3
        assert len(clock.sleeps) == 2

    @pytest.mark.parametrize("error", [httpx.ConnectError("refused"), httpx.ReadError("reset"), httpx.ReadTimeout("")])
    def test_a_broken_connection_of_a_read_does_not_show(self, error: httpx.TransportError) -> None:
        service = FakeService(faults=[Fault("GET", JOBS, error)])

        assert list(client_of(service).jobs.list()) == []
        assert len(service.requests) == 2

    def test_an_outage_ends_in_unreachable_after_the_last_attempt(self) -> None:
        service = FakeService(faults=[Fault("GET", JOBS, httpx.ConnectError("refused"))] * 9)

        with pytest.raises(UnreachableError, match="refused"):
            list(client_of(service, policy=RetryPolicy(attempts=4)).jobs.list())
        assert len(service.requests) == 4

    def test_an_internal_error_is_not_repeated(self) -> None:
        service = FakeService(faults=[Fault("GET", JOBS, problem(500, detail="broken"))])

        with pytest.raises(ServiceError, match="broken"):
            list(client_of(service).jobs.list())
        assert len(service.requests) == 1

    def test_a_submission_whose_answer_was_lost_makes_one_job(self) -> None:
        service = FakeService(faults=[Fault("POST", JOBS, httpx.ReadError("reset"), handled=True)])

        job = client_of(service).jobs.submit(REQUEST)

        assert job.job_id == JOB_ID
        assert len(service.submitted) == 1
        first, second = (request.headers["idempotency-key"] for request in service.requests)
        assert first == second

    def test_two_submissions_have_two_keys(self) -> None:
        service = FakeService()
        client = client_of(service)

        assert client.jobs.submit(REQUEST).job_id != client.jobs.submit(REQUEST).job_id

    def test_a_deployment_whose_answer_was_lost_is_not_sent_again(self) -> None:
        service = FakeService(faults=[Fault("POST", "/invocations$", httpx.ReadError("reset"))])

        with pytest.raises(UnreachableError):
            client_of(service).deployments.predict("d", {"inputs": [[1]]})
        assert len(service.requests) == 1

    def test_a_refused_connection_carried_nothing_so_any_call_is_sent_again(self) -> None:
        service = FakeService(faults=[Fault("POST", "/invocations$", httpx.ConnectError("refused"))])

        assert client_of(service).deployments.predict("d", {"inputs": [[1]]}) == {"predictions": [0]}

    def test_waits_as_long_as_the_service_says(self) -> None:
        service, clock = FakeService(), Clock()
        service.faults = [Fault("GET", JOBS, httpx.Response(503, headers={"Retry-After": "7"}))]

        list(client_of(service, clock).jobs.list())

        assert 7 <= clock.sleeps[0] < 8

    def test_an_exhausted_quota_is_told_at_once(self) -> None:
        service = FakeService(faults=[Fault("POST", JOBS, problem(429, "quota-exceeded", "5 of 5 concurrent jobs"))])

        with pytest.raises(QuotaExceededError, match="5 of 5"):
            client_of(service).jobs.submit(REQUEST)
        assert len(service.requests) == 1

    @pytest.mark.parametrize("when", ["2", "Thu, 01 May 2031 10:00:30 GMT", "Thu, 01 May 2025 10:00:30 GMT"])
    def test_an_exhausted_quota_is_told_at_once_whatever_it_says_about_later(self, when: str) -> None:
        limit = {"scope": "user", "limit": "max_concurrent_jobs", "unit": "jobs", "limit_value": 5, "used": 5}
        refusal = problem(
            429,
            "quota-exceeded",
            headers={"Retry-After": when},
            limits=[{**limit, "requested": 1, "fits_at": "2031-05-01T10:00:30Z"}],
            fits_at="2031-05-01T10:00:30Z",
        )
        service, clock = FakeService(faults=[Fault("POST", JOBS, refusal)]), Clock()

        with pytest.raises(QuotaExceededError) as caught:
            client_of(service, clock).jobs.submit(REQUEST)
        assert (len(service.requests), clock.sleeps) == (1, [])
        assert caught.value.fits_at == "2031-05-01T10:00:30Z"
        (exceeded,) = caught.value.limits
        assert (exceeded.scope, exceeded.limit, exceeded.used, exceeded.requested) == (
            "user",
            "max_concurrent_jobs",
            5,
            1,
        )

    def test_a_call_that_was_throttled_is_sent_again_when_the_service_says(self) -> None:
        service, clock = FakeService(), Clock()
        service.faults = [Fault("POST", JOBS, problem(429, "throttled", headers={"Retry-After": "2"}))]

        assert client_of(service, clock).jobs.submit(REQUEST).job_id == JOB_ID
        assert 2 <= clock.sleeps[0] < 3


class TestTokens:
    def test_an_expired_token_is_renewed_once_and_the_call_repeated(self) -> None:
        service, given = FakeService(), iter(["expired", TOKEN])

        assert list(client_of(service, token=lambda: next(given)).jobs.list()) == []
        assert [request.headers["authorization"] for request in service.requests] == [
            "Bearer expired",
            f"Bearer {TOKEN}",
        ]

    def test_a_token_that_stays_wrong_is_told(self) -> None:
        service = FakeService()

        with pytest.raises(NotAuthenticatedError):
            list(client_of(service, token=lambda: "wrong").jobs.list())
        assert len(service.requests) == 1

    def test_no_token_sends_no_header(self) -> None:
        service = FakeService()

        with pytest.raises(NotAuthenticatedError):
            client_of(service, token=lambda: None).health()
        assert "authorization" not in service.requests[0].headers


class TestProblems:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, InvalidRequestError),
            (403, ForbiddenError),
            (404, NotFoundError),
            (409, ConflictError),
            (413, InvalidRequestError),
            (422, InvalidRequestError),
            (500, ServiceError),
        ],
    )
    def test_each_status_has_its_class(self, status: int, kind: type[Exception]) -> None:
        service = FakeService(faults=[Fault("POST", JOBS, problem(status))])

        with pytest.raises(kind):
            client_of(service).jobs.submit(REQUEST)

    def test_an_error_names_fields_cures_and_the_request(self) -> None:
        field = {"field": "config.script_path", "message": "is not there", "cure": "upload it first"}
        answer = problem(400, "invalid-request", "1 field is wrong", errors=[field], request_id="r-7")
        service = FakeService(faults=[Fault("POST", JOBS, answer)])

        with pytest.raises(InvalidRequestError) as caught:
            client_of(service).jobs.submit(REQUEST)

        error = caught.value
        assert (error.code, error.request_id, error.status) == ("invalid-request", "r-7", 400)
        assert error.errors[0].field == "config.script_path"
        assert "config.script_path: is not there (upload it first)" in str(error)

    @pytest.mark.parametrize(
        ("answer", "detail"),
        [
            (httpx.Response(403, json={"Message": "User is not authorized"}), "User is not authorized"),
            (httpx.Response(403, text="<html>a proxy</html>"), "the service answered 403 Forbidden"),
            (httpx.Response(403, json=["odd"]), "the service answered 403 Forbidden"),
            (httpx.Response(403, json={"detail": 7, "errors": "odd"}), "the service answered 403 Forbidden"),
        ],
    )
    def test_a_refusal_that_is_no_problem_document_is_told_all_the_same(
        self, answer: httpx.Response, detail: str
    ) -> None:
        service = FakeService(faults=[Fault("GET", JOBS, answer)])

        with pytest.raises(ForbiddenError) as caught:
            list(client_of(service).jobs.list())
        assert caught.value.detail == detail

    def test_a_success_that_is_no_json_object_is_a_fault_of_the_service(self) -> None:
        service = FakeService(faults=[Fault("GET", JOBS, httpx.Response(200, text="<html>"))])

        with pytest.raises(ServiceError, match="isn't a JSON object"):
            list(client_of(service).jobs.list())
