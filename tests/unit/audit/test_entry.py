"""What a row says, and what it does not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

import app
from chalicelib.audit.entry import ACTIONS, MAX_DETAIL, Action, Entry, Outcome, subject_of_path
from chalicelib.errors import ErrorCode
from chalicelib.identity.caller import Caller, Origin

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ADA = Caller("acme", "ada", frozenset({"USER"}), origin=Origin("r-1", "192.0.2.7"))

NOT_A_CHANGE = {
    *("invoke_deployment", "invoke_endpoint", "assign_variants"),
    *("report_exposures", "report_outcomes"),
}
"""Operations that are sent as POST and change nothing, or are measurements: thousands a minute, and kept as sums."""


def entry(**changes: Any) -> Entry:
    values: dict[str, Any] = {
        "entry_id": "e-1",
        "at": NOON,
        "caller": ADA,
        "action": Action.SUBMIT_JOB,
        "subject": "job/j",
    }
    return Entry(**values | changes)


class TestRow:
    def test_leaves_out_what_has_no_value(self) -> None:
        assert entry(subject=None).row() == {
            "id": "e-1",
            "at": "2026-03-01T12:00:00.000Z",
            "tenant": "acme",
            "user": "ada",
            "roles": ["USER"],
            "source_ip": "192.0.2.7",
            "request_id": "r-1",
            "action": "submit_job",
            "outcome": "done",
        }

    def test_of_a_refusal_says_why(self) -> None:
        row = entry(outcome=Outcome.REFUSED, code=ErrorCode.FORBIDDEN, detail="no").row()
        assert (row["outcome"], row["code"], row["detail"]) == ("refused", "forbidden", "no")

    @given(text=st.text(st.characters(exclude_categories=()), min_size=300, max_size=2000))
    @example(text="\x00" * 1000)
    def test_is_bounded_and_can_be_stored_whatever_it_is_given(self, text: str) -> None:
        caller = Caller("acme", "ada", frozenset({text, "USER"}), origin=ADA.origin)
        details = {f"name-{number}": text for number in range(20)}
        row = entry(caller=caller, detail=text, subject=text, details=details).row()
        assert json.dumps(row, ensure_ascii=False).encode("utf-8")
        assert len(json.dumps(row)) < 20_000
        assert len(row["detail"].encode()) <= MAX_DETAIL
        assert row["roles"] == ["USER"]


class TestSubject:
    def test_of_a_path_is_what_its_first_placeholder_names(self) -> None:
        assert subject_of_path({"job_id": "j-1"}) == "job/j-1"
        assert subject_of_path({"api_key_id": "k", "other": "x"}) == "api-key/k"
        assert subject_of_path({"user_id": "ada%40example.com"}) == "user/ada@example.com"
        assert subject_of_path({}) is None


class TestActions:
    def test_name_every_operation_that_changes_something(self) -> None:
        changing = {
            entry.view_name
            for methods in app.app.routes.values()
            for method, entry in methods.items()
            if method != "GET" and entry.view_name not in NOT_A_CHANGE
        }
        names = {name.rsplit(".", 1)[-1] for name in changing}
        unknown = names - ACTIONS.keys()
        assert not unknown, f"no Action in chalicelib/audit/entry.py: {sorted(unknown)}"
