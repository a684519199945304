"""`Idempotency-Key`: the same key and the same request have the effect, and the answer, of one."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta

from chalicelib.errors import Conflict, FieldProblem, InvalidRequest

LIFETIME = timedelta(days=1)
"""How long a key is remembered."""

_KEY = re.compile(r"[!-~]{1,255}")


def check_key(key: str) -> None:
    """
    Raises:
        InvalidRequest: it is no key.
    """
    if not _KEY.fullmatch(key):
        cure = "Use 1 to 255 visible ASCII characters, for example a UUID."
        raise InvalidRequest.about(FieldProblem("Idempotency-Key", "is not a key", cure))


def fingerprint(text: str) -> str:
    """What tells two requests apart."""
    return hashlib.sha256(text.encode()).hexdigest()


def used_otherwise() -> Conflict:
    return Conflict("This Idempotency-Key was used for another request. Use a new key for a new request.")
