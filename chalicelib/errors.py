"""What can go wrong, in words that no protocol owns.

    ServiceError                 code, detail and the fields it is about
    ├── InvalidRequest           the request's shape or values are wrong
    ├── RefusedValue             well formed, but not allowed here (somebody else's path, a reserved variable)
    ├── Unauthenticated          who is asking is not known
    ├── Forbidden                known, but may not do this
    ├── NotFound                 not there, or not yours: the same answer
    ├── NotThereYet              of a thing that the caller may see, something that is still to come
    ├── Conflict                 the state of the thing does not allow it
    ├── PreconditionFailed       it was asked for on a condition that does not hold
    ├── TooLarge                 over a size limit
    ├── QuotaExceeded            over a limit of use
    ├── ModelFailed              a deployed model could not answer; its own words are the detail
    └── Unavailable              something behind the service does not answer; trying again helps

Services raise these. Each protocol maps an `ErrorCode` to its own status once (`api/rest.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Any, Self


class ErrorCode(Enum):
    INVALID_REQUEST = "invalid-request"
    REFUSED_VALUE = "refused-value"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    NOT_THERE_YET = "not-there-yet"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    CONFLICT = "conflict"
    PRECONDITION_FAILED = "precondition-failed"
    TOO_LARGE = "too-large"
    QUOTA_EXCEEDED = "quota-exceeded"
    MODEL_FAILED = "model-failed"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


@dataclass(frozen=True)
class FieldProblem:
    """One field, what is wrong with it, and what would be right."""

    field: str
    message: str
    cure: str


class ServiceError(Exception):
    """Base of all errors a caller is told about."""

    code: ErrorCode = ErrorCode.INTERNAL
    extra: Mapping[str, Any] = MappingProxyType({})
    retry_at: datetime | None = None

    def __init__(self, detail: str, problems: Sequence[FieldProblem] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.problems = tuple(problems)


class _FieldsError(ServiceError):
    """An error about fields, whose detail sums them up."""

    @classmethod
    def about(cls, *problems: FieldProblem) -> Self:
        return cls("; ".join(f"{problem.field}: {problem.message}" for problem in problems), problems)


class InvalidRequest(_FieldsError):
    code = ErrorCode.INVALID_REQUEST


class RefusedValue(_FieldsError):
    code = ErrorCode.REFUSED_VALUE


class Unauthenticated(ServiceError):
    code = ErrorCode.UNAUTHENTICATED


class Forbidden(ServiceError):
    code = ErrorCode.FORBIDDEN


class NotFound(ServiceError):
    """Deliberately without the id: a stranger's thing and a missing one get the same bytes."""

    code = ErrorCode.NOT_FOUND

    def __init__(self, noun: str) -> None:
        super().__init__(f"There is no such {noun}, or it is not yours.")


class NotThereYet(ServiceError):
    """The caller may see what this belongs to, and it will be there: a 404 that says why, unlike that of a stranger.

    Args:
        reason: what it waits for, for programs: a stable word.
        retry_at: when asking again is worth it; None when that is not known.
    """

    code = ErrorCode.NOT_THERE_YET

    def __init__(self, detail: str, reason: str = "", retry_at: datetime | None = None) -> None:
        super().__init__(detail)
        self.extra = {"reason": reason} if reason else {}
        self.retry_at = retry_at


class Conflict(ServiceError):
    code = ErrorCode.CONFLICT


class PreconditionFailed(ServiceError):
    code = ErrorCode.PRECONDITION_FAILED


class TooLarge(_FieldsError):
    code = ErrorCode.TOO_LARGE


class QuotaExceeded(ServiceError):
    """
    Args:
        extra: what a program wants to know of it: the limits that are crossed, and when there is room again.
        retry_at: when trying again is expected to help; None when that is not known.
    """

    code = ErrorCode.QUOTA_EXCEEDED

    def __init__(
        self,
        detail: str,
        problems: Sequence[FieldProblem] = (),
        extra: Mapping[str, Any] | None = None,
        retry_at: datetime | None = None,
    ) -> None:
        super().__init__(detail, problems)
        self.extra = dict(extra or {})
        self.retry_at = retry_at


class ModelFailed(ServiceError):
    code = ErrorCode.MODEL_FAILED


class Unavailable(ServiceError):
    code = ErrorCode.UNAVAILABLE
