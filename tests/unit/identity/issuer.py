"""A token issuer for tests: keys, a JWKS document, and a fetch that counts who asks for what."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from chalicelib.identity.tokens import KeySet, Memory, Verifier

ISSUER = "https://issuer.example"
AUDIENCE = "aimatrix"
JWKS_URL = f"{ISSUER}/.well-known/jwks.json"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def rsa_key(name: str = "first") -> rsa.RSAPrivateKey:
    """The same key for the same name: making one takes a tenth of a second."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def ec_key(name: str = "first", curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve())


def jwk(key: PrivateKey, kid: str, **more: Any) -> dict[str, Any]:
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        entry = RSAAlgorithm.to_jwk(public, as_dict=True)
    else:
        entry = ECAlgorithm.to_jwk(public, as_dict=True)
    return {**entry, "kid": kid, "use": "sig", **more}


def pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@dataclass
class Issuer:
    """What stands behind the JWKS address.

    Attributes:
        keys: the published entries.
        answer: bytes to give instead of the keys, or an error to raise.
        fetched: every address that was asked for, in order.
    """

    keys: list[Any] = field(default_factory=lambda: [jwk(rsa_key(), "first")])
    answer: bytes | Exception | None = None
    fetched: list[str] = field(default_factory=list)
    now: float = 1000.0
    memory: Memory | None = None

    def fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer if self.answer is not None else json.dumps({"keys": self.keys}).encode()

    def monotonic(self) -> float:
        return self.now

    def key_set(self) -> KeySet:
        return KeySet(url=JWKS_URL, fetch=self.fetch, monotonic=self.monotonic, memory=self.memory)

    def verifier(self) -> Verifier:
        return Verifier(keys=self.key_set(), issuer=ISSUER, audience=AUDIENCE)


def claims(**changes: Any) -> dict[str, Any]:
    """Claims of a good token; a change to None takes the claim out."""
    now = int(time.time())
    whole = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "iat": now,
        "exp": now + 600,
        "roles": ["USER"],
        "tenant": "acme",
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def token(
    body: Mapping[str, Any] | None = None,
    *,
    key: Any = None,
    algorithm: str = "RS256",
    kid: Any = "first",
    headers: Mapping[str, Any] | None = None,
) -> str:
    """A token signed by PyJWT; by default a good one."""
    head = {"kid": kid, **(headers or {})}
    return jwt.encode(dict(body or claims()), key or rsa_key(), algorithm=algorithm, headers=head)


def raw_token(header: Any, body: Any, key: Any = None, algorithm: str = "RS256") -> str:
    """A token with any header and body at all, bytes included, signed as the algorithm says."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, body)]
    signed = ".".join(_base64(part) for part in parts)
    signature = b"" if algorithm == "none" else _sign(signed.encode(), key, algorithm)
    return f"{signed}.{_base64(signature)}"


def _sign(message: bytes, key: Any, algorithm: str) -> bytes:
    return jwt.get_algorithm_by_name(algorithm).sign(message, key or rsa_key())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
