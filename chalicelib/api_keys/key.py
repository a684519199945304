"""An API key: its record, the text that a caller sends, and the keyed hash between the two."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from chalicelib.identity.caller import Auth, Caller, Origin
from chalicelib.identity.permissions import Permission

SECRET_BYTES = 32
ID_BYTES = 8
_NEVER = {
    Permission.KEYS_MANAGE,
    Permission.KEYS_MANAGE_ALL,
    Permission.WEBHOOKS_MANAGE,
    Permission.WEBHOOKS_MANAGE_ALL,
}
SCOPES = tuple(each for each in Permission if each not in _NEVER)
"""What a key can be given. A key manages no keys and no webhooks, or a stolen one could outlive its own revocation."""

_TEXT = re.compile(r"aimx_([0-9a-f]{16})_([0-9a-f]{64})")


class KeyStatus(Enum):
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True)
class KeyText:
    """A key as its owner holds it: `aimx_<id>_<secret>`. The prefix lets scanners of leaked secrets recognise it."""

    key_id: str
    secret: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> KeyText | None:
        found = _TEXT.fullmatch(text)
        return cls(found[1], found[2]) if found else None

    def reveal(self) -> str:
        return f"aimx_{self.key_id}_{self.secret}"

    def digest(self, pepper: bytes) -> str:
        """HMAC-SHA256 of the whole key. The secret has 256 random bits: there is nothing for a slow hash to slow down."""
        return hmac.new(pepper, self.reveal().encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class ApiKey:
    """The record of a key.

    Attributes:
        user: who made it, and whom it acts as.
        scopes: the names of the permissions that it has, and no others.
        digest: the keyed hash of the key.
        last_used_at: to the minute.
    """

    tenant: str
    key_id: str
    user: str
    name: str
    scopes: tuple[str, ...]
    digest: str = field(repr=False)
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def status(self, now: datetime) -> KeyStatus:
        if self.revoked_at is not None:
            return KeyStatus.REVOKED
        return KeyStatus.ACTIVE if now < self.expires_at else KeyStatus.EXPIRED

    def caller(self) -> Caller:
        return Caller(
            tenant=self.tenant,
            user=self.user,
            roles=frozenset(),
            granted=frozenset(self.scopes),
            auth=Auth.KEY,
            origin=Origin(key_id=self.key_id),
        )


@dataclass(frozen=True)
class NewKey:
    """A key that was just made, and its text: the only time that anybody sees it."""

    key: ApiKey
    text: str = field(repr=False)
