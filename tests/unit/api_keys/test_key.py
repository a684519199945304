"""The text of a key, its hash, and what it can be given."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.api_keys.key import ID_BYTES, SCOPES, SECRET_BYTES, ApiKey, KeyStatus, KeyText
from chalicelib.identity.permissions import Permission

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GOOD = KeyText("0123456789abcdef", "ab" * 32)
PEPPER = b"p" * 64


class TestText:
    def test_comes_back_as_it_went(self) -> None:
        made = KeyText(secrets.token_hex(ID_BYTES), secrets.token_hex(SECRET_BYTES))
        assert KeyText.parse(made.reveal()) == made

    def test_has_256_secret_bits(self) -> None:
        assert len(bytes.fromhex(GOOD.secret)) * 8 == 256

    def test_does_not_show_its_secret_by_accident(self) -> None:
        assert GOOD.secret not in f"{GOOD} {GOOD!r}"

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "aimx_",
            GOOD.reveal()[:-1],
            GOOD.reveal() + "0",
            GOOD.reveal() + "\n",
            " " + GOOD.reveal(),
            GOOD.reveal().upper(),
            GOOD.reveal().replace("aimx", "aimy"),
            GOOD.reveal().replace("_", "-"),
            f"aimx_{GOOD.key_id}_{'x' * 64}",
            f"aimx_..%2f{GOOD.key_id}_{GOOD.secret}",
            f"aimx_{GOOD.key_id}_{'٠' * 64}",
            "\ud800",
            "a" * 1_000_000,
        ],
        ids=range(14),
    )
    def test_that_is_not_ours_is_none(self, text: str) -> None:
        assert KeyText.parse(text) is None

    @given(st.text())
    def test_of_any_kind_is_looked_at_without_failing(self, text: str) -> None:
        assert KeyText.parse(text) is None


class TestDigest:
    def test_depends_on_id_secret_and_pepper(self) -> None:
        others = [
            KeyText("1" * 16, GOOD.secret).digest(PEPPER),
            KeyText(GOOD.key_id, "cd" * 32).digest(PEPPER),
            GOOD.digest(b"q" * 64),
        ]
        assert len({GOOD.digest(PEPPER), *others}) == 4

    def test_is_sha256_of_a_keyed_hash(self) -> None:
        assert len(bytes.fromhex(GOOD.digest(PEPPER))) == 32


class TestScopes:
    def test_are_all_permissions_but_those_over_what_would_outlive_a_key(self) -> None:
        assert set(Permission) - set(SCOPES) == {
            *(Permission.KEYS_MANAGE, Permission.KEYS_MANAGE_ALL),
            *(Permission.WEBHOOKS_MANAGE, Permission.WEBHOOKS_MANAGE_ALL),
        }


class TestStatus:
    KEY = ApiKey("acme", "k", "ada", "ci", ("jobs:read",), "d", NOW, NOW + timedelta(days=1))

    def test_is_active_until_the_very_moment_it_expires(self) -> None:
        moments = [NOW, NOW + timedelta(days=1, microseconds=-1), NOW + timedelta(days=1)]
        assert [self.KEY.status(now) for now in moments] == [KeyStatus.ACTIVE, KeyStatus.ACTIVE, KeyStatus.EXPIRED]

    def test_revoked_stays_revoked(self) -> None:
        revoked = ApiKey(**{**vars(self.KEY), "revoked_at": NOW})
        assert {revoked.status(NOW), revoked.status(NOW + timedelta(days=9))} == {KeyStatus.REVOKED}

    def test_does_not_show_its_hash_by_accident(self) -> None:
        assert "digest" not in repr(self.KEY)
