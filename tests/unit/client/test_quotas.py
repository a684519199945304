"""Quotas as values, and the calls about them."""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from urllib.parse import unquote

import httpx
import pytest

from aimatrix.client import (
    ConflictError,
    ExceededLimit,
    JobRequest,
    Limits,
    NotFoundError,
    PreconditionFailedError,
    Quota,
    QuotaExceededError,
)
from tests.unit.client.fake_quotas import quota_document, refusal
from tests.unit.client.fake_service import (
    JOB_ID,
    FakeService,
    Fault,
    client_of,
    job_document,
    problem,
)

REQUEST = JobRequest("wine", "sklearn", "s3://b/train.py", "s3://b/wine.csv")


class TestLimits:
    def test_come_back_as_they_were_sent(self) -> None:
        limits = Limits(3, None, 10, 0, Decimal("0.07"), 3600, {"t4": 4})

        assert Limits.from_document(limits.to_document()) == limits

    def test_that_are_none_are_sent_as_such_for_what_is_left_out_would_get_the_default(self) -> None:
        sent = Limits(max_concurrent_jobs=3).to_document()

        assert sent["max_concurrent_jobs"] == 3
        assert [name for name, value in sent.items() if value is None] == [
            "max_gpu_hours_per_month",
            "max_cpu_hours_per_month",
            "max_storage_gb",
            "max_usd_per_month",
            "max_runtime_seconds",
        ]


class TestUses:
    def test_tell_what_was_used_what_is_reserved_and_what_is_free(self) -> None:
        quota = Quota.from_document(quota_document())
        uses = {use.limit: use for use in quota.uses()}

        cpu = uses["max_cpu_hours_per_month"]
        assert (cpu.used, cpu.reserved, cpu.free, cpu.most) == (Decimal("50.5"), 200, Decimal("749.5"), 1000)
        usd = uses["max_usd_per_month"]
        assert (usd.used, usd.reserved, usd.free, usd.most) == (Decimal("0.5"), 0.75, None, None)

    def test_of_a_limit_that_was_lowered_below_them_leave_nothing_free(self) -> None:
        limits = {**quota_document()["limits"], "max_concurrent_jobs": 1}
        jobs, *_ = Quota.from_document(quota_document(limits=limits)).uses()

        assert (jobs.taken, jobs.free) == (2, 0)

    def test_name_each_type_of_gpu_that_is_limited_or_used(self) -> None:
        limits = {**quota_document()["limits"], "max_gpus": {"t4": 4}}
        quota = Quota.from_document(quota_document(limits=limits, current_gpus={"a100": 1, "t4": 3}))

        assert [(use.limit, use.taken, use.most) for use in quota.uses() if "." in use.limit] == [
            ("max_gpus.a100", 1, None),
            ("max_gpus.t4", 3, 4),
        ]


class TestCalls:
    def test_ones_own_quota_comes_with_the_tenants(self) -> None:
        own = client_of(FakeService()).quotas.own()

        assert (own.user.scope, own.user.user_id) == ("user", "ada")
        assert (own.tenant.scope, own.tenant.user_id) == ("tenant", None)
        assert own.tenant.limits == Limits()

    def test_users_are_fetched_page_by_page(self) -> None:
        service = FakeService(quotas={name: quota_document(name) for name in "abcde"})

        assert [quota.user_id for quota in client_of(service).quotas.users()] == list("abcde")
        assert len(service.requests) == 3

    def test_a_users_limits_are_replaced(self) -> None:
        service = FakeService()
        client = client_of(service)

        changed = client.quotas.set_user("ada", Limits(max_concurrent_jobs=9))

        assert changed.limits == client.quotas.user("ada").limits == Limits(max_concurrent_jobs=9)

    @pytest.mark.parametrize("name", ["auth0|7", "a/b", "a b", "a@b.c", "..%2f", "a?b#c"])
    def test_a_users_name_stays_one_segment_of_the_path(self, name: str) -> None:
        service = FakeService(faults=[Fault("GET", "", httpx.Response(200, json=quota_document(name)))])

        client_of(service).quotas.user(name)

        path = service.requests[0].url.raw_path.decode()
        assert unquote(path.removeprefix("/api/v1/admin/quotas/users/")) == name
        assert path.count("/") == len(["", "api", "v1", "admin", "quotas", "users", ""]) - 1

    def test_the_tenants_limits_are_replaced(self) -> None:
        client = client_of(FakeService())

        client.quotas.set_tenant(Limits(max_usd_per_month=Decimal("99.5")))

        assert client.quotas.tenant().limits.max_usd_per_month == Decimal("99.5")

    def test_two_changes_at_the_same_moment_are_a_conflict(self) -> None:
        service = FakeService(faults=[Fault("PUT", "/tenant$", problem(409, "conflict"))])

        with pytest.raises(ConflictError):
            client_of(service).quotas.set_tenant(Limits())

    def test_limits_are_replaced_on_condition_that_they_are_as_they_were_seen(self) -> None:
        service = FakeService(faults=[Fault("PUT", "/ada$", problem(412, "precondition-failed", "version 4 by now"))])
        with pytest.raises(PreconditionFailedError, match="version 4"):
            client_of(service).quotas.set_user("ada", Limits(), version=3)
        assert [request.headers.get("if-match") for request in service.requests] == ['"3"']
        client_of(service).quotas.set_user("ada", Limits())
        assert "if-match" not in service.requests[-1].headers

    def test_a_check_takes_as_many_requests_as_it_needs(self) -> None:
        service, told = FakeService(quota_parts=3), []
        found = client_of(service).quotas.check(lambda part: told.append(part.jobs))
        assert (found.owners, found.jobs, told) == (6, 21, [7, 14])
        assert len(service.requests) == 3

    def test_a_check_names_each_counter_that_differs(self) -> None:
        wrong = {"scope": "user", "user_id": "ada", "item": "now", "counter": "jobs", "recorded": 2, "recomputed": 1}
        service = FakeService(
            quota_report={"owners": 2, "jobs": 7, "differences": [wrong], "in_motion": [{"scope": "tenant"}]}
        )

        found = client_of(service).quotas.check()

        assert (found.owners, found.jobs, found.in_motion) == (2, 7, ("tenant",))
        (difference,) = found.differences
        assert (difference.user_id, difference.counter) == ("ada", "jobs")
        assert (difference.recorded, difference.recomputed) == (2, 1)


