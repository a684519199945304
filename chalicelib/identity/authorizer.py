"""The Lambda that API Gateway asks about every token; its answer is cached there for five minutes."""

from __future__ import annotations

import time
import urllib.request
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from chalice import AuthResponse
from chalice.app import AuthRequest

from chalicelib.errors import Unauthenticated
from chalicelib.identity.tokens import KeySet, Verifier
from chalicelib.log import logger
from chalicelib.settings import Settings

CACHE_SECONDS = 300
_FETCH_TIMEOUT = 3
_MAX_JWKS_BYTES = 256 * 1024


class Unauthorized(Exception):
    """API Gateway turns an authorizer that fails with exactly the text `Unauthorized` into a 401."""

    def __init__(self) -> None:
        super().__init__("Unauthorized")


def answer(request: AuthRequest, verifier: Verifier) -> AuthResponse:
    """Allow all routes for a verified token: what the caller may do there is the services' question."""
    scheme, _, token = request.token.partition(" ")
    try:
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("not a bearer token")
        caller = verifier.verify(token.strip())
    except Unauthenticated as error:
        logger.info("refused a token", extra={"reason": error.detail})
        raise Unauthorized from None
    logger.info("accepted a token", extra={"tenant": caller.tenant, "user": caller.user})
    return AuthResponse(routes=["*"], principal_id=f"{caller.tenant}/{caller.user}", context=caller.to_context())


def verifier_of_process(settings: Settings) -> Verifier:
    """One verifier, and so one set of keys, per process."""
    return _verifier(settings.jwks_url, settings.token_issuer, settings.token_audience)


@lru_cache(maxsize=1)
def _verifier(url: str, issuer: str, audience: str) -> Verifier:
    return Verifier(keys=KeySet(url=url, fetch=fetch, monotonic=time.monotonic), issuer=issuer, audience=audience)


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
