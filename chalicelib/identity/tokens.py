"""Verifies a bearer token: RS256 or ES256, by the issuer's published keys, every needed claim present.

The keys are cached. A key id that is not among them causes a new fetch at most once a minute, so a flood of made-up ids
reaches nobody; while the issuer is away, the last good keys go on. A process that starts then takes those that another one
fetched last, and tries every five seconds: a flood must not be passed on to an issuer in trouble.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import jwt

from chalicelib.errors import Unauthenticated
from chalicelib.identity.caller import Caller, is_tenant, is_user
from chalicelib.identity.permissions import DEFAULT_TENANT

ALGORITHMS = {"RSA": "RS256", "EC": "ES256"}
REQUIRED_CLAIMS = ["exp", "iss", "aud", "sub"]
MAX_TOKEN_BYTES = 8192
KEYS_LIFETIME = 600.0
REFETCH_INTERVAL = 60.0
FIRST_RETRY_INTERVAL = 5.0

# What reading a token can raise: besides PyJWT's own, JSON that nests too deep and numbers that are no time.
_MALFORMED = (jwt.PyJWTError, ValueError, TypeError, ArithmeticError, RecursionError)

Fetch = Callable[[str], bytes]
"""Gets the bytes behind an address; raises OSError when it cannot."""


class Memory(Protocol):
    """Where the document is kept for other processes. What fails there is logged there: neither method raises."""

    def load(self) -> bytes | None: ...

    def save(self, document: bytes) -> None: ...


@dataclass
class KeySet:
    """The issuer's keys, as last seen.

    Args:
        fetch: gets the JWKS document.
        monotonic: seconds that never go back.
        memory: of all processes; None keeps the keys to this one.
    """

    url: str
    fetch: Fetch
    monotonic: Callable[[], float]
    memory: Memory | None = None
    _keys: dict[str, jwt.PyJWK] = field(default_factory=dict)
    _fetched_at: float | None = None
    _tried_at: float | None = None

    def key(self, kid: str) -> jwt.PyJWK | None:
        now = self.monotonic()
        stale = self._fetched_at is None or now - self._fetched_at > KEYS_LIFETIME
        interval = FIRST_RETRY_INTERVAL if self._fetched_at is None else REFETCH_INTERVAL
        if (kid not in self._keys or stale) and (self._tried_at is None or now - self._tried_at >= interval):
            self._refresh(now)
        return self._keys.get(kid)

    def _refresh(self, now: float) -> None:
        self._tried_at = now
        try:
            document = self.fetch(self.url)
        except OSError:
            document = b""
        # The issuer is away, or answers nonsense or no key at all: what was good stays good.
        if keys := _keys_in(document):
            self._keys = keys
            self._fetched_at = now
            if self.memory:
                self.memory.save(document)
        elif self.memory and not self._keys:
            self._keys = _keys_in(self.memory.load() or b"")


def _keys_in(document: bytes) -> dict[str, jwt.PyJWK]:
    try:
        return dict(_usable(json.loads(document)))
    except (ValueError, RecursionError):
        return {}


def _usable(document: Any) -> Iterator[tuple[str, jwt.PyJWK]]:
    """The keys that sign tokens, by id. One that cannot be used does not spoil the others."""
    entries = document.get("keys") if isinstance(document, dict) else None
    for entry in entries if isinstance(entries, list) else ():
        kid = entry.get("kid") if isinstance(entry, dict) else None
        if not kid or not isinstance(kid, str):
            continue
        algorithm = ALGORITHMS.get(str(entry.get("kty")))
        if algorithm and entry.get("use", "sig") == "sig" and entry.get("alg", algorithm) == algorithm:
            with suppress(jwt.PyJWTError, ValueError, TypeError):
                yield kid, jwt.PyJWK(entry, algorithm=algorithm)


@dataclass(frozen=True)
class Verifier:
    """Turns a token into a `Caller`."""

    keys: KeySet
    issuer: str
    audience: str

    def verify(self, token: str) -> Caller:
        """
        Raises:
            Unauthenticated: for whatever reason; the detail is for the log, not for the caller.
        """
        if len(token) > MAX_TOKEN_BYTES:
            raise Unauthenticated("the token is too large")
        if not token.isascii():
            raise Unauthenticated("the token has characters that no token has")
        try:
            kid = jwt.get_unverified_header(token).get("kid")
        except _MALFORMED as error:
            raise Unauthenticated(f"the token's header cannot be read: {error}") from error
        key = self.keys.key(kid) if isinstance(kid, str) else None
        if key is None:
            raise Unauthenticated("the token's key is not one of the issuer's")
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=self.audience,
                issuer=self.issuer,
                leeway=30,
                options={"require": REQUIRED_CLAIMS},
            )
        except _MALFORMED as error:
            raise Unauthenticated(f"the token is not valid: {error}") from error
        return _caller(claims)


def _caller(claims: Mapping[str, Any]) -> Caller:
    user, tenant = claims["sub"], claims.get("tenant", DEFAULT_TENANT)
    roles, permissions = claims.get("roles", []), claims.get("permissions", [])
    if not isinstance(user, str) or not is_user(user):
        raise Unauthenticated("sub is not a name this service can use")
    if not isinstance(tenant, str) or not is_tenant(tenant):
        raise Unauthenticated("tenant is not a name this service can use")
    for name, values in (("roles", roles), ("permissions", permissions)):
        if not isinstance(values, list) or not all(
            isinstance(value, str) and value.split() == [value] for value in values
        ):
            raise Unauthenticated(f"{name} is not a list of words")
    return Caller(tenant=tenant, user=user, roles=frozenset(roles), granted=frozenset(permissions))
