"""`/webhooks` over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.functional.webhooks.conftest import ADMIN, ALICE, BOB, STRANGER, TYPE, URL, Hooks, event


def wish(**changes: Any) -> dict[str, Any]:
    return {"url": URL, **changes}


class TestCreate:
    def test_shows_the_secret_this_once(self, hooks: Hooks) -> None:
        made = hooks.api.send(ALICE, "POST", "/v1/webhooks", wish(event_types=[TYPE], description="ours"))
        assert (made.status, made.headers["Cache-Control"]) == (201, "no-store")
        assert made.json["secret"].startswith("whsec_")
        webhook_id = made.json["webhook_id"]
        assert made.headers["Location"] == f"/api/v1/webhooks/{webhook_id}"
        again = hooks.api.send(ALICE, "GET", f"/v1/webhooks/{webhook_id}").json
        assert again == {name: value for name, value in made.json.items() if name != "secret"}
        assert again["secrets"] == [{"created_at": "2026-03-01T12:00:00.000Z", "valid_until": None}]

    @pytest.mark.parametrize(
        ("change", "status", "field"),
        [
            ({"url": "http://hooks.example.com/"}, 422, "url"),
            ({"url": "https://127.0.0.1/"}, 422, "url"),
            ({"url": ""}, 400, "url"),
            ({"url": "https://hooks.example.com/" + "a" * 3000}, 400, "url"),
            ({"url": None}, 400, "url"),
            ({"event_types": ["job.done"]}, 400, "event_types"),
            ({"event_types": TYPE}, 400, "event_types"),
            ({"event_types": [TYPE] * 50}, 400, "event_types"),
            ({"description": "a\nb"}, 400, "description"),
            ({"description": "x" * 201}, 400, "description"),
            ({"secret": "whsec_mine"}, 400, "secret"),
            ({"user_id": "root"}, 400, "user_id"),
        ],
        ids=str,
    )
    def test_names_the_field_that_is_wrong(self, hooks: Hooks, change: dict[str, Any], status: int, field: str) -> None:
        refused = hooks.api.send(ALICE, "POST", "/v1/webhooks", wish(**change))
        assert (refused.status, refused.json["errors"][0]["field"]) == (status, field)
        assert hooks.client.scan(TableName="webhooks")["Items"] == []

    def test_stops_at_twenty(self, hooks: Hooks) -> None:
        for _ in range(20):
            hooks.make()
        assert hooks.api.send(ALICE, "POST", "/v1/webhooks", wish()).status == 409
        assert hooks.api.send(BOB, "POST", "/v1/webhooks", wish()).status == 201


class TestRead:
    def test_pages_and_shows_no_secret(self, hooks: Hooks) -> None:
        made = []
        for number in range(3):
            made.append(hooks.make(url=f"https://h{number}.example.com/"))
            hooks.wait(seconds=1)
        first = hooks.api.send(ALICE, "GET", "/v1/webhooks?limit=2")
        second = hooks.api.send(ALICE, "GET", f"/v1/webhooks?limit=2&cursor={first.json['next_cursor']}")
        found = [each["url"] for page in (first, second) for each in page.json["webhooks"]]
        assert found == [f"https://h{number}.example.com/" for number in (2, 1, 0)]
        for each in made:
            assert each.secret.removeprefix("whsec_") not in first.body + second.body

    def test_of_others_is_for_administrators(self, hooks: Hooks) -> None:
        hooks.make()
        assert hooks.api.send(BOB, "GET", "/v1/webhooks?user_id=alice").json["webhooks"] == []
        assert len(hooks.api.send(ADMIN, "GET", "/v1/webhooks?user_id=alice").json["webhooks"]) == 1
        assert hooks.api.send(STRANGER, "GET", "/v1/webhooks").json["webhooks"] == []

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", ""),
            ("PATCH", ""),
            ("DELETE", ""),
            ("POST", "/secret"),
            ("POST", "/ping"),
            ("GET", "/deliveries"),
            ("GET", "/deliveries/e1"),
            ("POST", "/deliveries/e1"),
        ],
    )
    def test_is_the_same_404_for_a_stranger_and_for_nothing(self, hooks: Hooks, method: str, path: str) -> None:
        webhook_id = hooks.make().webhook.webhook_id
        hooks.tell(event("e1"))
        body: Any = {} if method == "PATCH" else None
        missing = hooks.api.send(ALICE, method, f"/v1/webhooks/nothing{path}", body)
        assert missing.status == 404
        for caller in (BOB, STRANGER):
            theirs = hooks.api.send(caller, method, f"/v1/webhooks/{webhook_id}{path}", body)
            assert (theirs.status, theirs.body) == (404, missing.body)


class TestChange:
    def test_leaves_what_is_not_given(self, hooks: Hooks) -> None:
        webhook_id = hooks.make(TYPE).webhook.webhook_id
        hooks.wait(minutes=1)
        changed = hooks.api.send(ALICE, "PATCH", f"/v1/webhooks/{webhook_id}", {"description": "new"}).json
        assert (changed["description"], changed["event_types"], changed["url"]) == ("new", [TYPE], URL)
        assert changed["updated_at"] > changed["created_at"]
        emptied = hooks.api.send(ALICE, "PATCH", f"/v1/webhooks/{webhook_id}", {"event_types": []}).json
        assert emptied["event_types"] == []

    @pytest.mark.parametrize(
        ("change", "status"),
        [({"url": "https://localhost/"}, 422), ({"status": "gone"}, 400), ({"secret": "x"}, 400)],
        ids=str,
    )
    def test_refuses_what_create_refuses(self, hooks: Hooks, change: dict[str, Any], status: int) -> None:
        webhook_id = hooks.make().webhook.webhook_id
        assert hooks.api.send(ALICE, "PATCH", f"/v1/webhooks/{webhook_id}", change).status == status

    def test_shows_a_new_secret_once_and_until_when_the_old_one_is_good(self, hooks: Hooks) -> None:
        old = hooks.make()
        path = f"/v1/webhooks/{old.webhook.webhook_id}/secret"
        made = hooks.api.send(ALICE, "POST", path, {"overlap_hours": 1})
        assert made.json["secret"] not in {None, old.secret}
        assert [each["valid_until"] for each in made.json["secrets"]] == [None, "2026-03-01T13:00:00.000Z"]
        # A third one takes the place of the first, which nobody can have any more use for.
        again = hooks.api.send(ALICE, "POST", path)
        assert len(again.json["secrets"]) == 2
        at_once = hooks.api.send(ALICE, "POST", path, {"overlap_hours": 0})
        assert len(at_once.json["secrets"]) == 1

    @pytest.mark.parametrize("hours", [-1, 169, "1", None])
    def test_knows_how_long_an_overlap_may_be(self, hooks: Hooks, hours: Any) -> None:
        path = f"/v1/webhooks/{hooks.make().webhook.webhook_id}/secret"
        assert hooks.api.send(ALICE, "POST", path, {"overlap_hours": hours}).status == 400


class TestDeliveries:
    def test_tell_status_latency_attempts_and_expiry(self, hooks: Hooks) -> None:
        webhook_id = hooks.make().webhook.webhook_id
        hooks.receivers.will["hooks.example.com"] = [503]
        hooks.tell(event("e1", status="failed"))
        (listed,) = hooks.api.send(ALICE, "GET", f"/v1/webhooks/{webhook_id}/deliveries").json["deliveries"]
        assert listed == {
            "event_id": "e1",
            "webhook_id": webhook_id,
            "type": TYPE,
            "status": "pending",
            "attempts": 1,
            "last_status": 503,
            "last_error": None,
            "latency_ms": listed["latency_ms"],
            "created_at": "2026-03-01T12:00:00.000Z",
            "last_attempt_at": "2026-03-01T12:00:00.000Z",
            "next_attempt_at": "2026-03-01T12:00:05.000Z",
            "expires_at": "2026-03-02T12:00:00.000Z",
        }
        whole = hooks.api.send(ALICE, "GET", f"/v1/webhooks/{webhook_id}/deliveries/e1").json
        assert whole["payload"]["data"]["status"] == "failed"
        assert [each["status"] for each in whole["attempt_log"]] == [503]

    def test_page(self, hooks: Hooks) -> None:
        webhook_id = hooks.make().webhook.webhook_id
        for number in range(3):
            hooks.tell(event(f"e{number}", job_id=f"j{number}"))
            hooks.wait(seconds=1)
        path = f"/v1/webhooks/{webhook_id}/deliveries?limit=2"
        first = hooks.api.send(ALICE, "GET", path).json
        second = hooks.api.send(ALICE, "GET", f"{path}&cursor={first['next_cursor']}").json
        found = [each["event_id"] for page in (first, second) for each in page["deliveries"]]
        assert found == ["e2", "e1", "e0"]

    def test_with_anothers_cursor_show_own_ones_only(self, hooks: Hooks) -> None:
        own, other = hooks.make(), hooks.make(caller=BOB)
        hooks.tell(*(event(f"e{number}", userId="bob", job_id=f"j{number}") for number in range(3)))
        path = f"/v1/webhooks/{other.webhook.webhook_id}/deliveries?limit=1"
        cursor = hooks.api.send(BOB, "GET", path).json["next_cursor"]
        path = f"/v1/webhooks/{own.webhook.webhook_id}/deliveries?cursor={cursor}"
        assert hooks.api.send(ALICE, "GET", path).json["deliveries"] == []

    def test_ping_sends_a_test_at_once(self, hooks: Hooks) -> None:
        made = hooks.make()
        answer = hooks.api.send(ALICE, "POST", f"/v1/webhooks/{made.webhook.webhook_id}/ping")
        assert (answer.status, answer.json["type"], answer.json["status"]) == (202, "webhook.ping", "pending")
        ((lane, delay),) = hooks.queue.messages
        hooks.tell({"lane": vars(lane)})
        (got,) = hooks.receivers.got
        assert hooks.verified(made, got)
        assert (got.event_id, got.payload["type"], delay) == (answer.json["event_id"], "webhook.ping", 0)

    def test_redeliver_sends_the_same_event_again(self, hooks: Hooks) -> None:
        webhook_id = hooks.make().webhook.webhook_id
        hooks.tell(event("e1"))
        hooks.wait(days=3)
        answer = hooks.api.send(ALICE, "POST", f"/v1/webhooks/{webhook_id}/deliveries/e1")
        assert (answer.status, answer.json["expires_at"]) == (202, "2026-03-05T12:00:00.000Z")
        hooks.tick()
        assert hooks.receivers.ids() == ["e1", "e1"]
        assert hooks.receivers.got[0].body == hooks.receivers.got[1].body

    def test_redeliver_does_not_wait_for_what_is_stuck(self, hooks: Hooks) -> None:
        webhook_id = hooks.make().webhook.webhook_id
        hooks.receivers.will["hooks.example.com"] = [500]
        hooks.tell(event("e1"), event("e2", 2))
        hooks.api.send(ALICE, "POST", f"/v1/webhooks/{webhook_id}/deliveries/e1")
        assert hooks.tick() == {"delivered": 1}
        hooks.wait(seconds=5)
        assert hooks.tick() == {"delivered": 1}
        assert hooks.receivers.ids() == ["e1", "e1", "e2"]
        assert hooks.lanes() == []

    @pytest.mark.parametrize("path", ["/ping", "/deliveries/e1"])
    def test_of_a_disabled_webhook_cannot_be_wished_for(self, hooks: Hooks, path: str) -> None:
        webhook_id = hooks.make().webhook.webhook_id
        hooks.tell(event("e1"))
        hooks.api.send(ALICE, "PATCH", f"/v1/webhooks/{webhook_id}", {"status": "disabled"})
        assert hooks.api.send(ALICE, "POST", f"/v1/webhooks/{webhook_id}{path}").status == 409

    def test_that_is_not_there_is_404(self, hooks: Hooks) -> None:
        webhook_id = hooks.make().webhook.webhook_id
        for odd in ("e1", "a%2Fb", "x" * 100):
            assert hooks.api.send(ALICE, "GET", f"/v1/webhooks/{webhook_id}/deliveries/{odd}").status == 404


def test_everything_that_changes_something_is_in_the_audit_log(hooks: Hooks) -> None:
    webhook_id = hooks.api.send(ALICE, "POST", "/v1/webhooks", wish(url="https://hooks.example.com/secret-path")).json[
        "webhook_id"
    ]
    hooks.tell(event("e1"))
    for method, path, body in (
        ("PATCH", "", {"description": "x"}),
        ("POST", "/secret", None),
        ("POST", "/ping", None),
        ("POST", "/deliveries/e1", None),
    ):
        hooks.api.send(ALICE, method, f"/v1/webhooks/{webhook_id}{path}", body)
    hooks.api.send(ADMIN, "DELETE", f"/v1/webhooks/{webhook_id}")
    assert [(user, action) for user, action, _ in hooks.log.told()] == [
        *(("alice", action) for action in ("create_webhook", "change_webhook", "rotate_webhook_secret")),
        *(("alice", action) for action in ("ping_webhook", "redeliver")),
        ("root", "delete_webhook"),
    ]
    # A path may hold a secret of the receiver's.
    assert "secret-path" not in json.dumps(hooks.log.entries())
