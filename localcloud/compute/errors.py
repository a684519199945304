"""What a caller of the compute emulator can be told, in AWS's own words.

    ApiError
    ├── ValidationFailed      ValidationException / ClientException: the request itself is wrong
    ├── ResourceInUse         the name is taken, or the state forbids the change
    ├── ResourceNotFound      nothing has that name
    ├── ResourceLimitExceeded an account limit would be passed
    └── AccessDenied          the caller's policies, or a passed role's, say no

The code is what botocore turns into ``error.response["Error"]["Code"]``, so it is the service's own spelling. Batch
knows two codes only; `for_service` rewrites the family above into them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """An answer other than success.

    Attributes:
        code: the service's error code, e.g. ``ResourceInUse``.
        message: one sentence for a person, as AWS phrases it.
        status: HTTP status of the answer.
        members: further members of the modelled error shape, e.g. ``OriginalStatusCode`` of ``ModelError``.
    """

    def __init__(self, code: str, message: str, status: int = 400, members: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.members = dict(members or {})

    def for_service(self, service: str) -> ApiError:
        """The same refusal in the vocabulary of `service` (Batch has ClientException and ServerException only)."""
        if service != "batch" or self.code in _BATCH_KEEPS:
            return self
        if self.status >= 500:
            return ApiError("ServerException", self.message, self.status)
        return ApiError("ClientException", self.message, 400)


class ValidationFailed(ApiError):
    def __init__(self, message: str) -> None:
        super().__init__("ValidationException", message)


class ResourceInUse(ApiError):
    def __init__(self, message: str) -> None:
        super().__init__("ResourceInUse", message)


class ResourceNotFound(ApiError):
    def __init__(self, message: str) -> None:
        super().__init__("ResourceNotFound", message)


class ResourceLimitExceeded(ApiError):
    def __init__(self, message: str) -> None:
        super().__init__("ResourceLimitExceeded", message)


class AccessDenied(ApiError):
    def __init__(self, message: str, code: str = "AccessDeniedException", status: int = 400) -> None:
        super().__init__(code, message, status)


_BATCH_KEEPS = frozenset(
    {
        "AccessDeniedException",
        "ThrottlingException",
        "TooManyRequestsException",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "IncompleteSignature",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "InvalidClientTokenId",
        "ExpiredTokenException",
        "SignatureDoesNotMatch",
    }
)
