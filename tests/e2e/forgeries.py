"""Tokens and keys that let nobody in."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from localcloud.state import AUDIENCE
from tests.e2e.matrix_world import World


def forgeries(world: World) -> dict[str, dict[str, str]]:
    """Headers that let nobody in, whatever they are sent to."""
    issuer = world.issuer
    good = world.token("alice", "ADMIN")["Authorization"].removeprefix("Bearer ")
    header, body, signature = good.split(".")
    claims = jwt.decode(good, options={"verify_signature": False})
    kid = jwt.get_unverified_header(good)["kid"]
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = issuer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def signed(key: Any, algorithm: str = "RS256", headers: Any = None, **changes: Any) -> str:
        whole = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        return jwt.encode(whole, key, algorithm=algorithm, headers={"kid": kid, **(headers or {})})

    def part(document: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()

    now = int(time.time())
    hmac_key = jwt.encode(claims, base64.b64encode(public).decode(), algorithm="HS256", headers={"kid": kid})
    tokens = {
        "expired": signed(issuer.key, exp=now - 60),
        "not yet valid": signed(issuer.key, nbf=now + 600),
        "for another audience": signed(issuer.key, aud="another"),
        "of another issuer": signed(issuer.key, iss="https://evil.example"),
        "without an end": signed(issuer.key, exp=None),
        "without a subject": signed(issuer.key, sub=None),
        "by another key": signed(stranger),
        "by a key of its own": signed(stranger, headers={"jwk": {"kty": "RSA"}, "jku": "http://127.0.0.1:9/jwks"}),
        "unsigned": f"{part({'alg': 'none', 'kid': kid})}.{body}.",
        "by the public key as a secret": hmac_key,
        "with another body": f"{header}.{part({**claims, 'tenant': 'elsewhere'})}.{signature}",
        "cut": good[:-8],
    }
    assert jwt.decode(signed(issuer.key), public, algorithms=["RS256"], audience=AUDIENCE)  # an honest one is let in
    made = world.http.post(
        "/api-keys", headers=world.token("forger", "USER"), json={"name": "forged", "scopes": ["jobs:read"]}
    ).json()
    revoked = world.http.post(
        "/api-keys", headers=world.token("forger", "USER"), json={"name": "revoked", "scopes": ["jobs:read"]}
    ).json()
    world.http.delete(f"/api-keys/{revoked['key_id']}", headers=world.token("forger", "USER"))
    keys = {
        "key with another secret": made["key"][:-1] + ("0" if made["key"][-1] != "0" else "1"),
        "key that is not there": f"aimx_{'f' * 16}_{'f' * 64}",
        "key that is none": "nonsense",
        "revoked key": revoked["key"],
    }
    return {
        "nothing": {},
        "another scheme": {"Authorization": "Basic YWxpY2U6YWxpY2U="},
        "a key and a token": {"X-API-Key": made["key"], "Authorization": f"Bearer {good}"},
        **{name: {"Authorization": f"Bearer {token}"} for name, token in tokens.items()},
        **{name: {"X-API-Key": key} for name, key in keys.items()},
    }
