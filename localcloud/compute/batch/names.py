"""ARNs of Batch resources, and the ways a request may name one."""

from __future__ import annotations

from dataclasses import dataclass

from localcloud.compute.errors import ApiError
from localcloud.compute.settings import Settings


class ClientFault(ApiError):
    """Batch's one code for everything a caller did wrong."""

    def __init__(self, message: str) -> None:
        super().__init__("ClientException", message, 400)


class TooManyRequests(ApiError):
    """Batch took too many calls of one kind in a second."""

    def __init__(self, message: str) -> None:
        super().__init__("TooManyRequestsException", message, 429)


@dataclass(frozen=True)
class Arns:
    region: str
    account: str

    @classmethod
    def of(cls, settings: Settings) -> Arns:
        return cls(settings.region, settings.account)

    def make(self, kind: str, name: str) -> str:
        """`kind`: ``job``, ``job-queue``, ``job-definition`` or ``compute-environment``."""
        return f"arn:aws:batch:{self.region}:{self.account}:{kind}/{name}"

    def name(self, kind: str, name_or_arn: str) -> str:
        """The name in a name or an ARN of this account and region; a foreign ARN names nothing here."""
        if not name_or_arn.startswith("arn:"):
            return name_or_arn
        prefix = self.make(kind, "")
        return name_or_arn.removeprefix(prefix) if name_or_arn.startswith(prefix) else name_or_arn
