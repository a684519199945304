"""`/usage`, receipts and `dry_run` as API Gateway hands them to the function."""

from __future__ import annotations

import csv
import io
from types import SimpleNamespace
from typing import Any, cast

import pytest

from aimatrix.client import Receipt
from chalicelib.aws import count_calls
from chalicelib.bootstrap import Platform
from chalicelib.calls import Calls
from chalicelib.capacity.queue import Queue
from chalicelib.costs.routes import rooms
from chalicelib.identity.caller import Caller
from chalicelib.jobs.routes import rooms as job_rooms
from tests.functional.costs.conftest import Costs
from tests.functional.jobs.conftest import ADMIN, ALICE, BOB, STRANGER, VIEWER
from tests.functional.rest import Gateway, Response

DEPLOYER = Caller("acme", "dora", frozenset({"MODEL_DEPLOYER"}))
NO_AUTHORIZER: Any = None


@pytest.fixture
def gateway(costs: Costs) -> Gateway:
    platform = SimpleNamespace(costs=costs.service)
    return Gateway.of(rooms(cast("Platform", platform), NO_AUTHORIZER))


def ask(gateway: Gateway, path: str, caller: Caller = ALICE) -> Response:
    return gateway.send(caller, "GET", f"/v1/{path}")


class TestReceipt:
    def test_is_shown_to_who_may_see_the_job(self, costs: Costs, gateway: Gateway) -> None:
        job = costs.ran()
        costs.issuing.issue(job)
        path = f"training/jobs/{job.job_id}/receipt"
        answers = [ask(gateway, path, caller) for caller in (ALICE, VIEWER, ADMIN)]
        assert [answer.status for answer in answers] == [200, 200, 200]
        key = ask(gateway, "receipts/public-key", DEPLOYER).json
        assert Receipt.from_document(answers[0].json).problems(key["public_key"]) == []
        assert answers[0].json["signature"]["key_id"] == key["key_id"]

    def test_of_somebody_else_is_like_one_that_is_not_there(self, costs: Costs, gateway: Gateway) -> None:
        job = costs.ran()
        costs.issuing.issue(job)
        theirs = f"training/jobs/{job.job_id}/receipt"
        missing = "training/jobs/00000000-0000-4000-8000-999999999999/receipt"
        for caller in (BOB, STRANGER):
            answers = [ask(gateway, path, caller) for path in (theirs, missing)]
            assert [answer.status for answer in answers] == [404, 404]
            assert answers[0].body == answers[1].body
        assert ask(gateway, theirs, DEPLOYER).status == 403

    def test_of_a_job_that_runs_is_not_there(self, costs: Costs, gateway: Gateway) -> None:
        job = costs.jobs.service.submit(ALICE, costs.jobs.request(), None)
        answer = ask(gateway, f"training/jobs/{job.job_id}/receipt")
        assert (answer.status, answer.json["code"], answer.json["reason"]) == (404, "not-there-yet", "job-not-finished")
        assert answer.json["detail"] == "The job is pending: its receipt is made when it has ended."
        assert "Retry-After" not in answer.headers

    def test_of_a_job_that_has_just_ended_is_being_sealed(self, costs: Costs, gateway: Gateway) -> None:
        job = costs.ran()
        path = f"training/jobs/{job.job_id}/receipt"
        answer = ask(gateway, path)
        assert (answer.status, answer.json["code"], answer.json["reason"]) == (404, "not-there-yet", "being-sealed")
        assert answer.headers["Retry-After"] == "Sun, 01 Mar 2026 12:01:01 GMT"
        assert "operator" not in answer.json["detail"]
        costs.jobs.clock.advance(3600)
        assert "tell an operator" in ask(gateway, path).json["detail"]
        assert ask(gateway, path, BOB).json["code"] == "not-found"
        costs.issuing.issue(job)
        assert ask(gateway, path).status == 200


