"""MLflow's server comes up, also after its first start was cut short."""

from __future__ import annotations

import http.client
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from localcloud.processes import PROJECT_ROOT
from tests.functional.localcloud.conftest import free_port, until


@contextmanager
def server(state: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "localcloud.mlflow_server", "--port", str(port), "--state", str(state)]
    process = subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def tables(database: Path) -> int:
    """How many there are, in whatever state it is: it is only read."""
    if not database.exists():
        return 0
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as connection:
        try:
            count: int = connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0]
        except sqlite3.OperationalError:
            return 0
    return count


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


class TestFirstStart:
    def test_that_is_killed_within_the_migrations_is_made_good_by_the_next(self, tmp_path: Path) -> None:
        port = free_port()
        with server(tmp_path, port) as process:
            # Not SQLite's own journals, which lie beside them.
            until(
                lambda: any(tables(file) for file in tmp_path.glob("mlflow.db*") if "-" not in file.name), seconds=120
            )
            process.kill()
            process.wait()
        assert not (tmp_path / "mlflow.db").exists()
        with server(tmp_path, port):
            until(lambda: answers(port), seconds=120)
        assert tables(tmp_path / "mlflow.db") > 20
