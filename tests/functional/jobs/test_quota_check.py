"""The check in parts, the daily round over all tenants, and limits that are set on condition."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from chalicelib.bootstrap import Platform
from chalicelib.identity.caller import Caller
from chalicelib.jobs.gateways import BackendState
from chalicelib.quotas.check import Report
from chalicelib.quotas.position import Position
from chalicelib.quotas.quota import Owner
from chalicelib.quotas.rounds import Rounds
from chalicelib.quotas.routes import rooms
from tests.functional.jobs.conftest import ADMIN, ALICE, BOB, STRANGER, Jobs
from tests.functional.rest import Gateway

LIMITS = "/v1/admin/quotas/users/alice"
CHECK = "/v1/admin/quotas/check"


@pytest.fixture
def gateway(jobs: Jobs) -> Gateway:
    return Gateway.of(rooms(cast("Platform", SimpleNamespace(accounts=jobs.accounts)), cast("Any", None)))


@pytest.fixture
def some(jobs: Jobs) -> None:
    """An open job, an ended one and a deleted one, of two users."""
    for caller, is_deleted in ((ALICE, False), (BOB, True)):
        jobs.service.submit(caller, jobs.request(caller), None)
        job = jobs.service.submit(caller, jobs.request(caller), None)
        jobs.lifecycle.plan("acme", job.job_id)
        jobs.backends.sagemaker.says(f"aimatrix-{job.job_id}-1", BackendState.COMPLETED, billable_seconds=100)
        jobs.finishing.finish("acme", job.job_id, None)
        if is_deleted:
            jobs.deletion.delete(ADMIN, job.job_id)


def break_counter(jobs: Jobs, owner: Owner) -> None:
    table = jobs.accounts.store.table
    pk = f"{owner.tenant}#user#{owner.user}" if owner.user else f"{owner.tenant}#tenant"
    table.write(table.change(pk, "now", {}, add={"jobs": 3}))


@pytest.mark.usefixtures("some")
class TestParts:
    def steps(self, jobs: Jobs) -> tuple[Report, int]:
        """Each part in a request of its own that has no time at all."""
        report, position, count = Report(), Position(), 0
        while True:
            part, rest = jobs.accounts.checking.step("acme", position, until=0.0)
            report, count = report + part, count + 1
            if rest is None:
                return report, count
            position = Position.decode(rest.encode())

    def test_find_nothing_where_all_is_right(self, jobs: Jobs) -> None:
        whole = jobs.accounts.checking.tenant("acme")
        report, count = self.steps(jobs)
        assert report == whole
        assert (report.owners, report.jobs, report.differences, report.in_motion) == (3, 4, (), ())
        assert count > 4

    def test_find_a_counter_of_a_user_and_of_the_tenant(self, jobs: Jobs) -> None:
        for owner in (Owner("acme", "bob"), Owner("acme")):
            break_counter(jobs, owner)
        report, _ = self.steps(jobs)
        assert {(each.owner, each.counter, each.recorded) for each in report.differences} == {
            (Owner("acme", "bob"), "jobs", 4)
        }, "the tenant's is still the sum of its users'"
        break_counter(jobs, Owner("acme"))
        report, _ = self.steps(jobs)
        assert {each.owner for each in report.differences} == {Owner("acme", "bob"), Owner("acme")}

    def test_find_jobs_of_a_user_without_an_account(self, jobs: Jobs) -> None:
        table = jobs.accounts.store.table
        for sk in ("now", "month#2026-03"):
            table.write(table.delete("acme#user#bob", sk))
        report, _ = self.steps(jobs)
        assert {each.owner for each in report.differences} == {Owner("acme"), Owner("acme", "bob")}
        assert report.differences == jobs.accounts.checking.tenant("acme").differences

    def test_are_pages_of_one_answer_over_http(self, gateway: Gateway) -> None:
        answer = gateway.send(ADMIN, "GET", CHECK).json
        assert answer == {
            "owners": 3,
            "jobs": 4,
            "differences": [],
            "in_motion": [],
            "next_cursor": None,
            "progress": {"phase": "done"},
        }
        start = Position(user="alice").encode()
        rest = gateway.send(ADMIN, "GET", f"{CHECK}?cursor={start}").json
        assert (rest["owners"], rest["jobs"]) == (2, 2)
        for wrong in ("x", "eJw", start[:-3]):
            refused = gateway.send(ADMIN, "GET", f"{CHECK}?cursor={wrong}")
            assert (refused.status, refused.json["errors"][0]["field"]) == (400, "cursor")
        assert gateway.send(ALICE, "GET", CHECK).status == 403


class TestRounds:
    @pytest.fixture
    def rounds(self, jobs: Jobs) -> Rounds:
        for caller in (ALICE, STRANGER, Caller("zeta", "zoe", frozenset({"USER"}))):
            jobs.service.submit(caller, jobs.request(caller), None)
        return Rounds(jobs.accounts.store, jobs.accounts.checking, jobs.clock, lambda: 0.0)

    def test_go_through_all_tenants_once_a_day(self, jobs: Jobs, rounds: Rounds) -> None:
        assert [tenant for tenant, _, _ in rounds.go_on(60)] == ["acme", "umbrella", "zeta"]
        assert list(rounds.go_on(60)) == []
        jobs.clock.advance(24 * 3600)
        assert [(tenant, len(report.differences)) for tenant, report, _ in rounds.go_on(60)] == [
            ("acme", 0),
            ("umbrella", 0),
            ("zeta", 0),
        ]

    def test_go_on_where_they_stopped_also_on_the_next_day(self, jobs: Jobs, rounds: Rounds) -> None:
        break_counter(jobs, Owner("umbrella", "alice"))
        seen: list[tuple[str, bool]] = []
        differences = 0
        for _ in range(40):
            for tenant, report, is_whole in rounds.go_on(0):
                seen.append((tenant, is_whole))
                differences += len(report.differences)
            jobs.clock.advance(3600)
            if seen[-1] == ("zeta", True):
                break
        assert [tenant for tenant, is_whole in seen if is_whole] == ["acme", "umbrella", "zeta"]
        assert len(seen) > 6
        assert differences == 2  # the user's, and the tenant's that is not the sum of its users' any more

    def test_go_on_after_a_death_from_what_was_kept(self, rounds: Rounds) -> None:
        started = rounds.go_on(60)
        assert next(started)[0] == "acme"
        assert [tenant for tenant, _, _ in rounds.go_on(60)] == ["umbrella", "zeta"]


class TestLimits:
    def test_are_set_on_condition_that_nobody_changed_them(self, gateway: Gateway) -> None:
        seen = gateway.send(ADMIN, "GET", LIMITS)
        assert (seen.json["version"], seen.headers["ETag"]) == (0, '"0"')
        first = gateway.send(ADMIN, "PUT", LIMITS, {"max_concurrent_jobs": 1}, {"If-Match": seen.headers["ETag"]})
        assert (first.status, first.headers["ETag"]) == (200, '"1"')
        late = gateway.send(ADMIN, "PUT", LIMITS, {"max_concurrent_jobs": 99}, {"If-Match": '"0"'})
        assert (late.status, late.json["code"]) == (412, "precondition-failed")
        assert gateway.send(ADMIN, "GET", LIMITS).json["limits"]["max_concurrent_jobs"] == 1
        assert gateway.send(ADMIN, "PUT", LIMITS, {"max_concurrent_jobs": 2}, {"If-Match": "1"}).status == 200
        assert gateway.send(ADMIN, "PUT", LIMITS, {"max_concurrent_jobs": 3}, {"If-Match": "*"}).status == 200
        assert gateway.send(ADMIN, "PUT", LIMITS, {"max_concurrent_jobs": 4}).headers["ETag"] == '"4"'

    @pytest.mark.parametrize("text", ["x", '"-1"', 'W/"1"', '"1", "2"', '"1'])
    def test_are_not_set_on_a_condition_that_makes_no_sense(self, gateway: Gateway, text: str) -> None:
        answer = gateway.send(ADMIN, "PUT", LIMITS, {"max_concurrent_jobs": 1}, {"If-Match": text})
        assert (answer.status, answer.json["errors"][0]["field"]) == (400, "If-Match")
        assert gateway.send(ADMIN, "GET", LIMITS).json["version"] == 0
