from __future__ import annotations

import pytest

from tests.unit.cli.harness import Terminal, document
from tests.unit.client.test_audit import sealed


class TestSearch:
    def test_shows_who_did_what_latest_first(self, terminal: Terminal) -> None:
        terminal.service.audit = sealed("submit_job", "cancel_job")
        result = terminal.run("audit", "search", "--actor", "ada")
        assert result.exit_code == 0
        assert [line.split()[3] for line in result.stdout.splitlines()] == ["ACTION", "cancel_job", "submit_job"]
        assert terminal.service.requests[0].url.params["actor"] == "ada"

    def test_gives_whole_rows_as_a_document(self, terminal: Terminal) -> None:
        terminal.service.audit = rows = sealed("a", "b", "c")
        assert document(terminal.run("audit", "search", "--limit", "2", "--json")) == {"rows": [rows[2], rows[1]]}

    def test_does_not_let_a_row_steer_the_terminal(self, terminal: Terminal) -> None:
        terminal.service.audit = sealed("a\x1b[2J\r\nb")
        assert "\x1b[2J" not in terminal.run("audit", "search").stdout
        assert len(terminal.run("audit", "search").stdout.splitlines()) == 2

    def test_says_so_when_there_is_nothing(self, terminal: Terminal) -> None:
        assert terminal.run("audit", "search").stdout.strip() == "no rows"


class TestVerify:
    def test_says_how_many_rows_and_what_to_note(self, terminal: Terminal) -> None:
        terminal.service.audit = rows = sealed("a", "b", "c")
        result = terminal.run("audit", "verify")
        assert result.exit_code == 0
        assert "3 as they were sealed" in result.stdout
        assert f"3:{rows[-1]['hash']}" in result.stdout

    def test_ends_with_1_and_names_the_broken_row(self, terminal: Terminal) -> None:
        terminal.service.audit = sealed("a", "b", "c")
        del terminal.service.audit[1]
        result = terminal.run("audit", "verify")
        assert result.exit_code == 1
        assert "row 2 is missing" in result.stdout
        found = document(terminal.run("audit", "verify", "--json"))
        assert found["broken"] == {"seq": 2, "fault": "missing", "detail": "Row 2 is missing."}

    def test_compares_with_what_was_noted(self, terminal: Terminal) -> None:
        terminal.service.audit = rows = sealed("a", "b", "c")
        assert terminal.run("audit", "verify", "--noted", f"2:{rows[1]['hash']}").exit_code == 0
        result = terminal.run("audit", "verify", "--noted", f"2:{'f' * 64}")
        assert result.exit_code == 1
        assert "row 2 is replaced" in result.stdout

    @pytest.mark.parametrize("noted", ["", "2", "x:" + "f" * 64, "2:ff", "-1:" + "f" * 64, "2:" + "F" * 64])
    def test_refuses_a_note_that_is_none(self, terminal: Terminal, noted: str) -> None:
        result = terminal.run("audit", "verify", "--noted", noted)
        assert result.exit_code == 2
        assert "ROW:HASH" in result.stderr
