"""`/api-keys` over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.functional.api_keys.conftest import ADMIN, ALICE, BOB, STRANGER, Keys


def wish(**changes: Any) -> dict[str, Any]:
    return {"name": "ci", "scopes": ["jobs:read"], **changes}


class TestCreate:
    def test_shows_the_key_this_once(self, keys: Keys) -> None:
        made = keys.api.send(ALICE, "POST", "/v1/api-keys", wish())
        assert (made.status, made.headers["Cache-Control"]) == (201, "no-store")
        key_id = made.json["key_id"]
        assert made.json["key"] == f"aimx_{key_id}_{'ab' * 32}"
        assert made.headers["Location"] == f"/api/v1/api-keys/{key_id}"
        again = keys.api.send(ALICE, "GET", f"/v1/api-keys/{key_id}").json
        assert again == {name: value for name, value in made.json.items() if name != "key"}

    def test_is_good_for_ninety_days_unless_told_otherwise(self, keys: Keys) -> None:
        document = keys.api.send(ALICE, "POST", "/v1/api-keys", wish()).json
        assert (document["created_at"], document["expires_at"]) == (
            "2026-03-01T12:00:00.000Z",
            "2026-05-30T12:00:00.000Z",
        )

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"expires_in_days": 0}, "expires_in_days"),
            ({"expires_in_days": 366}, "expires_in_days"),
            ({"expires_in_days": "7"}, "expires_in_days"),
            ({"scopes": []}, "scopes"),
            ({"scopes": ["keys:manage"]}, "scopes"),
            ({"scopes": "jobs:read"}, "scopes"),
            ({"scopes": ["jobs:read"] * 1000}, "scopes"),
            ({"name": ""}, "name"),
            ({"name": "a\nb"}, "name"),
            ({"name": "x" * 101}, "name"),
            ({"user_id": "root"}, "user_id"),
            ({"tenant": "umbrella"}, "tenant"),
            ({"key": "aimx_1_2"}, "key"),
        ],
        ids=str,
    )
    def test_names_the_field_that_is_wrong(self, keys: Keys, change: dict[str, Any], field: str) -> None:
        refused = keys.api.send(ALICE, "POST", "/v1/api-keys", wish(**change))
        assert (refused.status, refused.json["errors"][0]["field"]) == (400, field)
        assert keys.items() == []

    def test_says_422_about_scopes_that_the_creator_lacks(self, keys: Keys) -> None:
        refused = keys.api.send(ALICE, "POST", "/v1/api-keys", wish(scopes=["quotas:manage"]))
        assert (refused.status, refused.json["errors"][0]["field"]) == (422, "scopes")


class TestRead:
    def test_never_shows_secret_or_hash(self, keys: Keys) -> None:
        made = keys.make()
        digest = keys.service.store.get(made.key.key_id).digest  # type: ignore[union-attr]
        for path in ("/v1/api-keys", f"/v1/api-keys/{made.key.key_id}"):
            body = keys.api.send(ALICE, "GET", path).body
            assert "ab" * 32 not in body
            assert digest not in body

    def test_pages(self, keys: Keys) -> None:
        for number in range(3):
            keys.make(name=f"k{number}")
            keys.wait(seconds=1)
        first = keys.api.send(ALICE, "GET", "/v1/api-keys?limit=2").json
        second = keys.api.send(ALICE, "GET", f"/v1/api-keys?limit=2&cursor={first['next_cursor']}").json
        assert [key["name"] for page in (first, second) for key in page["api_keys"]] == ["k2", "k1", "k0"]
        assert second["next_cursor"] is None

    def test_with_anothers_cursor_shows_own_keys_only(self, keys: Keys) -> None:
        for number in range(2):
            keys.make(BOB, name=f"b{number}")
        cursor = keys.api.send(BOB, "GET", "/v1/api-keys?limit=1").json["next_cursor"]
        assert keys.api.send(ALICE, "GET", f"/v1/api-keys?cursor={cursor}").json["api_keys"] == []

    def test_says_what_has_become_of_a_key(self, keys: Keys) -> None:
        revoked, expired, active = keys.make(name="a"), keys.make(name="b", days=1), keys.make(name="c")
        keys.service.revoke(ALICE, revoked.key.key_id)
        keys.wait(days=1)
        keys.authentication.authenticate(active.text)
        listed = {key["name"]: key for key in keys.api.send(ALICE, "GET", "/v1/api-keys").json["api_keys"]}
        assert {name: key["status"] for name, key in listed.items()} == {
            "a": "revoked",
            "b": "expired",
            "c": "active",
        }
        assert listed["a"]["revoked_at"] == "2026-03-01T12:00:00.000Z"
        assert listed["c"]["last_used_at"] == "2026-03-02T12:00:00.000Z"
        assert expired.key.key_id == listed["b"]["key_id"]

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    def test_is_the_same_404_for_a_stranger_and_for_nothing(self, keys: Keys, method: str) -> None:
        key_id = keys.make().key.key_id
        missing = keys.api.send(ALICE, method, f"/v1/api-keys/{'f' * 16}")
        for caller in (BOB, STRANGER):
            theirs = keys.api.send(caller, method, f"/v1/api-keys/{key_id}")
            assert (theirs.status, theirs.body) == (404, missing.body)
        odd = keys.api.send(ALICE, method, "/v1/api-keys/..%2F")
        assert (odd.status, odd.body) == (404, missing.body)


class TestRevoke:
    def test_is_204_each_time(self, keys: Keys) -> None:
        key_id = keys.make().key.key_id
        for caller in (ALICE, ADMIN):
            assert keys.api.send(caller, "DELETE", f"/v1/api-keys/{key_id}").status == 204
