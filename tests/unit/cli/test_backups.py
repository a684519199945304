"""`aimatrix export` and `import`: what they ask for, what they print, and how they end."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aimatrix.cli.tools import Installed, Progress
from backup.importing import Imported
from backup.layout import Folder, Manifest, Part, Source
from tests.unit.cli.harness import Terminal, document

MANIFEST = Manifest(
    "e-1",
    "acme",
    "2026-03-01T00:00:00.000Z",
    "2026-03-01T00:00:01.000Z",
    "0.1.0",
    Source("aimatrix", "eu-west-1", "aimatrix-artifacts"),
    (Part("records/jobs.jsonl.gz", 10, "a" * 64, 7), Part("public-keys/1.pem", 10, "b" * 64)),
    2,
    2_000_000,
    {"jobs": 1, "deployments": 0},
)


@dataclass
class FakeBackups:
    """Remembers what was asked for."""

    done: Imported = field(default_factory=lambda: Imported("acme", "e-1", 9, 9, 2, 2, {"jobs": 1}))
    asked: list[Any] = field(default_factory=list)

    def export(self, where: Installed, tenant: str, folder: Path, progress: Progress) -> Manifest:
        self.asked.append((where, tenant, folder))
        for done in (1, 2):
            progress("jobs", done)
        return MANIFEST

    def import_(self, where: Installed, folder: Path, progress: Progress) -> Imported:
        self.asked.append((where, folder))
        progress("jobs", 1)
        return self.done

    def verify(self, folder: Path, progress: Progress) -> Manifest:
        self.asked.append(folder)
        progress("verifying", 1)
        return MANIFEST


@pytest.fixture
def backups(terminal: Terminal) -> FakeBackups:
    terminal.backups = FakeBackups()
    return terminal.backups


class TestExport:
    def test_is_of_the_embedded_cloud_unless_a_stack_is_named(self, terminal: Terminal, backups: FakeBackups) -> None:
        terminal.run("export", "acme", "out", "--state", "cloud")
        terminal.run("export", "acme", "out", "--stack", "prod", "--region", "eu-west-1", "--aws-profile", "ops")
        assert [where for where, _, _ in backups.asked] == [
            Installed(Path("cloud")),
            Installed(None, "prod", "eu-west-1", "ops"),
        ]

    def test_says_what_it_took_and_what_had_not_ended(self, terminal: Terminal, backups: FakeBackups) -> None:
        result = terminal.run("export", "acme", "out")
        assert "2 (2.0 MB)" in result.stdout
        assert "not ended: 1 jobs" in result.stdout
        assert result.stderr.splitlines() == ["jobs"]

    def test_is_a_document(self, terminal: Terminal, backups: FakeBackups) -> None:
        told = document(terminal.run("export", "acme", "out", "--json"))
        assert (told["export_id"], told["records"], told["objects"]) == ("e-1", {"jobs": 7}, 2)


class TestImport:
    def test_says_what_it_did(self, terminal: Terminal, backups: FakeBackups) -> None:
        result = terminal.run("import", "out")
        assert "9 written, of 9" in result.stdout
        assert "ended: 1 jobs" in result.stdout

    def test_a_second_time_says_that_nothing_was_done(self, terminal: Terminal, backups: FakeBackups) -> None:
        backups.done = Imported("acme", "e-1", was_done=True)
        assert "nothing was done" in terminal.run("import", "out").stdout
        assert document(terminal.run("import", "out", "--json"))["was_done"]

    def test_only_checks_when_that_is_asked_for(self, terminal: Terminal, backups: FakeBackups) -> None:
        assert "every file is as it was written" in terminal.run("import", "out", "--verify").stdout
        assert backups.asked == [Path("out")]


class TestErrors:
    @pytest.fixture
    def export(self, tmp_path: Path) -> Path:
        folder = Folder(tmp_path / "out")
        part = folder.write_lines("objects.jsonl.gz", [])
        folder.seal(Manifest(**{**vars(MANIFEST), "parts": (part,), "objects": 0, "bytes": 0}))
        return folder.root

    def test_a_good_export_is_said_to_be_one(self, terminal: Terminal, export: Path) -> None:
        assert terminal.run("import", export, "--verify").exit_code == 0

    def test_a_damaged_one_is_a_failure(self, terminal: Terminal, export: Path) -> None:
        (export / "manifest.json").write_text("{}")
        result = terminal.run("import", export, "--verify", "--json")
        assert (result.exit_code, document(result)["error"]["code"]) == (1, "damaged")

    def test_none_at_all_is_not_found(self, terminal: Terminal, tmp_path: Path) -> None:
        result = terminal.run("import", tmp_path, "--verify", "--json")
        assert (result.exit_code, document(result)["error"]["code"]) == (3, "not_found")

    def test_where_nothing_runs_it_is_unreachable(self, terminal: Terminal, export: Path, tmp_path: Path) -> None:
        for words in (("export", "acme", tmp_path / "new"), ("import", export)):
            result = terminal.run(*words, "--state", tmp_path / "none", "--json")
            assert (result.exit_code, document(result)["error"]["code"]) == (8, "unreachable")
