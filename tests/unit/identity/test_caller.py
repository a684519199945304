from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import Forbidden, Unauthenticated
from chalicelib.identity.caller import Auth, Caller, Origin, is_user
from chalicelib.identity.permissions import INSTALLATION, Permission

words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
names = st.text("abcXYZ019_.@:|+=,-", min_size=1, max_size=128).filter(lambda name: name not in {".", ".."})


class TestContext:
    @given(tenant=names, user=names, roles=st.frozensets(words), granted=st.frozensets(words))
    def test_comes_back_as_it_went(
        self, tenant: str, user: str, roles: frozenset[str], granted: frozenset[str]
    ) -> None:
        caller = Caller(tenant, user, roles, granted)
        assert Caller.from_context(caller.to_context()) == caller

    def test_is_flat_text_as_the_gateway_demands(self) -> None:
        context = Caller("acme", "ada", frozenset({"USER", "ADMIN"})).to_context()
        assert context == {
            "tenant": "acme",
            "user": "ada",
            "roles": "ADMIN USER",
            "permissions": "",
            "auth": "token",
        }

    def test_says_which_api_key_was_presented(self) -> None:
        caller = Caller("acme", "ada", frozenset(), origin=Origin(key_id="k-1"))
        assert Caller.from_context(caller.to_context()).origin == Origin(key_id="k-1")

    def test_says_that_a_key_was_presented(self) -> None:
        caller = Caller("acme", "ada", frozenset(), frozenset({"jobs:read"}), Auth.KEY)
        assert Caller.from_context(caller.to_context()) == caller

    @pytest.mark.parametrize("context", [{}, {"tenant": "acme"}, {"user": "ada"}, {"tenant": "", "user": ""}])
    def test_that_is_missing_means_that_nobody_was_verified(self, context: dict[str, str]) -> None:
        with pytest.raises(Unauthenticated):
            Caller.from_context(context)


class TestOrigin:
    def test_makes_nobody_another(self) -> None:
        here = Caller("acme", "ada", frozenset(), origin=Origin("r-1", "192.0.2.1", "k-1"))
        assert here == Caller("acme", "ada", frozenset())


class TestPermissions:
    def test_of_a_key_are_its_scopes_and_not_what_every_token_allows(self) -> None:
        caller = Caller("acme", "ada", frozenset(), frozenset({"jobs:read", "nonsense"}), Auth.KEY)
        assert caller.permissions == {Permission.JOBS_READ}

    def test_of_a_key_come_from_no_role(self) -> None:
        assert Caller("acme", "ada", frozenset({"ADMIN"}), frozenset(), Auth.KEY).permissions == frozenset()


class TestInstallation:
    ADMINS = frozenset({"ADMIN"})

    def test_is_for_administrators_of_the_default_tenant(self) -> None:
        assert Caller("default", "root", self.ADMINS).permissions == set(Permission)

    @pytest.mark.parametrize("auth", Auth)
    def test_is_for_nobody_of_another_tenant_whatever_was_granted(self, auth: Auth) -> None:
        caller = Caller("acme", "root", self.ADMINS, frozenset({"capacity:manage", "jobs:read"}), auth)
        assert not caller.permissions & INSTALLATION
        with pytest.raises(Forbidden, match="only the tenant default"):
            caller.require(Permission.CAPACITY_MANAGE)


class TestNames:
    @pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "a#b", "ä", "x" * 129, "x\n"])
    def test_that_no_user_can_have(self, name: str) -> None:
        assert not is_user(name)


class TestPrefix:
    @given(user=names)
    def test_is_one_segment_whatever_the_user_is_called(self, user: str) -> None:
        prefix = Caller("acme", user, frozenset()).prefix
        assert prefix.startswith("tenants/acme/users/")
        assert prefix.count("/") == 4
        assert ".." not in prefix.split("/")

    @given(one=names, other=names)
    def test_differs_when_the_users_differ(self, one: str, other: str) -> None:
        prefixes = {Caller("acme", user, frozenset()).prefix for user in (one, other)}
        assert len(prefixes) == len({one, other})

    def test_of_one_user_is_never_inside_that_of_another(self) -> None:
        assert not Caller("acme", "ada2", frozenset()).prefix.startswith(Caller("acme", "ada", frozenset()).prefix)


class TestRequire:
    def test_passes_with_the_permission(self) -> None:
        Caller("acme", "ada", frozenset({"USER"})).require(Permission.JOBS_SUBMIT)

    def test_names_the_permission_that_is_missing(self) -> None:
        with pytest.raises(Forbidden) as raised:
            Caller("acme", "ada", frozenset({"VIEWER"})).require(Permission.JOBS_SUBMIT)
        assert "jobs:submit" in raised.value.detail
