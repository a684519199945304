"""MLflow's database is there when it is complete, and not before."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from localcloud import mlflow_database
from localcloud.processes import PROJECT_ROOT


def make(database_url: str) -> None:
    connection = sqlite3.connect(database_url.removeprefix("sqlite:///"))
    connection.execute("CREATE TABLE experiments (name TEXT)")
    connection.commit()
    connection.close()


def tables(database: Path) -> list[str]:
    connection = sqlite3.connect(database)
    try:
        return [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    finally:
        connection.close()


class TestEnsure:
    def test_makes_it_once(self, tmp_path: Path) -> None:
        database = tmp_path / "mlflow.db"
        mlflow_database.ensure(database, make)
        mlflow_database.ensure(database, make)
        assert tables(database) == ["experiments"]
        assert list(tmp_path.iterdir()) == [database]

    def test_that_fails_leaves_none(self, tmp_path: Path) -> None:
        def fail(database_url: str) -> None:
            make(database_url)
            raise sqlite3.OperationalError("disk full")

        database = tmp_path / "mlflow.db"
        with pytest.raises(sqlite3.OperationalError):
            mlflow_database.ensure(database, fail)
        assert not database.exists()
        mlflow_database.ensure(database, make)
        assert tables(database) == ["experiments"]

    def test_that_is_killed_leaves_none_and_the_next_one_begins_afresh(self, tmp_path: Path) -> None:
        """The same step with MLflow's own migrations: tests/functional/localcloud/test_mlflow.py."""
        database = tmp_path / "mlflow.db"
        program = (
            "import os, signal, sqlite3, sys; from pathlib import Path; from localcloud import mlflow_database\n"
            "def cut_short(url):\n"
            "    connection = sqlite3.connect(url.removeprefix('sqlite:///'))\n"
            "    connection.execute('CREATE TABLE experiments (name TEXT)'); connection.commit()\n"
            "    connection.execute('BEGIN'); connection.execute('CREATE TABLE runs (name TEXT)')\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
            "mlflow_database.ensure(Path(sys.argv[1]), cut_short)\n"
        )
        killed = subprocess.run([sys.executable, "-c", program, str(database)], cwd=PROJECT_ROOT, env=dict(os.environ))
        assert killed.returncode == -signal.SIGKILL
        assert not database.exists()
        assert list(tmp_path.iterdir())
        mlflow_database.ensure(database, make)
        assert tables(database) == ["experiments"]
        assert list(tmp_path.iterdir()) == [database]
