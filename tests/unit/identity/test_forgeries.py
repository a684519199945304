"""Tokens that nobody may be let in with, and what looking at them may not cause."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from chalicelib.errors import Unauthenticated
from chalicelib.identity.tokens import MAX_TOKEN_BYTES, Verifier
from tests.faults import Shows
from tests.unit.identity.issuer import (
    JWKS_URL,
    Issuer,
    _base64,
    claims,
    ec_key,
    jwk,
    pem,
    raw_token,
    rsa_key,
    token,
)

ELSEWHERE = "https://evil.example/jwks.json"
HEADER = {"alg": "RS256", "typ": "JWT", "kid": "first"}


def hmac_token(secret: bytes, algorithm: str = "HS256", kid: str = "first") -> str:
    """Signed with a secret: PyJWT itself refuses to make one from a public key."""
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[algorithm]
    signed = ".".join(
        _base64(json.dumps(part).encode()) for part in ({"alg": algorithm, "typ": "JWT", "kid": kid}, claims())
    )
    return f"{signed}.{_base64(hmac.new(secret, signed.encode(), digest).digest())}"


def changed_after_signing() -> str:
    header, _, signature = token().split(".")
    return f"{header}.{_base64(json.dumps(claims(roles=['ADMIN'])).encode())}.{signature}"


def with_header(**more: Any) -> str:
    return raw_token({**HEADER, **more}, claims())


def stranger_with_header(**more: Any) -> str:
    return raw_token({**HEADER, **more}, claims(), rsa_key("stranger"))


FORGERIES: dict[str, Callable[[], str]] = {
    "alg none": lambda: raw_token({**HEADER, "alg": "none"}, claims(), algorithm="none"),
    "alg None in capitals": lambda: raw_token({**HEADER, "alg": "NONE"}, claims(), algorithm="none"),
    "alg none with a signature": lambda: raw_token({**HEADER, "alg": "none"}, claims()),
    "no alg": lambda: raw_token({"kid": "first"}, claims()),
    "alg a list": lambda: raw_token({**HEADER, "alg": ["RS256"]}, claims()),
    "alg of another family": lambda: raw_token({**HEADER, "alg": "PS256"}, claims(), algorithm="PS256"),
    "alg with more bits": lambda: raw_token({**HEADER, "alg": "RS512"}, claims(), algorithm="RS512"),
    "alg RS256 in small letters": lambda: raw_token({**HEADER, "alg": "rs256"}, claims()),
    "HS256 with the public key as secret": lambda: hmac_token(pem(rsa_key())),
    "HS384 with the public key as secret": lambda: hmac_token(pem(rsa_key()), "HS384"),
    "HS512 with the public key as secret": lambda: hmac_token(pem(rsa_key()), "HS512"),
    "HS256 with the JWK as secret": lambda: hmac_token(json.dumps(jwk(rsa_key(), "first")).encode()),
    "HS256 with an empty secret": lambda: hmac_token(b""),
    "EC key under an RSA alg": lambda: raw_token(HEADER, claims(), ec_key(), "ES256"),
    "EC signature for an RSA kid": lambda: token(key=ec_key(), algorithm="ES256"),
    "RSA signature for an EC kid": lambda: token(kid="curve"),
    "key of a stranger": lambda: token(key=rsa_key("stranger")),
    "key that is for encryption": lambda: token(key=rsa_key("sealing"), kid="sealing"),
    "key published for another algorithm": lambda: token(key=rsa_key("other"), kid="other"),
    "key on another curve": lambda: raw_token(
        {**HEADER, "alg": "ES384", "kid": "wide"}, claims(), ec_key("wide", ec.SECP384R1), "ES384"
    ),
    "jku": lambda: stranger_with_header(jku=ELSEWHERE),
    "jku to the metadata address": lambda: stranger_with_header(jku="http://169.254.169.254/latest/meta-data/"),
    "jwk of a stranger": lambda: stranger_with_header(jwk=jwk(rsa_key("stranger"), "first")),
    "x5u": lambda: stranger_with_header(x5u=ELSEWHERE),
    "x5c": lambda: stranger_with_header(x5c=["MIIB"]),
    "kid missing": lambda: raw_token({"alg": "RS256"}, claims()),
    "kid null": lambda: with_header(kid=None),
    "kid empty": lambda: with_header(kid=""),
    "kid a list": lambda: with_header(kid=["first"]),
    "kid an object": lambda: with_header(kid={"first": 1}),
    "kid a number": lambda: with_header(kid=1),
    "kid a path": lambda: with_header(kid="../../../../dev/null"),
    "kid an address": lambda: with_header(kid=ELSEWHERE),
    "kid a query": lambda: with_header(kid="first' OR '1'='1"),
    "kid huge": lambda: with_header(kid="k" * 4000),
    "kid with NUL": lambda: with_header(kid="first\0"),
    "kid half a character": lambda: raw_token(rb'{"alg":"RS256","kid":"\ud800"}', claims()),
    "crit that nobody knows": lambda: with_header(crit=["exp"], exp=1),
    "crit that is empty": lambda: with_header(crit=[]),
    "payload not encoded": lambda: with_header(b64=False, crit=["b64"]),
    "exp missing": lambda: token(claims(exp=None)),
    "iss missing": lambda: token(claims(iss=None)),
    "aud missing": lambda: token(claims(aud=None)),
    "sub missing": lambda: token(claims(sub=None)),
    "exp null": lambda: raw_token(HEADER, {**claims(), "exp": None}),
    "exp a word": lambda: raw_token(HEADER, {**claims(), "exp": "never"}),
    "exp without end": lambda: raw_token(HEADER, json.dumps(claims(exp=7777)).replace("7777", "1e999").encode()),
    "expired": lambda: token(claims(exp=int(time.time()) - 60)),
    "expired long ago": lambda: token(claims(exp=1)),
    "nbf in the future": lambda: token(claims(nbf=int(time.time()) + 600)),
    "iat in the future": lambda: token(claims(iat=int(time.time()) + 600)),
    "aud of another service": lambda: token(claims(aud="billing")),
    "aud a longer word": lambda: token(claims(aud="aimatrix-admin")),
    "aud many others": lambda: token(claims(aud=["billing", "mail"])),
    "iss of another": lambda: token(claims(iss="https://evil.example")),
    "iss with a slash more": lambda: token(claims(iss="https://issuer.example/")),
    "iss a list": lambda: raw_token(HEADER, {**claims(), "iss": ["https://issuer.example"]}),
    "sub a number": lambda: raw_token(HEADER, {**claims(), "sub": 7}),
    "sub empty": lambda: token(claims(sub="")),
    "sub with a slash": lambda: token(claims(sub="ada/../bob")),
    "sub a parent directory": lambda: token(claims(sub="..")),
    "sub this directory": lambda: token(claims(sub=".")),
    "sub with a percent sign": lambda: token(claims(sub="%2e%2e")),
    "sub with a line break": lambda: token(claims(sub="ada\n")),
    "sub of another script": lambda: token(claims(sub="аdа")),
    "sub with a hash": lambda: token(claims(sub="ada#job")),
    "sub huge": lambda: token(claims(sub="a" * 129)),
    "tenant in capitals": lambda: token(claims(tenant="Acme")),
    "tenant with a slash": lambda: token(claims(tenant="acme/users")),
    "tenant with a hash": lambda: token(claims(tenant="acme#1")),
    "tenant a parent directory": lambda: token(claims(tenant="..")),
    "tenant empty": lambda: token(claims(tenant="")),
    "tenant a list": lambda: token(claims(tenant=["acme"])),
    "tenant too long": lambda: token(claims(tenant="a" * 49)),
    "roles not a list": lambda: token(claims(roles="ADMIN")),
    "roles an object": lambda: token(claims(roles={"ADMIN": True})),
    "roles of numbers": lambda: token(claims(roles=[1])),
    "role of two words": lambda: token(claims(roles=["USER ADMIN"])),
    "role with a tab": lambda: token(claims(roles=["USER\tADMIN"])),
    "role with a separator": lambda: token(claims(roles=["USER\x1fADMIN"])),
    "role with a wide space": lambda: token(claims(roles=["USER\u3000ADMIN"])),
    "role empty": lambda: token(claims(roles=[""])),
    "permissions not a list": lambda: token(claims(permissions="models:deploy")),
    "permission of two words": lambda: token(claims(permissions=["a models:deploy"])),
    "changed after signing": changed_after_signing,
    "signature cut off": lambda: token().rpartition(".")[0] + ".",
    "no signature part": lambda: token().rpartition(".")[0],
    "a part too many": lambda: token() + ".e30",
    "two tokens": lambda: token() + token(),
    "garbage": lambda: "garbage",
    "dots": lambda: "..",
    "empty": lambda: "",
    "not base64": lambda: "!.!.!",
    "of another script": lambda: "ä.ö.ü",
    "half a character": lambda: "\ud800.e30.e30",
    "header not JSON": lambda: raw_token(b"{", claims()),
    "header a list": lambda: raw_token([], claims()),
    "header a number": lambda: raw_token(1, claims()),
    "header too deep": lambda: raw_token(b'{"alg":"RS256","kid":' + b"[" * 3000 + b"]" * 3000 + b"}", {}),
    "header not UTF-8": lambda: raw_token(b'{"alg":"RS256","kid":"\xff"}', claims()),
    "payload not JSON": lambda: raw_token(HEADER, b"{"),
    "payload a list": lambda: raw_token(HEADER, []),
    "payload too deep": lambda: raw_token(HEADER, b"[" * 2500 + b"]" * 2500),
    "huge": lambda: token(claims(note="x" * MAX_TOKEN_BYTES)),
    "a megabyte of dots": lambda: "." * 1024 * 1024,
}


def _lets_in(verifier: Verifier, text: str) -> bool:
    try:
        verifier.verify(text)
    except Unauthenticated:
        return False
    return True


@pytest.fixture
def issuer() -> Issuer:
    return Issuer(
        keys=[
            jwk(rsa_key(), "first"),
            jwk(ec_key(), "curve"),
            jwk(rsa_key("sealing"), "sealing", use="enc"),
            jwk(rsa_key("other"), "other", alg="PS256"),
            jwk(ec_key("wide", ec.SECP384R1), "wide"),
        ]
    )


class TestForgeries:
    @pytest.mark.parametrize("name", FORGERIES)
    def test_lets_nobody_in_and_asks_nobody_but_the_issuer(self, issuer: Issuer, name: str) -> None:
        forged = FORGERIES[name]()
        with pytest.raises(Unauthenticated):
            issuer.verifier().verify(forged)
        assert set(issuer.fetched) <= {JWKS_URL}

    def test_all_of_them_together_cost_one_fetch(self, issuer: Issuer, shows: Shows) -> None:
        verifier = issuer.verifier()
        accepted = [name for name, forge in FORGERIES.items() if _lets_in(verifier, forge())]
        elsewhere = [url for url in issuer.fetched if url != JWKS_URL]
        shows(24, f"{len(FORGERIES)} forgeries, {len(accepted)} accepted, {len(elsewhere)} fetches elsewhere")
        assert accepted == []
        assert issuer.fetched == [JWKS_URL]

    def test_counts_more_than_thirty(self) -> None:
        assert len(FORGERIES) > 30

    def test_an_honest_token_from_the_same_issuer_passes(self, issuer: Issuer) -> None:
        verifier = issuer.verifier()
        assert verifier.verify(token()).user == "ada"
        assert verifier.verify(token(key=ec_key(), algorithm="ES256", kid="curve")).user == "ada"

    def test_headers_that_point_elsewhere_change_nothing_about_an_honest_token(self, issuer: Issuer) -> None:
        headers = {"jku": ELSEWHERE, "x5u": ELSEWHERE, "jwk": jwk(rsa_key("stranger"), "first")}
        assert issuer.verifier().verify(token(headers=headers)).user == "ada"
        assert issuer.fetched == [JWKS_URL]
