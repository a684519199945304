"""Exit codes, the same for every verb, so that scripts can branch on them."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aimatrix.client.errors import AimatrixError


# The service's code for a model that raised on what it was asked: answered as 502, but nothing is unreachable.
MODEL_FAILED = "model-failed"


class ExitCode(IntEnum):
    OK = 0
    FAILED = 1  # the job, the deployment or the prediction failed, or the job was cancelled
    USAGE = 2  # the command line is wrong, or no service is configured
    NOT_FOUND = 3
    NOT_ALLOWED = 4  # not authenticated, or not permitted
    CONFLICT = 5
    INVALID_REQUEST = 6
    QUOTA = 7
    UNREACHABLE = 8  # no answer, or the service failed
    INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class CommandError(Exception):
    """A verb can't go on, for a reason that isn't the service's.

    Attributes:
        exit_code: what to end with.
        code: a stable name for scripts.
    """

    def __init__(self, exit_code: ExitCode, code: str, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.code = code


def exit_code(error: AimatrixError) -> ExitCode:
    """The code that an error of the client ends in."""
    from aimatrix.client import errors

    if isinstance(error, errors.ApiError) and error.code == MODEL_FAILED:
        return ExitCode.FAILED
    by_kind: tuple[tuple[type[AimatrixError], ExitCode], ...] = (
        (errors.NotFoundError, ExitCode.NOT_FOUND),
        (errors.NotAuthenticatedError, ExitCode.NOT_ALLOWED),
        (errors.ForbiddenError, ExitCode.NOT_ALLOWED),
        (errors.ConflictError, ExitCode.CONFLICT),
        (errors.InvalidRequestError, ExitCode.INVALID_REQUEST),
        (errors.QuotaExceededError, ExitCode.QUOTA),
        (errors.ConfigurationError, ExitCode.USAGE),
        (errors.ServiceError, ExitCode.UNREACHABLE),
        (errors.UnreachableError, ExitCode.UNREACHABLE),
        (errors.UploadError, ExitCode.UNREACHABLE),
    )
    return next((code for kind, code in by_kind if isinstance(error, kind)), ExitCode.FAILED)
