"""The Lambda that API Gateway asks about every request.

Its answer is not cached there: a cache would be keyed by headers that must all be present, and a request has one of two. So
a revoked key or an expired token ends with the next request.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

from chalice import AuthResponse

from chalicelib.api.authorization import Question
from chalicelib.errors import Unauthenticated
from chalicelib.identity.caller import Caller
from chalicelib.identity.tokens import KeySet, Memory, Verifier
from chalicelib.log import logger
from chalicelib.settings import Settings

CACHE_SECONDS = 0
TOKEN_HEADER, KEY_HEADER = "authorization", "x-api-key"
_FETCH_TIMEOUT = 3
_MAX_JWKS_BYTES = 256 * 1024


class Unauthorized(Exception):
    """API Gateway turns an authorizer that fails with exactly the text `Unauthorized` into a 401."""

    def __init__(self) -> None:
        super().__init__("Unauthorized")


class Keys(Protocol):
    """What the authorizer needs of the room `api_keys`."""

    def authenticate(self, text: str) -> Caller:
        """
        Raises:
            Unauthenticated: not a key, or not any more.
        """


def answer(question: Question, tokens: Callable[[], Verifier], keys: Callable[[], Keys]) -> AuthResponse:
    """Allow all routes for a verified token or key: what the caller may do there is the services' question.

    Args:
        tokens, keys: each is asked for when a request needs it.
    """
    try:
        caller = _caller(question, tokens, keys)
    except Unauthenticated as error:
        logger.info("refused", extra={"reason": error.detail, "source_ip": question.source_ip})
        raise Unauthorized from None
    context = caller.to_context()
    logger.info("accepted", extra={name: context.get(name) for name in ("tenant", "user", "auth", "key_id")})
    return AuthResponse(routes=["*"], principal_id=f"{caller.tenant}/{caller.user}", context=context)


def _caller(question: Question, tokens: Callable[[], Verifier], keys: Callable[[], Keys]) -> Caller:
    sent = [(name, text) for name in (TOKEN_HEADER, KEY_HEADER) for text in question.headers.get(name, ())]
    # Of two, nobody could say which one counts.
    if len(sent) != 1:
        raise Unauthenticated(f"{len(sent)} credentials were sent, not one")
    name, text = sent[0]
    if name == KEY_HEADER:
        return keys().authenticate(text)
    scheme, _, token = text.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("not a bearer token")
    return tokens().verify(token.strip())


def verifier(settings: Settings, memory: Memory) -> Verifier:
    keys = KeySet(url=settings.jwks_url, fetch=fetch, monotonic=time.monotonic, memory=memory)
    return Verifier(keys=keys, issuer=settings.token_issuer, audience=settings.token_audience)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The keys come from the address that was configured, and from no other that it may point to."""

    def redirect_request(self, *_: Any) -> None:
        return None


def fetch(url: str) -> bytes:
    """The document at an https address, or at an http one on this machine.

    Raises:
        OSError: another kind of address, no answer, a redirect, or more than 256 KB.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and (parts.scheme, parts.hostname) != ("http", "127.0.0.1"):
        raise OSError(f"{url} is neither https nor on this machine")
    with urllib.request.build_opener(_NoRedirect).open(url, timeout=_FETCH_TIMEOUT) as answer:
        body: bytes = answer.read(_MAX_JWKS_BYTES + 1)
    if len(body) > _MAX_JWKS_BYTES:
        raise OSError(f"{url} answers more than {_MAX_JWKS_BYTES} bytes")
    return body
