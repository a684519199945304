"""Rows of the audit log as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chalicelib.audit.chain import Break, Position


@dataclass(frozen=True)
class AuditRow:
    """One thing that somebody did, or was refused.

    Attributes:
        subject: what it was about, ``<kind>/<id>``; None for a refusal before there was anything.
        outcome: ``done`` or ``refused``; ``code`` and ``detail`` say why it was refused.
        key_id: of the API key that was presented, if it was not a token.
    """

    seq: int
    at: str
    user: str
    action: str
    subject: str | None
    outcome: str
    code: str | None
    detail: str | None
    source_ip: str | None
    request_id: str | None
    key_id: str | None
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> AuditRow:
        return cls(
            seq=document["seq"],
            at=document.get("at", ""),
            user=document.get("user", ""),
            action=document.get("action", ""),
            subject=document.get("subject"),
            outcome=document.get("outcome", ""),
            code=document.get("code"),
            detail=document.get("detail"),
            source_ip=document.get("source_ip"),
            request_id=document.get("request_id"),
            key_id=document.get("key_id"),
            document=document,
        )


@dataclass(frozen=True)
class Verification:
    """What a look at the whole log found.

    Attributes:
        verified: the last row that is as it was sealed. Worth writing down: see ``AuditCalls.verify``.
        broken: the first row that is not; None when all are.
        head: where the service says the log ends.
        waiting: entries that are not sealed yet.
    """

    verified: Position
    broken: Break | None
    head: Position
    waiting: int

    @property
    def document(self) -> dict[str, Any]:
        broken = self.broken
        return {
            "verified": vars(self.verified),
            "broken": {"seq": broken.seq, "fault": broken.fault.value, "detail": broken.detail} if broken else None,
            "head": vars(self.head),
            "waiting": self.waiting,
        }
