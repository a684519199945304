"""lineage: upstream above, downstream below, and the same for programs."""

from __future__ import annotations

from typing import Any

from tests.unit.cli.harness import Terminal, document

MODEL: dict[str, Any] = {
    "type": "model",
    "id": "m-1",
    "name": "wine",
    "version": "3",
    "upstream": [
        {"type": "job", "id": "j-1", "of": "m-1", "name": "wine", "status": "completed"},
        {"type": "data", "of": "j-1", "uri": "s3://artifacts/tenants/acme/rows/"},
    ],
    "downstream": [{"type": "deployment", "id": "d-1", "of": "m-1", "environment": "staging", "status": "active"}],
}


class TestLineage:
    def test_is_shown_from_the_data_to_what_serves_it(self, terminal: Terminal) -> None:
        terminal.service.lineage["m-1"] = MODEL
        shown = terminal.run("lineage", "m-1")
        assert shown.exit_code == 0, shown.stderr
        assert [line.split() for line in shown.stdout.splitlines()] == [
            ["data", "unversioned", "s3://artifacts/tenants/acme/rows/"],
            ["job", "j-1", "wine", "completed"],
            ["→", "model", "m-1", "wine", "3"],
            ["deployment", "d-1", "staging", "active"],
        ]
        assert document(terminal.run("lineage", "m-1", "--json")) == MODEL

    def test_of_nothing_says_so(self, terminal: Terminal) -> None:
        assert terminal.run("lineage", "nothing").exit_code != 0
