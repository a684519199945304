from __future__ import annotations

from typing import Any

import httpx
import pytest

from aimatrix.client import ForbiddenError, UnreachableError, WaitTimeoutError
from tests.unit.client.fake_service import Clock, FakeService, Fault, client_of, problem

POLICY: dict[str, Any] = {
    "id": "p1",
    "name": "churn",
    "user_id": "alice",
    "enabled": True,
    "source": {"type": "s3", "uri_prefix": "s3://artifacts/tenants/acme/users/alice/rows/", "pattern": "*.csv"},
    "debounce": "PT1M",
    "max_wait": "PT1H",
    "min_objects": 1,
    "min_bytes": 0,
    "job": {"name": "churn", "framework": "sklearn", "config": {"script_path": "s3://artifacts/train.py"}},
    "on_success": {"deploy_to": "staging", "conditions": []},
    "concurrency": "queue",
    "schema_check": "warn",
    "created_at": "2031-05-01T10:00:00.000Z",
    "updated_at": "2031-05-01T10:00:00.000Z",
}
RUN: dict[str, Any] = {
    "id": "3",
    "policy_id": "p1",
    "status": "gathering",
    "trigger": "upload",
    "user_id": "alice",
    "opened_at": "2031-05-01T10:00:00.000Z",
    "updated_at": "2031-05-01T10:00:00.000Z",
}
DATA = {
    "id": "d1",
    "uri": "s3://artifacts/tenants/acme/users/alice/rows/",
    "objects": 7,
    "bytes": 4_200,
    "checksum": "sha256:ab",
    "manifest": "s3://artifacts/tenants/acme/retraining/p1/00000003.jsonl",
}
DONE = {
    **RUN,
    "status": "succeeded",
    "objects": 2,
    "bytes": 1_200,
    "data": DATA,
    "warnings": ["age was 30 to 41, and is 30 to 4100."],
    "job_id": "j1",
    "cost_usd": 0.0042,
    "model_id": "m1",
    "deployment_id": "e1",
    "deployment_reason": "It meets the policy.",
    "ended_at": "2031-05-01T10:20:00.000Z",
}


def answers(method: str, path: str, *documents: dict[str, Any]) -> FakeService:
    """A service that gives these answers, one after the other."""
    return FakeService(faults=[Fault(method, path, httpx.Response(200, json=document)) for document in documents])


class TestPolicies:
    def test_are_made_and_read(self) -> None:
        service = answers("POST", "retraining-policies", POLICY)

        policy = client_of(service).retraining.create({"name": "churn"})

        assert (policy.id, policy.user_id, policy.deploy_to, policy.is_watched) == ("p1", "alice", "staging", True)
        assert service.bodies("POST", "/retraining-policies") == [{"name": "churn"}]

    def test_are_made_once_even_if_the_answer_is_lost(self) -> None:
        service = FakeService(faults=[Fault("POST", "retraining-policies", httpx.ReadTimeout("late"))])

        with pytest.raises(UnreachableError):
            client_of(service).retraining.create({})

        assert len(service.requests) == 1

    def test_are_read_page_by_page(self) -> None:
        first = {"retraining_policies": [POLICY, POLICY], "next_cursor": "c"}
        service = answers("GET", "retraining-policies", first, {"retraining_policies": [POLICY], "next_cursor": None})

        assert len(list(client_of(service).retraining.list(page_size=2))) == 3
        assert [request.url.params.get("cursor") for request in service.requests] == [None, "c"]

    def test_that_a_person_starts_deploy_nowhere(self) -> None:
        manual = {**POLICY, "source": {"type": "manual", "uri_prefix": "s3://a/b/"}, "on_success": {}}

        policy = client_of(answers("GET", "p1", manual)).retraining.get("p1")

        assert (policy.is_watched, policy.deploy_to) == (False, None)

    def test_are_set_to_what_they_say_with_a_change(self) -> None:
        service = answers("GET", "p1", POLICY)
        service.faults += answers("PUT", "p1", {**POLICY, "enabled": False}).faults
        client = client_of(service)

        changed = client.retraining.set("p1", {**client.retraining.get("p1").settings(), "enabled": False})

        assert not changed.enabled
        (body,) = service.bodies("PUT", "/retraining-policies/p1")
        assert body.keys() == POLICY.keys() - {"id", "user_id", "created_at", "updated_at"}

    def test_are_removed_under_whatever_name_they_are_called(self) -> None:
        service = FakeService(faults=[Fault("DELETE", "a%2Fb", httpx.Response(204))])

        client_of(service).retraining.delete("a/b")

        assert service.requests[0].url.raw_path.endswith(b"/retraining-policies/a%2Fb")

    def test_that_may_not_be_made_say_why(self) -> None:
        service = FakeService(faults=[Fault("POST", "retraining-policies", problem(403, "forbidden", "not you"))])

        with pytest.raises(ForbiddenError, match="not you"):
            client_of(service).retraining.create({})


class TestRuns:
    def test_are_started(self) -> None:
        service = answers("POST", "p1/runs", {**RUN, "trigger": "person"})

        run = client_of(service).retraining.start("p1")

        assert (run.id, run.trigger, run.objects, run.data, run.is_over()) == ("3", "person", None, None, False)

    def test_know_their_data_job_model_and_deployment(self) -> None:
        run = client_of(answers("GET", "runs/3", DONE)).retraining.run("p1", "3")

        assert run.data is not None
        assert (run.data.objects, run.data.bytes, run.data.checksum) == (7, 4_200, "sha256:ab")
        assert (run.objects, run.job_id, run.model_id, run.deployment_id) == (2, "j1", "m1", "e1")
        assert run.warnings == ("age was 30 to 41, and is 30 to 4100.",)

    def test_are_read_page_by_page(self) -> None:
        service = answers("GET", "p1/runs", {"runs": [DONE], "next_cursor": "c"}, {"runs": [RUN], "next_cursor": None})

        assert [run.status for run in client_of(service).retraining.runs("p1")] == ["succeeded", "gathering"]

    def test_are_waited_for_until_they_are_over(self) -> None:
        stages = [{**RUN, "status": status} for status in ("gathering", "starting", "training")]
        seen: list[str] = []

        run = client_of(answers("GET", "runs/3", *stages, DONE)).retraining.wait(
            "p1", "3", observe=lambda run: seen.append(run.status)
        )

        assert run.has_succeeded()
        assert seen == ["gathering", "starting", "training", "succeeded"]

    @pytest.mark.parametrize("status", ["failed", "refused", "skipped"])
    def test_may_be_over_without_a_model(self, status: str) -> None:
        run = client_of(answers("GET", "runs/3", {**RUN, "status": status})).retraining.wait("p1", "3")

        assert (run.is_over(), run.has_succeeded()) == (True, False)

    def test_are_not_waited_for_longer_than_was_said(self) -> None:
        with pytest.raises(WaitTimeoutError, match="run 3 of retraining policy p1"):
            client_of(answers("GET", "runs/3", *[RUN] * 20), Clock()).retraining.wait("p1", "3", timeout=5)
