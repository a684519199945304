"""The laptop's token issuer."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import jwt
import pytest

from localcloud.issuer import Issuer

URL = "http://127.0.0.1:8000/issuer"
NOW = 1_800_000_000.0


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer.open(tmp_path / "issuer", URL)


def sign(issuer: Issuer, user: str = "alice", tenant: str = "default", ttl: timedelta = timedelta(hours=1)) -> str:
    return issuer.token(user, ["USER"], tenant, ["models:deploy"], ttl, now=lambda: NOW)


class TestToken:
    def test_verifies_against_the_published_key(self, issuer: Issuer) -> None:
        token = sign(issuer)
        (key,) = json.loads(issuer.documents()["jwks.json"])["keys"]
        assert jwt.get_unverified_header(token)["kid"] == key["kid"]
        claims = jwt.decode(
            token,
            jwt.PyJWK(key).key,
            algorithms=["RS256"],
            audience="aimatrix",
            issuer=URL,
            options={"require": ["exp", "iss", "aud", "sub"], "verify_exp": False, "verify_iat": False},
        )
        assert claims["sub"] == "alice"
        assert claims["roles"] == ["USER"]
        assert claims["permissions"] == ["models:deploy"]
        assert claims["tenant"] == "default"
        assert claims["iat"] == int(NOW)
        assert claims["exp"] == int(NOW) + 3600

    def test_is_never_the_same_twice(self, issuer: Issuer) -> None:
        assert sign(issuer) != sign(issuer)

    @pytest.mark.parametrize("ttl", [timedelta(0), timedelta(seconds=-1), timedelta(days=31)])
    def test_refuses_a_lifetime_out_of_range(self, issuer: Issuer, ttl: timedelta) -> None:
        with pytest.raises(ValueError, match="lives"):
            sign(issuer, ttl=ttl)

    @pytest.mark.parametrize(("user", "tenant"), [("", "default"), ("alice", "")])
    def test_refuses_nobody_and_nowhere(self, issuer: Issuer, user: str, tenant: str) -> None:
        with pytest.raises(ValueError, match="needs"):
            sign(issuer, user=user, tenant=tenant)


class TestKey:
    def test_is_kept_from_start_to_start(self, tmp_path: Path) -> None:
        first = Issuer.open(tmp_path, URL)
        assert Issuer.open(tmp_path, URL).documents() == first.documents()

    def test_differs_between_states(self, tmp_path: Path) -> None:
        assert Issuer.open(tmp_path / "a", URL).documents() != Issuer.open(tmp_path / "b", URL).documents()

    def test_is_readable_by_its_owner_only(self, tmp_path: Path) -> None:
        Issuer.open(tmp_path, URL)
        assert oct((tmp_path / "key.pem").stat().st_mode & 0o777) == "0o600"

    def test_of_another_kind_is_refused(self, tmp_path: Path) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (tmp_path / "key.pem").write_bytes(pem)
        with pytest.raises(TypeError, match="no RSA key"):
            Issuer.open(tmp_path, URL)

    def test_never_leaves_with_the_documents(self, issuer: Issuer) -> None:
        (key,) = json.loads(issuer.documents()["jwks.json"])["keys"]
        assert set(key) == {"kty", "use", "alg", "kid", "n", "e"}
