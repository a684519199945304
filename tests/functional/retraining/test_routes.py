"""Retraining over HTTP: what is answered, and which field is named where something is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chalicelib.identity.caller import Caller
from chalicelib.retraining.service import MAX_POLICIES
from tests.functional.jobs.conftest import ADMIN, ALICE, BUCKET
from tests.functional.rest import Gateway, Response
from tests.functional.retraining.conftest import PREFIX, Room

BOB = Caller("acme", "bob", frozenset({"USER"}))
STRANGER = Caller("other", "alice", frozenset({"ADMIN"}))
VIEWER = Caller("acme", "vera", frozenset({"VIEWER"}))
DEPLOYER = Caller("acme", "alice", frozenset({"USER", "MODEL_DEPLOYER"}))
ALL = "/v1/retraining-policies"
SHARED = f"s3://{BUCKET}/tenants/acme/shared/"


def source(uri: str = PREFIX, **more: Any) -> dict[str, Any]:
    return {"source": {"type": "s3", "uri_prefix": uri, **more}}


def create(api: Gateway, room: Room, caller: Caller = ALICE, **changes: Any) -> Response:
    return api.send(caller, "POST", ALL, room.document(**changes))


def made(api: Gateway, room: Room, caller: Caller = ALICE, **changes: Any) -> str:
    answer = create(api, room, caller, **changes)
    assert answer.status == 201, answer.body
    return str(answer.json["id"])


def fields(answer: Response) -> list[str]:
    return [each["field"] for each in answer.json["errors"]]


class TestAPolicy:
    def test_is_made_and_is_where_the_answer_says(self, api: Gateway, room: Room) -> None:
        answer = create(api, room, budget_usd=20, **source(marker="_SUCCESS", pattern="*.csv"))
        document = answer.json
        assert (answer.status, answer.headers["Location"]) == (201, f"/api{ALL}/{document['id']}")
        assert api.send(ALICE, "GET", f"{ALL}/{document['id']}").json == document
        assert document["source"] == {"type": "s3", "uri_prefix": PREFIX, "pattern": "*.csv", "marker": "_SUCCESS"}
        assert (document["debounce"], document["max_wait"], document["budget_usd"]) == ("PT1M", "PT1H", 20)
        assert (document["user_id"], document["on_success"], document["enabled"]) == ("alice", {}, True)

    def test_says_the_same_when_it_is_set_as_it_was_shown(self, api: Gateway, room: Room) -> None:
        deploying = {"deploy_to": "staging", "replicas": 2, "rollout": {"strategy": {"type": "canary"}}}
        conditions = [{"metric": "accuracy", "above": 0.9}]
        policy = made(api, room, DEPLOYER, on_success={**deploying, "conditions": conditions})
        shown = api.send(ALICE, "GET", f"{ALL}/{policy}").json
        added = ("id", "user_id", "created_at", "updated_at")
        again = {name: value for name, value in shown.items() if name not in added}
        answer = api.send(DEPLOYER, "PUT", f"{ALL}/{policy}", again)
        assert answer.status == 200, answer.body
        assert {**answer.json, "updated_at": None} == {**shown, "updated_at": None}

    def test_is_replaced_and_stays_as_old_as_it_is(self, api: Gateway, room: Room) -> None:
        policy = made(api, room)
        before = api.send(ALICE, "GET", f"{ALL}/{policy}").json
        room.jobs.clock.advance(60)
        after = api.send(ALICE, "PUT", f"{ALL}/{policy}", room.document(name="other", debounce="PT10M")).json
        assert (after["id"], after["created_at"]) == (policy, before["created_at"])
        assert after["updated_at"] > before["updated_at"]
        assert (after["name"], after["debounce"]) == ("other", "PT10M")

    def test_is_removed_and_its_runs_stay(self, api: Gateway, room: Room) -> None:
        policy = made(api, room)
        assert api.send(ALICE, "POST", f"{ALL}/{policy}/runs").status == 202
        assert api.send(ALICE, "DELETE", f"{ALL}/{policy}").status == 204
        assert api.send(ALICE, "GET", f"{ALL}/{policy}").status == 404
        assert [run["id"] for run in api.send(ALICE, "GET", f"{ALL}/{policy}/runs").json["runs"]] == ["1"]
        assert api.send(ALICE, "GET", f"{ALL}/{policy}/runs/1").status == 200

    def test_that_deploys_needs_the_permission_to(self, api: Gateway, room: Room) -> None:
        deploying = {"deploy_to": "production"}
        refused = create(api, room, on_success=deploying)
        assert (refused.status, "models:deploy" in refused.body) == (403, True)
        policy = made(api, room, DEPLOYER, on_success=deploying)
        assert api.send(ALICE, "PUT", f"{ALL}/{policy}", room.document(on_success=deploying)).status == 403
        assert api.send(ALICE, "PUT", f"{ALL}/{policy}", room.document()).json["on_success"] == {}

    def test_is_one_of_a_hundred_at_most(self, api: Gateway, room: Room) -> None:
        for number in range(MAX_POLICIES):
            room.policy(name=f"p{number}")
        assert create(api, room).status == 409
        page = api.send(ALICE, "GET", f"{ALL}?limit=1").json["retraining_policies"]
        assert api.send(ALICE, "DELETE", f"{ALL}/{page[0]['id']}").status == 204
        assert create(api, room).status == 201


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            (source(f"s3://{BUCKET}/tenants/acme/users/bob/data/"), "source.uri_prefix"),
            (source(f"s3://{BUCKET}/tenants/other/shared/data/"), "source.uri_prefix"),
            (source("s3://elsewhere/tenants/acme/users/alice/data/"), "source.uri_prefix"),
            (source(f"s3://{BUCKET}/{ALICE.prefix}../bob/"), "source.uri_prefix"),
            (source(PREFIX.rstrip("/")), "source.uri_prefix"),
            (source(f"s3://{BUCKET}/{ALICE.prefix}"), "source.uri_prefix"),
            (source(f"s3://{BUCKET}/{ALICE.prefix}checkpoints/"), "source.uri_prefix"),
            (source(f"s3://{BUCKET}/{ALICE.prefix}checkpoints/run/"), "source.uri_prefix"),
            (source(SHARED), "source.uri_prefix"),
            (source(f"{SHARED}checkpoints/"), "source.uri_prefix"),
            (source(marker="a/b"), "source.s3.marker"),
            (source(marker=""), "source.s3.marker"),
            (source(pattern=""), "source.s3.pattern"),
            ({"source": {"type": "ftp", "uri_prefix": PREFIX}}, "source"),
            ({"source": {"type": "manual", "uri_prefix": PREFIX, "pattern": "*"}}, "source.manual.pattern"),
            ({"name": ""}, "name"),
            ({"debounce": -1}, "debounce"),
            ({"debounce": "soon"}, "debounce"),
            ({"max_wait": 59}, "max_wait"),
            ({"min_objects": 0}, "min_objects"),
            ({"min_objects": 10_001}, "min_objects"),
            ({"min_bytes": -1}, "min_bytes"),
            ({"min_bytes": 10**15 + 1}, "min_bytes"),
            ({"budget_usd": 0}, "budget_usd"),
            ({"budget_usd": 1_000_001}, "budget_usd"),
            ({"concurrency": "all"}, "concurrency"),
            ({"schema_check": "on"}, "schema_check"),
            ({"on_success": {"replicas": 2}}, "on_success"),
            ({"on_success": {"deploy_to": "moon"}}, "on_success.deploy_to"),
            ({"on_success": {"deploy_to": "staging", "replicas": 0}}, "on_success.replicas"),
            ({"surplus": 1}, "surplus"),
        ],
    )
    def test_is_named(self, api: Gateway, room: Room, changes: dict[str, Any], field: str) -> None:
        answer = create(api, room, DEPLOYER, **changes)
        assert answer.status in {400, 422}
        assert any(each == field or each.startswith(f"{field}.") for each in fields(answer)), answer.body
        assert room.service.search(ALICE, 10, 0, None).policies == ()

    @pytest.mark.parametrize(
        ("config", "field"),
        [
            ({"dataset_path": PREFIX}, "job.config.dataset_path"),
            (
                {"environment": {"secret_variables": {"TOKEN": "hidden-value"}}},
                "job.config.environment.secret_variables",
            ),
            ({"script_path": f"s3://{BUCKET}/{ALICE.prefix}absent.py"}, "job.config.script_path"),
            ({"script_path": f"s3://{BUCKET}/tenants/acme/users/bob/train.py"}, "job.config.script_path"),
            ({"resource_requirements": {"gpu_count": 99}}, "job.config.resource_requirements.gpu_count"),
            ({"resource_requirements": {"cpu_cores": 1}}, "job.config.resource_requirements.cpu_cores"),
        ],
    )
    def test_of_the_job_is_named_as_it_was_written(
        self, api: Gateway, room: Room, config: dict[str, Any], field: str
    ) -> None:
        document = room.document()
        document["job"]["config"] |= config
        answer = api.send(ALICE, "POST", ALL, document)
        assert answer.status in {400, 422}
        assert any(each == field or each.startswith(f"{field}.") for each in fields(answer)), answer.body
        assert "hidden-value" not in answer.body

    def test_of_the_rollout_is_named_as_it_was_written(self, api: Gateway, room: Room) -> None:
        steps = [{"weight": 50}, {"weight": 10}]
        answer = create(api, room, DEPLOYER, on_success={"deploy_to": "staging", "rollout": {"steps": steps}})
        assert all(each.startswith("on_success.rollout.steps.") for each in fields(answer))

    @pytest.mark.parametrize("folder", [PREFIX, f"{PREFIX}inner", f"s3://{BUCKET}/{ALICE.prefix}"])
    def test_is_a_folder_that_its_own_checkpoints_would_be_written_to(
        self, api: Gateway, room: Room, folder: str
    ) -> None:
        document = room.document()
        document["job"]["config"]["checkpoint_path"] = folder
        assert fields(api.send(ALICE, "POST", ALL, document)) == ["source.uri_prefix"]

    @pytest.mark.parametrize("body", ["", "[]", "nonsense", json.dumps({"name": "x"})])
    def test_is_no_policy(self, api: Gateway, body: str) -> None:
        assert api.send(ALICE, "POST", ALL, body).status == 400


class TestOthers:
    @pytest.mark.parametrize(("caller", "is_seen"), [(BOB, False), (VIEWER, True), (ADMIN, True), (STRANGER, False)])
    def test_see_it_where_they_see_everybodys_jobs(
        self, api: Gateway, room: Room, caller: Caller, is_seen: bool
    ) -> None:
        policy = made(api, room)
        api.send(ALICE, "POST", f"{ALL}/{policy}/runs")
        wanted = 200 if is_seen else 404
        answers = [api.send(caller, "GET", f"{ALL}/{policy}{path}") for path in ("", "/runs", "/runs/1")]
        assert [answer.status for answer in answers] == [wanted] * 3
        assert len(api.send(caller, "GET", ALL).json["retraining_policies"]) == int(is_seen)

    @pytest.mark.parametrize(("caller", "status"), [(BOB, 404), (STRANGER, 404), (VIEWER, 403)])
    def test_cannot_change_start_or_remove_it(self, api: Gateway, room: Room, caller: Caller, status: int) -> None:
        policy = made(api, room)
        answers = [
            api.send(caller, "PUT", f"{ALL}/{policy}", room.document()),
            api.send(caller, "POST", f"{ALL}/{policy}/runs"),
            api.send(caller, "DELETE", f"{ALL}/{policy}"),
        ]
        assert [answer.status for answer in answers] == [status] * 3

    def test_who_administer_the_tenant_start_and_remove_it(self, api: Gateway, room: Room) -> None:
        policy = made(api, room)
        assert api.send(ADMIN, "POST", f"{ALL}/{policy}/runs").json["user_id"] == ADMIN.user
        switched_off = api.send(ADMIN, "PUT", f"{ALL}/{policy}", room.document(enabled=False)).json
        assert (switched_off["enabled"], switched_off["user_id"]) == (False, ALICE.user)
        assert api.send(ADMIN, "DELETE", f"{ALL}/{policy}").status == 204


class TestWhatIsNotThere:
    @pytest.mark.parametrize("policy", ["nothing", "00000000-0000-4000-8000-000000000000", "a%23b"])
    def test_is_not_found(self, api: Gateway, room: Room, policy: str) -> None:
        one = f"{ALL}/{policy}"
        asked = [
            ("GET", one),
            ("DELETE", one),
            ("GET", f"{one}/runs"),
            ("POST", f"{one}/runs"),
            ("GET", f"{one}/runs/1"),
        ]
        assert {api.send(ALICE, method, path).status for method, path in asked} == {404}
        assert api.send(ALICE, "PUT", one, room.document()).status == 404

    @pytest.mark.parametrize("run", ["0", "2", "-1", "1.0", "x", "١", "9" * 40])
    def test_is_no_run(self, api: Gateway, room: Room, run: str) -> None:
        policy = made(api, room)
        assert api.send(ALICE, "POST", f"{ALL}/{policy}/runs").status == 202
        assert api.send(ALICE, "GET", f"{ALL}/{policy}/runs/{run}").status == 404


class TestStarting:
    def test_is_one_run_however_often_it_is_asked_for(self, api: Gateway, room: Room) -> None:
        policy = made(api, room)
        first, second = (api.send(ALICE, "POST", f"{ALL}/{policy}/runs") for _ in range(2))
        assert (first.status, first.headers["Location"]) == (202, f"/api{ALL}/{policy}/runs/1")
        assert (first.json["status"], first.json["trigger"]) == ("gathering", "person")
        assert second.json["id"] == "1"

    def test_takes_what_lies_there(self, api: Gateway, room: Room) -> None:
        policy = made(api, room, source={"type": "manual", "uri_prefix": PREFIX})
        room.put("a.csv")
        api.send(ALICE, "POST", f"{ALL}/{policy}/runs")
        room.deliver()
        run = api.send(ALICE, "GET", f"{ALL}/{policy}/runs/1").json
        assert (run["status"], run["objects"], run["data"]["objects"]) == ("training", 0, 1)
        assert run["data"]["uri"] == PREFIX

    def test_of_nothing_is_refused_and_says_so(self, api: Gateway, room: Room) -> None:
        policy = made(api, room)
        api.send(ALICE, "POST", f"{ALL}/{policy}/runs")
        room.deliver()
        run = api.send(ALICE, "GET", f"{ALL}/{policy}/runs/1").json
        assert (run["status"], run["reason"]) == (
            "refused",
            "Nothing lies below the prefix: what came has been deleted.",
        )

    def test_needs_a_policy_that_is_switched_on(self, api: Gateway, room: Room) -> None:
        policy = made(api, room, enabled=False)
        answer = api.send(ALICE, "POST", f"{ALL}/{policy}/runs")
        assert (answer.status, "switched off" in answer.body) == (409, True)

    def test_takes_no_body(self, api: Gateway, room: Room) -> None:
        policy = made(api, room)
        assert api.send(ALICE, "POST", f"{ALL}/{policy}/runs", {"user_id": "bob"}).status == 400


class TestLists:
    def test_of_policies_come_page_by_page(self, api: Gateway, room: Room) -> None:
        names = {room.policy(name=f"p{number}").name for number in range(5)}
        assert pages(api, ALL, "retraining_policies", "name") == ([2, 2, 1], names)

    def test_of_runs_come_page_by_page_newest_first(self, api: Gateway, room: Room) -> None:
        policy = made(api, room)
        for _ in range(5):
            api.send(ALICE, "POST", f"{ALL}/{policy}/runs")
            room.deliver()
        assert pages(api, f"{ALL}/{policy}/runs", "runs", "id") == ([2, 2, 1], {"1", "2", "3", "4", "5"})
        first = api.send(ALICE, "GET", f"{ALL}/{policy}/runs?limit=2").json
        assert [run["id"] for run in first["runs"]] == ["5", "4"]
        last = api.send(ALICE, "GET", f"{ALL}/{policy}/runs?limit=2&offset=4").json
        assert [run["id"] for run in last["runs"]] == ["1"]

    @pytest.mark.parametrize("query", ["limit=0", "limit=x", "offset=-1", "cursor=nonsense", "surplus=1"])
    def test_name_what_is_wrong_with_a_query(self, api: Gateway, room: Room, query: str) -> None:
        policy = made(api, room)
        api.send(ALICE, "POST", f"{ALL}/{policy}/runs")
        for path in (ALL, f"{ALL}/{policy}/runs"):
            answer = api.send(ALICE, "GET", f"{path}?{query}")
            assert (answer.status, fields(answer)) == (400, [query.partition("=")[0]])


def pages(api: Gateway, path: str, name: str, field: str) -> tuple[list[int], set[str]]:
    """How many were on each page of two, and what was on all of them."""
    sizes, found, cursor = [], set(), ""
    while True:
        document = api.send(ALICE, "GET", f"{path}?limit=2{cursor}").json
        sizes.append(len(document[name]))
        found |= {each[field] for each in document[name]}
        if document["next_cursor"] is None:
            return sizes, found
        cursor = f"&cursor={document['next_cursor']}"
