"""What keys can be made, what they let in, and when they stop."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from chalicelib.api_keys.authentication import Authentication
from chalicelib.api_keys.key import KeyText
from chalicelib.errors import Conflict, Forbidden, InvalidRequest, NotFound, RefusedValue, Unauthenticated
from chalicelib.identity.caller import Auth, Caller
from chalicelib.identity.permissions import Permission
from tests.functional.api_keys.conftest import ADMIN, ALICE, BOB, STRANGER, Keys


class TestCreate:
    def test_keeps_a_hash_and_never_the_secret(self, keys: Keys) -> None:
        text = keys.make().text
        secret = text.rpartition("_")[2]
        assert secret not in str(keys.items())
        assert keys.secrets.value not in str(keys.items())

    def test_expires_when_it_is_told_to(self, keys: Keys) -> None:
        made = keys.make(days=7).key
        assert made.expires_at - made.created_at == timedelta(days=7)

    def test_gives_no_more_than_the_creator_has(self, keys: Keys) -> None:
        with pytest.raises(RefusedValue, match="models:deploy"):
            keys.make(ALICE, "jobs:read", "models:deploy")
        assert keys.items() == []

    def test_gives_what_the_creator_was_granted_by_itself(self, keys: Keys) -> None:
        granted = Caller("acme", "alice", frozenset(), frozenset({"models:deploy"}))
        assert keys.make(granted, "models:deploy").key.scopes == ("models:deploy",)

    @pytest.mark.parametrize("scope", ["keys:manage", "keys:manage-all", "*", "jobs:*", "ADMIN", "", "x" * 10_000])
    def test_gives_no_power_over_keys_and_nothing_unknown(self, keys: Keys, scope: str) -> None:
        with pytest.raises(InvalidRequest, match="scopes") as raised:
            keys.make(ADMIN, scope)
        assert len(raised.value.detail) < 500

    def test_names_each_scope_once(self, keys: Keys) -> None:
        assert keys.make(ALICE, "models:read", "jobs:read", "models:read").key.scopes == ("jobs:read", "models:read")

    def test_is_not_for_keys(self, keys: Keys) -> None:
        made = keys.make(ADMIN, "jobs:read")
        with pytest.raises(Forbidden, match="keys:manage"):
            keys.make(keys.authentication.authenticate(made.text), "jobs:read")

    def test_stops_at_a_number_of_keys(self, keys: Keys) -> None:
        keys.service = replace(keys.service, limit=3)
        for _ in range(3):
            keys.make()
        with pytest.raises(Conflict, match="3 keys"):
            keys.make()
        keys.make(BOB)


class TestAuthenticate:
    def test_acts_as_the_owner_with_the_scopes_and_nothing_else(self, keys: Keys) -> None:
        caller = keys.authentication.authenticate(keys.make(ADMIN, "jobs:read", "models:read").text)
        assert (caller.tenant, caller.user, caller.auth) == ("acme", "root", Auth.KEY)
        assert caller.permissions == {Permission.JOBS_READ, Permission.MODELS_READ}
        assert caller.origin.key_id == "0000000000000001"

    def test_refuses_whatever_is_wrong_in_one_way(self, keys: Keys) -> None:
        good = KeyText.parse(keys.make().text)
        assert good is not None
        revoked = keys.make()
        keys.service.revoke(ALICE, revoked.key.key_id)
        expired = keys.make(days=1)
        keys.wait(days=1)
        wrong = {
            "malformed": "nonsense",
            "empty": "",
            "unknown id": KeyText("f" * 16, good.secret).reveal(),
            "wrong secret": KeyText(good.key_id, "cd" * 32).reveal(),
            "another key's secret": KeyText(revoked.key.key_id, "cd" * 32).reveal(),
            "its hash": f"aimx_{good.key_id}_{keys.service.store.get(good.key_id).digest}",  # type: ignore[union-attr]
            "revoked": revoked.text,
            "expired": expired.text,
        }
        for text in wrong.values():
            with pytest.raises(Unauthenticated):
                keys.authentication.authenticate(text)
        assert keys.authentication.authenticate(good.reveal())

    def test_lets_nobody_in_once_the_pepper_has_changed(self, keys: Keys) -> None:
        text = keys.make().text
        keys.secrets.value = "q" * 64
        del keys.service.pepper.__dict__["value"]
        with pytest.raises(Unauthenticated):
            keys.authentication.authenticate(text)

    def test_reads_the_pepper_once(self, keys: Keys) -> None:
        text = keys.make().text
        for _ in range(3):
            keys.authentication.authenticate(text)
        assert keys.secrets.reads == 1

    def test_asks_nobody_about_a_malformed_key(self, keys: Keys) -> None:
        with pytest.raises(Unauthenticated):
            keys.authentication.authenticate("aimx_1_2")
        assert keys.secrets.reads == 0

    def test_notes_its_use_once_a_minute(self, keys: Keys) -> None:
        made = keys.make()
        uses = []
        for _ in range(4):
            keys.authentication.authenticate(made.text)
            uses.append(keys.service.get(ALICE, made.key.key_id).last_used_at)
            keys.wait(seconds=25)
        created = made.key.created_at
        later = created + timedelta(seconds=75)
        assert uses == [created, created, created, later]

    def test_works_when_its_use_cannot_be_noted(self, keys: Keys) -> None:
        text = keys.make().text
        failing = _with_failing_writes(keys)
        assert failing.authenticate(text).user == "alice"

    def test_does_not_bring_a_record_back_that_is_gone(self, keys: Keys) -> None:
        made = keys.make()
        keys.client.delete_item(TableName="keys", Key={"pk": {"S": f"key#{made.key.key_id}"}, "sk": {"S": "key"}})
        keys.service.store.note_use(made.key.key_id, keys.moment[0])
        assert not keys.service.store.revoke(made.key, keys.moment[0])
        assert keys.items() == []


class TestRevoke:
    def test_ends_a_key_at_once(self, keys: Keys) -> None:
        made = keys.make()
        keys.authentication.authenticate(made.text)
        keys.service.revoke(ALICE, made.key.key_id)
        with pytest.raises(Unauthenticated, match="revoked"):
            keys.authentication.authenticate(made.text)

    def test_twice_changes_nothing(self, keys: Keys) -> None:
        made = keys.make()
        first = keys.service.revoke(ALICE, made.key.key_id)
        keys.wait(hours=1)
        assert keys.service.revoke(ALICE, made.key.key_id) == first

    def test_is_for_the_owner_and_admins_of_the_tenant(self, keys: Keys) -> None:
        key_id = keys.make().key.key_id
        for caller in (BOB, STRANGER):
            with pytest.raises(NotFound):
                keys.service.revoke(caller, key_id)
        assert keys.service.revoke(ADMIN, key_id).revoked_at is not None

    def test_takes_the_record_away_a_month_later(self, keys: Keys) -> None:
        made = keys.make(days=365)
        keys.service.revoke(ALICE, made.key.key_id)
        (item,) = keys.items()
        assert int(item["expires_at"]["N"]) == int((keys.moment[0] + timedelta(days=30)).timestamp())


class TestSearch:
    def names(self, keys: Keys, caller: Caller, user: str | None = None) -> list[str]:
        return [key.name for key in keys.service.search(caller, user, 50, 0, None).keys]

    def test_shows_own_keys_newest_first(self, keys: Keys) -> None:
        for name in ("one", "two"):
            keys.make(name=name)
            keys.wait(seconds=1)
        keys.make(BOB, name="bobs")
        assert self.names(keys, ALICE) == ["two", "one"]
        assert self.names(keys, ALICE, "bob") == []

    def test_shows_the_tenants_to_its_admin_and_to_nobody_elses(self, keys: Keys) -> None:
        keys.make(name="alices")
        keys.wait(seconds=1)
        keys.make(BOB, name="bobs")
        assert self.names(keys, ADMIN) == ["bobs", "alices"]
        assert self.names(keys, ADMIN, "alice") == ["alices"]
        assert self.names(keys, STRANGER) == []
        assert self.names(keys, STRANGER, "bob") == []

    @pytest.mark.parametrize("user", ["", "a#b", "x" * 3000])
    def test_of_a_user_that_nobody_can_be_is_empty(self, keys: Keys, user: str) -> None:
        assert self.names(keys, ADMIN, user) == []


def _with_failing_writes(keys: Keys) -> Authentication:
    class Failing:
        """The store whose every note of a use is lost."""

        def __getattr__(self, name: str) -> Any:
            return getattr(keys.service.store, name)

        def note_use(self, *_: object) -> None:
            raise ConnectionClosedError(endpoint_url="https://dynamodb")

    store: Any = Failing()
    return replace(keys.authentication, store=store)
