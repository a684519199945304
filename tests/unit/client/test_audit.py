"""The audit log as the client sees it, and what it finds without believing the service."""

from __future__ import annotations

from typing import Any

import pytest

from aimatrix.client import AuditRow
from chalicelib.audit.chain import START, Fault, Position, seal
from tests.unit.client.fake_service import FakeService, client_of


def sealed(*actions: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    at = START
    for number, action in enumerate(actions, 1):
        row = {"id": f"e-{number}", "at": f"2031-05-01T10:00:0{number}.000Z", "user": "ada", "action": action}
        rows.append(seal({**row, "outcome": "done"}, at))
        at = Position(rows[-1]["seq"], rows[-1]["hash"])
    return rows


class TestSearch:
    def test_reads_page_after_page_with_what_was_asked(self) -> None:
        service = FakeService(audit=sealed("a", "b", "c", "d", "e"))
        found = list(client_of(service).audit.search(actor="ada", since="2031-05-01"))
        assert [row.action for row in found] == ["e", "d", "c", "b", "a"]
        assert {(r.url.params["actor"], r.url.params["since"]) for r in service.requests} == {("ada", "2031-05-01")}
        assert "subject" not in service.requests[0].url.params

    def test_takes_a_row_without_what_only_some_have(self) -> None:
        row = AuditRow.from_document(sealed("a")[0])
        assert (row.subject, row.code, row.key_id, row.outcome) == (None, None, None, "done")


class TestVerify:
    def test_hashes_every_row_of_every_page(self) -> None:
        rows = sealed("a", "b", "c", "d", "e")
        told: list[int] = []
        found = client_of(FakeService(audit=rows)).audit.verify(observe=lambda at: told.append(at.seq))
        assert (found.broken, found.verified, found.waiting) == (None, Position(5, rows[-1]["hash"]), 1)
        assert told == [2, 4]

    def test_of_an_empty_log_is_good(self) -> None:
        assert client_of(FakeService()).audit.verify().broken is None

    @pytest.mark.parametrize("changed", [0, 1, 2, 3, 4])
    def test_names_a_row_that_the_service_would_have_us_believe(self, changed: int) -> None:
        rows = sealed("a", "b", "c", "d", "e")
        rows[changed] = {**rows[changed], "user": "mallory"}
        broken = client_of(FakeService(audit=rows)).audit.verify().broken
        assert broken is not None
        assert (broken.seq, broken.fault) == (changed + 1, Fault.ALTERED)

    def test_misses_the_last_row(self) -> None:
        rows = sealed("a", "b", "c")
        head = {"seq": 3, "hash": rows[-1]["hash"]}
        broken = client_of(FakeService(audit=rows[:2], audit_head=head)).audit.verify().broken
        assert broken is not None
        assert (broken.seq, broken.fault) == (3, Fault.MISSING)

    def test_tells_a_log_that_was_written_anew_by_what_was_noted(self) -> None:
        noted = client_of(FakeService(audit=sealed("a", "b", "c"))).audit.verify().verified
        client = client_of(FakeService(audit=sealed("a", "x", "c", "d")))
        assert client.audit.verify().broken is None
        broken = client.audit.verify(noted).broken
        assert broken is not None
        assert (broken.seq, broken.fault) == (3, Fault.REPLACED)
