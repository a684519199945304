"""What can go wrong, as a tree.

::

    AimatrixError
    ├── ConfigurationError            no address, an unreadable profile: nothing was sent
    ├── UnreachableError              no answer after every attempt (refused, reset, timed out)
    ├── WaitTimeoutError              the caller's own patience ran out; the job or deployment goes on
    ├── UploadError                   the artifact store refused or lost a file
    └── ApiError                      the service answered with a problem (RFC 9457)
        ├── InvalidRequestError       400, 413, 415, 422: ``errors`` names each field and its cure
        ├── NotAuthenticatedError     401
        ├── ForbiddenError            403
        ├── NotFoundError             404: also what belongs to somebody else
        ├── ConflictError             409: finished already, or the same key with another body
        │   └── PreconditionFailedError  412: the record has another version by now
        ├── QuotaExceededError        429: ``limits`` says which, and when there is room
        └── ServiceError              5xx that outlived the retries
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import httpx


class AimatrixError(Exception):
    """The root: catch this to catch everything the client raises on purpose."""


class ConfigurationError(AimatrixError):
    """The client can't tell whom to talk to; the message says what to set."""


class UnreachableError(AimatrixError):
    """No answer came, after every attempt that was worth making."""


class WaitTimeoutError(AimatrixError):
    """A wait was given up by its caller. What it waited for is still under way."""


class UploadError(AimatrixError):
    """A presigned PUT was refused, or the file changed while it was sent."""


@dataclass(frozen=True)
class FieldError:
    """One thing wrong with one field of a request."""

    field: str
    message: str
    cure: str = ""

    def __str__(self) -> str:
        sentence = f"{self.field}: {self.message}" if self.field else self.message
        return f"{sentence} ({self.cure})" if self.cure else sentence


class ApiError(AimatrixError):
    """The service said no.

    Attributes:
        status: HTTP status.
        code: the service's own stable name for the problem, the one to branch on.
        detail: a sentence for people.
        errors: what is wrong with which field; empty when the problem isn't about fields.
        request_id: what to quote when asking the operators.
        document: the whole problem, as the service sent it.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: tuple[FieldError, ...] = (),
        request_id: str | None = None,
        document: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors
        self.request_id = request_id
        self.document = document

    def __str__(self) -> str:
        return "\n".join([self.detail, *(f"  {error}" for error in self.errors)])


class InvalidRequestError(ApiError):
    """The request itself is wrong; sending it again won't help."""


class NotAuthenticatedError(ApiError):
    """No token, or one the service doesn't accept (any more)."""


class ForbiddenError(ApiError):
    """A good token without the role or permission this call needs."""


class NotFoundError(ApiError):
    """Not there, or not yours: the service doesn't tell the two apart."""


class ConflictError(ApiError):
    """The record's state doesn't allow this call."""


class PreconditionFailedError(ConflictError):
    """The record has another version than the one that the call was meant for."""


@dataclass(frozen=True)
class ExceededLimit:
    """One limit that a submission doesn't fit under.

    Attributes:
        scope: whose it is: ``user`` or ``tenant``.
        limit: its name, as in ``Limits``; ``max_gpus.t4`` for one type of GPU.
        limit_value, used, requested: in ``unit``; what is reserved counts as used.
        fits_at: when there is room again, as far as the service can tell.
    """

    scope: str
    limit: str
    unit: str
    limit_value: float
    used: float
    requested: float
    fits_at: str | None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ExceededLimit:
        return cls(
            scope=document.get("scope", ""),
            limit=document.get("limit", ""),
            unit=document.get("unit", ""),
            limit_value=document.get("limit_value", 0),
            used=document.get("used", 0),
            requested=document.get("requested", 0),
            fits_at=document.get("fits_at"),
        )


class QuotaExceededError(ApiError):
    """Over a quota (``limits`` says which) or a rate limit (``limits`` is empty)."""

    @property
    def limits(self) -> tuple[ExceededLimit, ...]:
        found = self.document.get("limits")
        return tuple(ExceededLimit.from_document(each) for each in found) if isinstance(found, list) else ()

    @property
    def fits_at(self) -> str | None:
        """When all of them have room again; None when one never has, or nobody knows."""
        return self.document.get("fits_at")


class ServiceError(ApiError):
    """The service failed, and went on failing through the retries."""


_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: NotAuthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    412: PreconditionFailedError,
    429: QuotaExceededError,
}


def from_response(response: httpx.Response) -> ApiError:
    """The error for an answer that isn't a success. The body must have been read.

    A body that isn't problem+json (a proxy's page, API Gateway's ``{"message": ...}``) still gives an error of the
    right class, with what can be said of it.
    """
    problem = _document(response)
    detail = _text(problem, "detail") or _text(problem, "message") or _text(problem, "title")
    if not detail:
        detail = f"the service answered {response.status_code} {response.reason_phrase}".rstrip()
    error_class = _BY_STATUS.get(response.status_code) or (
        ServiceError if response.status_code >= 500 else InvalidRequestError
    )
    return error_class(
        status=response.status_code,
        code=_text(problem, "code") or f"http_{response.status_code}",
        detail=detail,
        errors=tuple(_field_errors(problem.get("errors"))),
        request_id=_text(problem, "request_id")
        or response.headers.get("x-request-id")
        or response.headers.get("x-amzn-requestid"),
        document=problem,
    )


def _document(response: httpx.Response) -> Mapping[str, Any]:
    try:
        document = json.loads(response.content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _text(problem: Mapping[str, Any], key: str) -> str:
    # API Gateway's own refusals say "Message" where Lambda's say "message".
    value = problem.get(key) or problem.get(key.capitalize())
    return value if isinstance(value, str) else ""


def _field_errors(errors: object) -> list[FieldError]:
    if not isinstance(errors, list):
        return []
    return [
        FieldError(str(each.get("field", "")), str(each.get("message", "")), str(each.get("cure") or ""))
        for each in errors
        if isinstance(each, dict)
    ]
