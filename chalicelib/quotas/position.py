"""Where a check of a tenant's counters stopped: small enough for an address, whatever the size of the tenant. No I/O."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any

from chalicelib.cursor import not_ours
from chalicelib.quotas.quota import Number

Counters = Mapping[str, Mapping[str, Number]]
"""By item (`now`, `month#2026-11`), by counter."""

# API Gateway takes 10,240 bytes of request line and headers together, and a token takes some of that.
MAX_TEXT = 6000
_MAX_UNPACKED = 256 * 1024


class Phase(Enum):
    USERS = "users"
    TENANT = "tenant"
    RECORDS = "records"


@dataclass(frozen=True)
class Look:
    """One look at an account, as far as it has come.

    Attributes:
        versions: of the account's items when it began.
        sums: of what was read since.
        is_deleted: the jobs that are there have been read, now those that were deleted.
        is_read: both have been read.
        round: how often it was begun, because the account had moved.
        is_second: after one that found a difference.
    """

    versions: Mapping[str, int]
    sums: Counters = field(default_factory=dict)
    jobs: int = 0
    is_deleted: bool = False
    is_read: bool = False
    cursor: str | None = None
    round: int = 1
    is_second: bool = False

    def past(self, cursor: str | None) -> Look:
        """After a page of jobs that ended there."""
        if cursor is None:
            return replace(self, is_deleted=True, is_read=self.is_deleted, cursor=None)
        return replace(self, cursor=cursor)


@dataclass(frozen=True)
class Position:
    """
    Attributes:
        user: the last account that is done with in this phase.
        look: at the one after it, where it has begun.
    """

    phase: Phase = Phase.USERS
    user: str | None = None
    look: Look | None = None

    def encode(self) -> str:
        look = None
        if self.look:
            sums = {item: {name: str(n) for name, n in counters.items()} for item, counters in self.look.sums.items()}
            look = {**vars(self.look), "versions": dict(self.look.versions), "sums": sums}
        document = {"phase": self.phase.value, "user": self.user, "look": look}
        packed = zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 9)
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Position:
        """
        Raises:
            InvalidRequest: it is not one of ours.
        """
        if len(text) > MAX_TEXT:
            raise not_ours()
        try:
            unpacking = zlib.decompressobj()
            packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            unpacked = unpacking.decompress(packed, _MAX_UNPACKED)
            if not unpacking.eof:
                raise not_ours()
            return cls._of(json.loads(unpacked))
        except (ValueError, RecursionError, zlib.error, TypeError, KeyError, AttributeError, InvalidOperation):
            raise not_ours() from None

    @classmethod
    def _of(cls, document: Mapping[str, Any]) -> Position:
        user, look = document["user"], document["look"]
        if not (user is None or (isinstance(user, str) and 0 < len(user.encode()) <= 1024)) or len(document) != 3:
            raise ValueError("not a position")
        return cls(Phase(document["phase"]), user, _look(look) if look is not None else None)


def _look(values: Mapping[str, Any]) -> Look:
    numbers = {**values["versions"], "jobs": values["jobs"], "round": values["round"]}
    flags = (values["is_deleted"], values["is_read"], values["is_second"])
    if any(type(number) is not int for number in numbers.values()) or any(type(flag) is not bool for flag in flags):
        raise ValueError("not a look")
    if not (values["cursor"] is None or isinstance(values["cursor"], str)):
        raise ValueError("not a look")
    sums = {
        item: {name: _number(number) for name, number in counters.items()} for item, counters in values["sums"].items()
    }
    return Look(**{**values, "sums": sums})


def _number(text: str) -> Number:
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError("not a number")
    return int(number) if number == number.to_integral_value() else number