class TestRefusal:
    def test_names_each_limit_and_when_there_is_room(self) -> None:
        money = {"scope": "tenant", "limit": "max_usd_per_month", "unit": "USD", "used": 99.5, "limit_value": 100}
        service = FakeService(faults=[Fault("POST", "/jobs$", refusal({}, money, fits_at="2031-06-01T00:00:00Z"))])

        with pytest.raises(QuotaExceededError) as caught:
            client_of(service).jobs.submit(REQUEST)

        assert caught.value.fits_at == "2031-06-01T00:00:00Z"
        first, second = caught.value.limits
        assert first == ExceededLimit("user", "max_concurrent_jobs", "jobs", 5, 5, 1, "2031-06-01T00:00:00Z")
        assert (second.scope, second.used) == ("tenant", 99.5)

    @pytest.mark.parametrize("limits", [None, "odd", []])
    def test_without_limits_is_told_all_the_same(self, limits: object) -> None:
        service = FakeService(faults=[Fault("POST", "/jobs$", problem(429, "quota-exceeded", limits=limits))])

        with pytest.raises(QuotaExceededError) as caught:
            client_of(service).jobs.submit(REQUEST)
        assert (caught.value.limits, caught.value.fits_at) == ((), None)

    def test_is_also_what_throttling_ends_in_when_it_lasts(self) -> None:
        service = FakeService(faults=[Fault("GET", "/quotas$", httpx.Response(429))] * 9)

        with pytest.raises(QuotaExceededError) as caught:
            client_of(service).quotas.own()
        assert caught.value.limits == ()


class TestJobs:
    def test_say_what_limits_their_time_and_what_they_hold(self) -> None:
        amounts = {"gpu_hours": 0, "cpu_hours": 0.4, "storage_gb": 30, "cost_usd": 0.023}
        document = job_document(time_limit={"seconds": 312, "set_by": "max_cost_usd"}, reserved=amounts)

        job = client_of(FakeService(stages={JOB_ID: deque([document])})).jobs.get(JOB_ID)

        assert job.time_limit is not None
        assert (job.time_limit.seconds, job.time_limit.set_by) == (312, "max_cost_usd")
        assert job.reserved is not None
        assert job.reserved.cost_usd == Decimal("0.023")
        assert job.used is None

    def test_are_deleted_once_they_have_finished(self) -> None:
        service = FakeService()
        client = client_of(service)
        job = client.jobs.submit(REQUEST)

        with pytest.raises(ConflictError):
            client.jobs.delete(job.job_id)
        client.jobs.cancel(job.job_id)
        client.jobs.delete(job.job_id)
        with pytest.raises(NotFoundError):
            client.jobs.get(job.job_id)

    def test_are_submitted_with_a_bound_on_money(self) -> None:
        service = FakeService()
        request = JobRequest(
            "wine", "sklearn", "s3://b/t.py", "s3://b/d", max_cost_usd=Decimal("1.50"), over_budget="shorten"
        )

        client_of(service).jobs.submit(request)

        (sent,) = service.bodies("POST", "/training/jobs")
        assert (sent["config"]["max_cost_usd"], sent["config"]["over_budget"]) == (1.5, "shorten")