class TestUsage:
    def test_shows_own_jobs_and_to_an_administrator_everybodys(self, costs: Costs, gateway: Gateway) -> None:
        own, other = costs.ran(ALICE).job_id, costs.ran(BOB).job_id
        seen = {
            caller.user: [row["job_id"] for row in ask(gateway, "usage", caller).json["usage"]]
            for caller in (ALICE, BOB, ADMIN)
        }
        assert seen == {"alice": [own], "bob": [other], "root": [other, own]}
        assert ask(gateway, "usage", STRANGER).json["usage"] == []
        assert ask(gateway, "usage?user_id=bob").json["usage"] == []
        assert [row["job_id"] for row in ask(gateway, "usage?user_id=bob", ADMIN).json["usage"]] == [other]

    def test_tells_hours_and_money(self, costs: Costs, gateway: Gateway) -> None:
        costs.ran(seconds=3600)
        (row,) = ask(gateway, "usage?month=2026-03").json["usage"]
        assert (
            row["cpu_hours"],
            row["storage_gb_hours"],
            row["instances_usd"],
            row["storage_usd"],
            row["cost_usd"],
        ) == (*(2.0, 100.0, 0.115, 0.019178, 0.134178),)
        assert ask(gateway, "usage?month=2026-04").json["usage"] == []

    def test_goes_on_by_cursor_as_json_and_as_csv(self, costs: Costs, gateway: Gateway) -> None:
        made = [costs.ran().job_id for _ in range(3)][::-1]
        first = ask(gateway, "usage?limit=2").json
        second = ask(gateway, f"usage?limit=2&cursor={first['next_cursor']}").json
        assert [row["job_id"] for row in (*first["usage"], *second["usage"])] == made
        page = ask(gateway, "usage?limit=2&format=csv")
        assert page.headers["Content-Type"].startswith("text/csv")
        last = ask(gateway, f"usage?limit=2&format=csv&cursor={page.headers['X-Next-Cursor']}")
        rows = [row for text in (page.body, last.body) for row in csv.DictReader(io.StringIO(text))]
        assert [row["job_id"] for row in rows] == made
        assert "X-Next-Cursor" not in last.headers

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("month=2026-13", "month"),
            ("month=2026-3", "month"),
            ("month=2026-03-01", "month"),
            ("format=xlsx", "format"),
            ("by=user", "by"),
            ("cursor=eHg", "cursor"),
            ("limit=0", "limit"),
        ],
    )
    def test_refuses_what_it_does_not_know(self, gateway: Gateway, query: str, field: str) -> None:
        answer = ask(gateway, f"usage?{query}")
        assert answer.status == 400
        assert [error["field"] for error in answer.json["errors"]] == [field]

    def test_is_summed_up(self, costs: Costs, gateway: Gateway) -> None:
        costs.ran(ALICE, 3600)
        costs.ran(BOB, 3600)
        (own,) = ask(gateway, "usage/summary").json["summaries"]
        assert (own["value"], own["jobs"], own["cost_usd"]) == ("alice", 1, 0.134178)
        for kind, values in {"user": ["alice", "bob"], "tenant": ["acme"], "framework": ["sklearn"]}.items():
            sums = ask(gateway, f"usage/summary?by={kind}", ADMIN).json["summaries"]
            assert [each["value"] for each in sums] == values
            assert sum(each["jobs"] for each in sums) == 2
        assert (
            ask(gateway, "usage/summary?by=name&format=csv", ADMIN)
            .body.splitlines()[1]
            .startswith("2026-03,name,churn,2")
        )

    def test_of_everybody_needs_the_permission(self, gateway: Gateway) -> None:
        for path in ("admin/usage", "usage/summary?by=tenant", "usage/summary?by=framework", "usage/summary?by=name"):
            assert [ask(gateway, path, caller).status for caller in (ALICE, VIEWER, ADMIN)] == [403, 403, 200]


