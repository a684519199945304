"""Which refusals become rows."""

from __future__ import annotations

import pytest

from chalicelib.errors import (
    Conflict,
    FieldProblem,
    Forbidden,
    InvalidRequest,
    ModelFailed,
    NotFound,
    QuotaExceeded,
    RefusedValue,
    ServiceError,
    TooLarge,
    Unavailable,
)
from tests.functional.audit.conftest import ALICE, Audit

_PROBLEM = FieldProblem("config.script_path", "is somebody else's", "Use your own.")


class TestRefusals:
    @pytest.mark.parametrize(
        "error",
        [
            Forbidden("no"),
            NotFound("job"),
            Conflict("finished"),
            TooLarge.about(_PROBLEM),
            RefusedValue.about(_PROBLEM),
            QuotaExceeded("over"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_are_recorded_with_their_reason(self, audit: Audit, error: ServiceError) -> None:
        audit.recorder.refused(ALICE, "cancel_job", {"job_id": "j-1"}, error)
        (waiting,) = audit.store.inbox("acme", 10)
        row = waiting.row
        assert (row["user"], row["action"], row["subject"]) == ("alice", "cancel_job", "job/j-1")
        assert (row["outcome"], row["code"], row["detail"]) == ("refused", error.code.value, error.detail)

    @pytest.mark.parametrize(
        "error",
        [InvalidRequest.about(_PROBLEM), ModelFailed("no"), Unavailable("later"), ServiceError("oops")],
        ids=lambda error: type(error).__name__,
    )
    def test_are_not_what_was_malformed_or_failed(self, audit: Audit, error: ServiceError) -> None:
        audit.recorder.refused(ALICE, "cancel_job", {"job_id": "j-1"}, error)
        assert audit.store.inbox("acme", 10) == []

    @pytest.mark.parametrize("operation", ["get_job", "list_jobs", "invoke_deployment", "search_audit"])
    def test_of_what_changes_nothing_are_not_recorded(self, audit: Audit, operation: str) -> None:
        audit.recorder.refused(ALICE, operation, {}, Forbidden("no"))
        assert audit.store.inbox("acme", 10) == []
