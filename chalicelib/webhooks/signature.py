"""How a delivery is signed, and how a receiver checks that. Standard library only: the client shares it.

The scheme is that of the Standard Webhooks specification, version 1:
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping

PREFIX = "whsec_"
SECRET_BYTES = 32
TOLERANCE_SECONDS = 300


class NotSigned(ValueError):
    """A request is not what the owner of the secret has sent, or not of this time."""


def secret_text(key: bytes) -> str:
    """A signing key as its owner holds it."""
    return PREFIX + base64.b64encode(key).decode()


def key_of(secret: str) -> bytes:
    """
    Raises:
        ValueError: it is not a signing secret.
    """
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("a signing secret begins with whsec_ and goes on in base64") from None


def sign(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def headers(keys: Iterable[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """What goes with a body: one signature for each key that is valid."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(key, message_id, timestamp, body) for key in keys),
    }


def verify(secret: str, given: Mapping[str, str], body: bytes, now: float) -> str:
    """Check a delivery; returns its `webhook-id`, the event's id, by which a repetition is known.

    Args:
        given: the request's headers.
        body: exactly as it came.
        now: seconds since 1970.

    Raises:
        NotSigned: no signature fits, or the time is more than five minutes off.
    """
    found = {name.lower(): value for name, value in given.items()}
    message_id, stamp = found.get("webhook-id", ""), found.get("webhook-timestamp", "")
    if not (stamp.isascii() and stamp.isdigit() and abs(now - int(stamp)) <= TOLERANCE_SECONDS):
        raise NotSigned("webhook-timestamp is missing, or too far from now")
    wanted = sign(key_of(secret), message_id, int(stamp), body).encode()
    signatures = found.get("webhook-signature", "").split(" ")
    # All of them, so that the time taken does not tell which one fitted.
    if not any([hmac.compare_digest(wanted, each.encode()) for each in signatures]):  # noqa: C419
        raise NotSigned("no signature in webhook-signature fits")
    return message_id