class TestDryRun:
    @pytest.fixture
    def calls(self, costs: Costs) -> Calls:
        """Every call to DynamoDB and S3 from here on."""
        calls = Calls()
        for client in (costs.jobs.store.table.client, costs.jobs.objects.client):
            count_calls(client, calls)
        return calls

    @pytest.fixture
    def jobs_gateway(self, costs: Costs) -> Gateway:
        queue = Queue(costs.jobs.service, costs.jobs.service.admission.store, costs.jobs.service.now)
        platform = SimpleNamespace(jobs=costs.jobs.service, meter=costs.meter, queue=queue)
        return Gateway.of(job_rooms(cast("Platform", platform), NO_AUTHORIZER))

    def test_tells_the_plan_and_writes_nothing(self, costs: Costs, jobs_gateway: Gateway, calls: Calls) -> None:
        costs.ran(seconds=100)
        body = costs.jobs.request().model_dump(mode="json", exclude_none=True)
        calls.take()
        costs.jobs.machine.started.clear()
        answer = jobs_gateway.send(ALICE, "POST", "/v1/training/jobs?dry_run=true", body)
        assert answer.status == 200
        plan = answer.json
        assert plan["resource_allocation"]["instance_type"] == "ml.m5.large"
        assert "sklearn" in plan["image"] or "scikit" in plan["image"]
        assert plan["time_limit"] == {"seconds": 86400, "set_by": "max_runtime_seconds"}
        assert plan["estimate"]["duration"] == {"low": "PT0S", "expected": "PT1M40S", "high": "PT4M1S"}
        assert plan["estimate"]["usd"]["expected"] == pytest.approx(0.134178 * 100 / 3600, abs=2e-6)
        assert plan["queue"] == {"would_wait": False, "reason": "No limit would keep it from starting."}
        print(f"calls of a dry run: {dict(calls.made)}, {calls.write_units} write units")
        assert calls.write_units == 0
        assert {operation for _, operation in calls.made} <= {
            "GetItem",
            "BatchGetItem",
            "Query",
            "HeadObject",
            "ListObjectsV2",
        }
        assert costs.jobs.machine.started == []

    def test_is_refused_as_a_submission_is(self, costs: Costs, jobs_gateway: Gateway, calls: Calls) -> None:
        body = costs.jobs.request(max_runtime_seconds=28 * 24 * 3600, resource_requirements={"gpu_type": "a100"})
        calls.take()
        document = body.model_dump(mode="json", exclude_none=True)
        answers = [
            jobs_gateway.send(ALICE, "POST", f"/v1/training/jobs{query}", document) for query in ("?dry_run=true", "")
        ]
        assert [answer.status for answer in answers] == [429, 429]
        assert answers[0].json["errors"] == answers[1].json["errors"]

    def test_needs_the_permission_to_submit(self, costs: Costs, jobs_gateway: Gateway) -> None:
        body = costs.jobs.request().model_dump(mode="json", exclude_none=True)
        assert jobs_gateway.send(VIEWER, "POST", "/v1/training/jobs?dry_run=true", body).status == 403


class TestMetering:
    def test_counts_a_submission_for_the_job_that_it_made(self, costs: Costs) -> None:
        queue = Queue(costs.jobs.service, costs.jobs.service.admission.store, costs.jobs.service.now)
        platform = SimpleNamespace(jobs=costs.jobs.service, meter=costs.meter, queue=queue)
        gateway = Gateway.of(job_rooms(cast("Platform", platform), NO_AUTHORIZER))
        body = costs.jobs.request().model_dump(mode="json", exclude_none=True)
        job_id = gateway.send(ALICE, "POST", "/v1/training/jobs", body).json["job_id"]
        counted = costs.store.counted("acme", job_id).amounts
        assert [counted[item] for item in ("api_requests", "lambda_requests")] == [1, 1]
        assert gateway.send(ALICE, "DELETE", f"/v1/training/jobs/{job_id}").status == 204
        assert costs.store.counted("acme", job_id).amounts["api_requests"] == 2
