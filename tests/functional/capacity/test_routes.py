"""Pools over REST for operators, and why a job waits for whoever may see it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.capacity import routes
from chalicelib.capacity.queue import Queue
from chalicelib.identity.caller import Caller
from chalicelib.jobs.job import Attempt, Backend
from chalicelib.jobs.life import AttemptPlanned, Started
from chalicelib.jobs.service import JobService
from tests.functional.capacity.conftest import ADMIN, HOUR, Room
from tests.functional.rest import Gateway

ALICE = Caller("acme", "alice", frozenset({"USER"}))
BOB = Caller("acme", "bob", frozenset({"USER"}))
VIEWER = Caller("acme", "vera", frozenset({"VIEWER"}))
STRANGER = Caller("umbrella", "alice", frozenset({"ADMIN"}))
POOLS = "/v1/admin/capacity/pools"


@pytest.fixture
def gateway(room: Room) -> Gateway:
    unused: Any = None
    jobs = JobService(
        store=room.jobs,
        objects=unused,
        machine=unused,
        quotas=unused,
        admission=room.admission,
        backends=unused,
        batch_machines=unused,
        vault=unused,
        region="us-east-1",
        now=room.clock,
        new_id=unused,
        audit=unused,
    )
    platform: Any = SimpleNamespace(queue=Queue(jobs, room.store, room.clock), pools=room.pools)
    return Gateway.of(routes.rooms(platform, None))


class TestPools:
    def test_are_not_for_administrators_of_another_tenant(self, gateway: Gateway) -> None:
        assert gateway.send(STRANGER, "PUT", f"{POOLS}/sagemaker/v100", {"limit": 8}).status == 403

    def test_are_set_seen_and_taken_away(self, gateway: Gateway) -> None:
        assert gateway.send(ADMIN, "GET", POOLS).json == {"pools": []}
        made = gateway.send(ADMIN, "PUT", f"{POOLS}/sagemaker/v100", {"limit": 8})
        assert made.status == 200
        assert made.json == {
            "pool": "sagemaker/v100",
            "unit": "GPUs",
            "limit": 8,
            "in_use": 0,
            "waiting": {"low": 0, "medium": 0, "high": 0, "critical": 0},
            "too_large": 0,
            "half_life_seconds": 86400,
            "aging_seconds": 21600,
            "preempt_low": False,
        }
        assert gateway.send(ADMIN, "GET", f"{POOLS}/sagemaker/v100").json == made.json
        assert gateway.send(ADMIN, "GET", POOLS).json == {"pools": [made.json]}
        assert gateway.send(ADMIN, "DELETE", f"{POOLS}/sagemaker/v100").status == 204
        assert gateway.send(ADMIN, "GET", f"{POOLS}/sagemaker/v100").status == 404
        assert gateway.send(ADMIN, "DELETE", f"{POOLS}/sagemaker/v100").status == 404
        assert gateway.send(ADMIN, "GET", POOLS).json == {"pools": []}

    def test_let_in_who_fits_when_the_limit_is_raised(self, gateway: Gateway, room: Room) -> None:
        room.limit(0)
        room.submit("a", 2)
        room.submit("b", 4)
        answer = gateway.send(ADMIN, "PUT", f"{POOLS}/sagemaker/v100", {"limit": 6, "aging_seconds": 60})
        assert room.told() == ["a", "b"]
        assert answer.json["in_use"] == 6

    @pytest.mark.parametrize(
        ("path", "body", "field"),
        [
            ("sagemaker/v100", {}, "limit"),
            ("sagemaker/v100", {"limit": -1}, "limit"),
            ("sagemaker/v100", {"limit": 1, "half_life_seconds": 1}, "half_life_seconds"),
            ("sagemaker/v100", {"limit": 1, "owner": "me"}, "owner"),
            ("sagemaker/k80", {"limit": 1}, "pool"),
            ("batch/v100", {"limit": 1}, "pool"),
            ("sagemaker/%2e%2e", {"limit": 1}, "pool"),
        ],
    )
    def test_refuse_what_makes_no_sense(self, gateway: Gateway, path: str, body: dict[str, Any], field: str) -> None:
        answer = gateway.send(ADMIN, "PUT", f"{POOLS}/{path}", body)
        assert answer.status == 400
        assert [error["field"] for error in answer.json["errors"]] == [field]
        assert answer.json["errors"][0]["cure"]

    def test_are_an_operators_business(self, gateway: Gateway, room: Room) -> None:
        room.limit(4)
        for caller in (ALICE, VIEWER):
            for method, path in (
                ("GET", POOLS),
                ("GET", f"{POOLS}/sagemaker/v100"),
                ("DELETE", f"{POOLS}/sagemaker/v100"),
            ):
                assert gateway.send(caller, method, path).status == 403
            assert gateway.send(caller, "PUT", f"{POOLS}/sagemaker/v100", {"limit": 1}).status == 403
        assert room.pool().limit == 4


class TestQueue:
    def test_says_why_a_job_waits_and_until_when(self, gateway: Gateway, room: Room) -> None:
        room.limit(8)
        room.submit("runs", 6, seconds=10 * HOUR, estimated=2 * HOUR)
        room.submit("first", 8, priority="high", seconds=HOUR)
        room.submit("waits", 4, priority="low", seconds=HOUR)
        answer = gateway.send(ALICE, "GET", "/v1/training/jobs/waits/queue").json
        assert answer["state"] == "waiting"
        assert answer["reason"] == "It needs 4 GPUs; 6 of the 8 of the pool sagemaker/v100 are in use."
        assert answer["binding_limit"] == {
            "pool": "sagemaker/v100",
            "unit": "GPUs",
            "limit": 8,
            "in_use": 6,
            "needed": 4,
        }
        assert answer["held_by"]["jobs"] == [
            {"job_id": "runs", "user_id": "alice", "amount": 6, "expected_end": "2026-03-01T14:00:00.000Z"}
        ]
        assert answer["held_by"]["others"] == {"amount": 0}
        assert answer["priority"] == {"submitted": "low", "now": "low", "rises_at": "2026-03-01T18:00:00.000Z"}
        assert (answer["position"], answer["jobs_ahead"], answer["jobs_ahead_is_exact"]) == (2, 1, True)
        assert answer["expected_start"] == "2026-03-01T15:00:00.000Z"
        assert "1 admitted jobs and 1 jobs ahead" in answer["expected_start_basis"]

    def test_names_no_job_that_the_caller_may_not_see(self, gateway: Gateway, room: Room) -> None:
        room.limit(8)
        room.submit("mine", 2, user="bob")
        room.submit("theirs", 3, user="alice")
        room.submit("foreign", 3, user="alice", tenant="umbrella")
        room.submit("waits", 8, user="bob")
        path = "/v1/training/jobs/waits/queue"
        own = gateway.send(BOB, "GET", path).json["held_by"]
        assert [job["job_id"] for job in own["jobs"]] == ["mine"]
        assert own["others"] == {"amount": 6}
        viewed = gateway.send(VIEWER, "GET", path).json["held_by"]
        assert sorted(job["job_id"] for job in viewed["jobs"]) == ["mine", "theirs"]
        assert viewed["others"] == {"amount": 3}
        assert "foreign" not in gateway.send(VIEWER, "GET", path).body

    def test_is_as_secret_as_the_job(self, gateway: Gateway, room: Room) -> None:
        room.limit(1)
        room.submit("hers", user="alice")
        missing = gateway.send(BOB, "GET", "/v1/training/jobs/none/queue")
        for caller in (BOB, STRANGER):
            answer = gateway.send(caller, "GET", "/v1/training/jobs/hers/queue")
            assert (answer.status, answer.body) == (404, missing.body)

    def test_says_of_a_job_that_is_too_large_that_it_never_fits(self, gateway: Gateway, room: Room) -> None:
        room.limit(8)
        room.submit("giant", 16)
        answer = gateway.send(ALICE, "GET", "/v1/training/jobs/giant/queue").json
        assert answer["reason"] == "It needs 16 GPUs, more than the limit of the pool sagemaker/v100, 8."
        assert answer.get("expected_start") is None

    def test_says_of_a_pool_without_room_at_all_that_nothing_is_known(self, gateway: Gateway, room: Room) -> None:
        room.limit(0)
        room.submit("a")
        answer = gateway.send(ALICE, "GET", "/v1/training/jobs/a/queue").json
        assert answer["expected_start"] is None

    def test_says_of_the_others_what_they_do(self, gateway: Gateway, room: Room) -> None:
        room.job("free")
        room.limit(1)
        room.submit("a")
        states = {name: gateway.send(ALICE, "GET", f"/v1/training/jobs/{name}/queue").json for name in ("free", "a")}
        assert {name: answer["state"] for name, answer in states.items()} == {"free": "admitted", "a": "admitted"}
        room.finish("a")
        assert gateway.send(ALICE, "GET", "/v1/training/jobs/a/queue").json["state"] == "finished"

    def test_says_that_a_job_runs_only_while_an_attempt_does(self, gateway: Gateway, room: Room) -> None:
        job = room.job("again", attempts=1)
        room.jobs.change(job, Started(room.clock()), room.clock())
        first = Attempt("acme", "again", 1, "token", Backend.SAGEMAKER, room.clock(), started_at=room.clock())
        room.jobs.put_attempt(first)
        answers = [gateway.send(ALICE, "GET", "/v1/training/jobs/again/queue").json]
        room.jobs.change_attempt(replace(first, reason="InternalServerError"))
        second = replace(first, number=2, started_at=None)
        room.jobs.put_attempt(second)
        room.jobs.change(room.jobs.require("acme", "again"), AttemptPlanned(2), room.clock())
        answers.append(gateway.send(ALICE, "GET", "/v1/training/jobs/again/queue").json)
        room.jobs.note_start(replace(second, started_at=room.clock()))
        answers.append(gateway.send(ALICE, "GET", "/v1/training/jobs/again/queue").json)
        assert [(answer["state"], answer["reason"]) for answer in answers] == [
            ("running", "The job runs."),
            ("admitted", "Attempt 2 is on its way; the one before ended: InternalServerError"),
            ("running", "The job runs."),
        ]

    def test_follows_a_long_line_only_so_far(self, gateway: Gateway, room: Room) -> None:
        room.limit(1)
        room.submit("runs", seconds=HOUR)
        for number in range(150):
            room.submit(f"job-{number:03d}", seconds=HOUR)
        near, far = (
            gateway.send(ALICE, "GET", f"/v1/training/jobs/job-{number:03d}/queue").json for number in (5, 149)
        )
        assert (near["jobs_ahead"], near["expected_start"]) == (5, "2026-03-01T18:00:00.000Z")
        assert far["jobs_ahead_is_exact"] is False
        assert far["jobs_ahead"] >= 100
        assert far["expected_start"] is None
