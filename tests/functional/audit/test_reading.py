"""Searching, and what verification finds in a table that somebody has changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.audit.chain import Position, digest
from chalicelib.audit.entry import Action
from chalicelib.audit.store import AuditFilter
from chalicelib.errors import Forbidden, InvalidRequest
from tests.functional.audit.conftest import ADMIN, ALICE, BOB, STRANGER, Audit


class TestSearch:
    def test_finds_by_actor_subject_action_and_all_of_them(self, audit: Audit) -> None:
        audit.did(ALICE, Action.SUBMIT_JOB, "a")
        audit.did(BOB, Action.SUBMIT_JOB, "b")
        audit.did(ADMIN, Action.CANCEL_JOB, "b")
        audit.was_refused(BOB)
        audit.sealing.seal("acme")
        assert audit.found() == [4, 3, 2, 1]
        assert audit.found(actor="bob") == [4, 2]
        assert audit.found(subject="job/b") == [3, 2]
        assert audit.found(action="submit_job") == [4, 2, 1]
        assert audit.found(actor="bob", action="submit_job", subject="job/b") == [2]
        assert audit.found(actor="nobody") == []

    def test_finds_by_time_the_first_moment_included_the_last_not(self, audit: Audit) -> None:
        audit.sealed(5)
        moments = [datetime.fromisoformat(row["at"]) for row in audit.rows()]

        def between(since: datetime | None, until: datetime | None) -> list[int]:
            wanted = AuditFilter(actor="alice", since=since, until=until)
            return [row["seq"] for row in audit.service.search(ADMIN, wanted, 50, None).rows]

        assert between(moments[1], moments[3]) == [3, 2]
        assert between(moments[3], None) == [5, 4]
        assert between(None, moments[1]) == [1]
        assert between(moments[4] + timedelta(milliseconds=1), None) == []

    def test_goes_on_with_a_cursor_without_loss_or_repeat(self, audit: Audit) -> None:
        audit.sealed(7)
        seen: list[int] = []
        cursor: str | None = None
        since = datetime(2026, 1, 1, tzinfo=UTC)
        while True:
            page = audit.service.search(ADMIN, AuditFilter(since=since), 2, cursor)
            seen += [row["seq"] for row in page.rows]
            if page.cursor is None:
                break
            cursor = page.cursor.encode()
        assert seen == [7, 6, 5, 4, 3, 2, 1]

    def test_with_two_conditions_reads_so_far_and_no_further(self, audit: Audit) -> None:
        audit.did(BOB)
        audit.sealed(6)
        wanted = AuditFilter(actor="bob", subject="job/j-1")
        first = audit.store.search("acme", wanted, 2, None, most_read=4)
        assert first.rows == ()
        assert first.cursor is not None
        second = audit.store.search("acme", wanted, 2, first.cursor, most_read=4)
        assert ([row["user"] for row in second.rows], second.cursor) == (["bob"], None)

    def test_shows_nothing_of_another_tenant_not_even_by_its_cursor(self, audit: Audit) -> None:
        audit.sealed(3)
        cursor = audit.service.search(ADMIN, AuditFilter(), 1, None).cursor
        assert cursor is not None
        assert audit.service.search(STRANGER, AuditFilter(), 10, None).rows == ()
        assert audit.service.search(STRANGER, AuditFilter(), 10, cursor.encode()).rows == ()

    def test_refuses_a_cursor_of_another_list(self, audit: Audit) -> None:
        audit.sealed(2)
        cursor = audit.service.search(ADMIN, AuditFilter(), 1, None).cursor
        assert cursor is not None
        with pytest.raises(InvalidRequest, match="cursor"):
            audit.service.search(ADMIN, AuditFilter(actor="alice"), 1, cursor.encode())

    def test_is_for_those_who_may_read_the_log(self, audit: Audit) -> None:
        for call in (
            lambda: audit.service.search(ALICE, AuditFilter(), 1, None),
            lambda: audit.service.read(ALICE, 0, 1),
            lambda: audit.service.verify(ALICE, Position(), 1),
        ):
            with pytest.raises(Forbidden, match="audit:read"):
                call()

    def test_stores_hostile_text_as_text(self, audit: Audit) -> None:
        hostile = 'x"}\r\n{"user":"root","action":"forged"} \u2028 \u202e é 💥 #'
        audit.did(about=hostile)
        (row,) = (audit.sealing.seal("acme"), audit.rows())[1]
        assert row["subject"] == f"job/{hostile}"
        assert audit.found(subject=f"job/{hostile}") == [1]
        assert audit.broken() is None


class TestVerification:
    def test_of_what_was_sealed_finds_nothing(self, audit: Audit) -> None:
        rows = audit.sealed(5)
        audit.did()
        found = audit.service.verify(ADMIN, Position(), 1000)
        assert (found.walk.broken, found.walk.position.seq, found.waiting, found.is_last) == (None, 5, 1, True)
        assert found.head == Position(5, rows[-1]["hash"])

    def test_page_by_page_is_the_same_as_at_once(self, audit: Audit) -> None:
        audit.sealed(5)
        position, pages = Position(), 0
        while True:
            found = audit.service.verify(ADMIN, position, 2)
            position, pages = found.walk.position, pages + 1
            if found.is_last:
                break
        assert (position, pages) == (found.head, 3)

    def test_names_a_removed_row(self, audit: Audit) -> None:
        audit.sealed(5)
        _table(audit).write(_table(audit).delete("acme", "row#000000000003"))
        assert audit.broken() == (3, "missing")

    def test_names_the_first_of_rows_cut_off_at_the_end(self, audit: Audit) -> None:
        audit.sealed(5)
        for seq in (4, 5):
            _table(audit).write(_table(audit).delete("acme", f"row#{seq:012d}"))
        assert audit.broken() == (4, "missing")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("actor_key", "acme#mallory"),
            ("actor_key", None),
            ("subject_key", "acme#job/other"),
            ("action_key", "acme#cancel_job"),
            ("tenant_key", "umbrella"),
            ("listed_at", "2020-01-01T00:00:00.000Z#entry-000003"),
            ("outcome", "refused"),
            ("roles", ["ADMIN"]),
            ("roles", 1),
            ("details", {"owner": "x"}),
            ("hash", "0" * 64),
            ("previous", "0" * 64),
        ],
    )
    def test_names_an_altered_row_whatever_was_altered(self, audit: Audit, name: str, value: Any) -> None:
        audit.sealed(5)
        _alter(audit, 3, name, value)
        assert audit.broken() == (3, "altered")

    def test_names_a_row_that_was_hashed_again(self, audit: Audit) -> None:
        audit.sealed(5)
        _alter(audit, 3, "outcome", "refused")
        _alter(audit, 3, "hash", digest(audit.rows()[2]))
        assert audit.broken() == (3, "altered")

    def test_names_rows_that_changed_places(self, audit: Audit) -> None:
        audit.sealed(5)
        second, fourth = (_table(audit).get("acme", f"row#{seq:012d}") for seq in (2, 4))
        assert second is not None
        assert fourth is not None
        _table(audit).write(_table(audit).put({**second, "sk": fourth["sk"]}))
        _table(audit).write(_table(audit).put({**fourth, "sk": second["sk"]}))
        assert audit.broken() == (2, "altered")

    def test_names_a_row_under_a_key_that_is_no_number(self, audit: Audit) -> None:
        audit.sealed(2)
        _table(audit).write(_table(audit).put({"pk": "acme", "sk": "row#zzz"}))
        assert audit.broken() == (3, "reordered")

    def test_misses_the_head(self, audit: Audit) -> None:
        audit.sealed(2)
        _table(audit).write(_table(audit).delete("acme", "head"))
        assert audit.broken() == (1, "surplus")

    def test_of_one_tenant_looks_at_no_other(self, audit: Audit) -> None:
        audit.sealed(2)
        audit.sealed(2, STRANGER)
        _table(audit).write(_table(audit).delete("umbrella", "row#000000000001"))
        assert audit.broken() is None


def _table(audit: Audit) -> Any:
    return audit.store.table


def _alter(audit: Audit, seq: int, name: str, value: Any) -> None:
    table = _table(audit)
    key = ("acme", f"row#{seq:012d}")
    table.write(table.change(*key, {}, remove=[name]) if value is None else table.change(*key, {name: value}))
