"""The laptop's token issuer: one RSA key for each state directory, its JWKS, and the tokens it signs."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from localcloud.state import AUDIENCE, write_private

ALGORITHM = "RS256"
MAX_TTL = timedelta(days=30)
_KEY_BITS = 2048


@dataclass(frozen=True)
class Issuer:
    """Signs tokens that anyone can verify against `documents()["jwks.json"]`."""

    url: str
    key: rsa.RSAPrivateKey

    @classmethod
    def open(cls, directory: Path, url: str) -> Issuer:
        """Load the directory's key; make one, readable by its owner only, if there is none."""
        file = directory / "key.pem"
        try:
            pem = file.read_bytes()
        except FileNotFoundError:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
            pem = key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            write_private(file, pem)
        loaded = serialization.load_pem_private_key(pem, password=None)
        if not isinstance(loaded, rsa.RSAPrivateKey):
            raise TypeError(f"{file} holds no RSA key")
        return cls(url, loaded)

    def documents(self) -> dict[str, bytes]:
        """The public documents, by file name below `/.well-known/`."""
        configuration = {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/.well-known/jwks.json",
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "response_types_supported": ["token"],
            "subject_types_supported": ["public"],
        }
        return {
            "jwks.json": json.dumps({"keys": [self._jwk()]}).encode(),
            "openid-configuration": json.dumps(configuration).encode(),
        }

    def token(
        self,
        user: str,
        roles: Sequence[str],
        tenant: str,
        permissions: Sequence[str],
        ttl: timedelta,
        now: Callable[[], float],
    ) -> str:
        """Sign a token for a user.

        Args:
            ttl: how long it is good for, at most 30 days.
            now: the clock, in seconds since the epoch.

        Raises:
            ValueError: no user, no tenant, or a lifetime out of range.
        """
        if not user or not tenant:
            raise ValueError("a token needs a user and a tenant")
        if not timedelta(0) < ttl <= MAX_TTL:
            raise ValueError(f"a token lives for more than 0 and at most {MAX_TTL.days} days")
        issued = int(now())
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": user,
            "iat": issued,
            "exp": issued + int(ttl.total_seconds()),
            "jti": str(uuid.uuid4()),
            "roles": list(roles),
            "permissions": list(permissions),
            "tenant": tenant,
        }
        return jwt.encode(claims, self.key, algorithm=ALGORITHM, headers={"kid": self._key_id()})

    def _jwk(self) -> dict[str, str]:
        numbers = self.key.public_key().public_numbers()
        return {
            "kty": "RSA",
            "use": "sig",
            "alg": ALGORITHM,
            "kid": self._key_id(),
            "n": _base64url(numbers.n),
            "e": _base64url(numbers.e),
        }

    def _key_id(self) -> str:
        """The key's RFC 7638 thumbprint."""
        numbers = self.key.public_key().public_numbers()
        members = {"e": _base64url(numbers.e), "kty": "RSA", "n": _base64url(numbers.n)}
        digest = hashlib.sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _base64url(number: int) -> str:
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
