"""The emulator's memory: JSON documents in one SQLite file, so that a ``kill -9`` loses nothing it answered.

A document has a kind (``training-job``), a key unique within it (the job's name), and an order of creation. A write is
on the way to disk when the method returns: the journal is in WAL mode, which survives the death of the process (not of
the machine). One write takes some 50 µs, so it happens on the event loop, where it needs no lock.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Document = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (kind, key)
);
"""


class AlreadyThere(Exception):
    """Another document of this kind has that key."""


class DocumentStore:
    """Documents by kind and key. Values are JSON plus aware datetimes, which come back as datetimes in UTC."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._db = sqlite3.connect(path, isolation_level=None)
        path.chmod(0o600)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is written inside becomes durable as one, or not at all. Nothing may be awaited inside."""
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def insert(self, kind: str, key: str, document: Document) -> None:
        """Records a new document.

        Raises:
            AlreadyThere: the key is taken; nothing has changed.
        """
        try:
            self._db.execute("INSERT INTO documents (kind, key, body) VALUES (?, ?, ?)", (kind, key, encode(document)))
        except sqlite3.IntegrityError as error:
            raise AlreadyThere(f"{kind} {key}") from error

    def put(self, kind: str, key: str, document: Document) -> None:
        """Records a document; replaces the one of that key and keeps its place in the order."""
        self._db.execute(
            "INSERT INTO documents (kind, key, body) VALUES (?, ?, ?)"
            " ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body",
            (kind, key, encode(document)),
        )

    def get(self, kind: str, key: str) -> Document | None:
        row = self._db.execute("SELECT body FROM documents WHERE kind = ? AND key = ?", (kind, key)).fetchone()
        return None if row is None else decode(row[0])

    def delete(self, kind: str, key: str) -> bool:
        """True when there was one."""
        return self._db.execute("DELETE FROM documents WHERE kind = ? AND key = ?", (kind, key)).rowcount > 0

    def scan(self, kind: str, *, newest_first: bool = False) -> Iterator[tuple[str, Document]]:
        """(key, document) in order of creation. Documents written while it runs may or may not be seen."""
        order = "DESC" if newest_first else "ASC"
        rows = self._db.execute(
            f"SELECT key, body FROM documents WHERE kind = ? ORDER BY sequence {order}",  # noqa: S608 one of two words
            (kind,),
        )
        for key, body in rows:
            yield key, decode(body)

    def close(self) -> None:
        # Checkpointing may be refused while another reader is open; the WAL file then simply stays.
        with suppress(sqlite3.OperationalError):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()


def encode(document: Document) -> str:
    return json.dumps(document, default=_encode_other, separators=(",", ":"))


def decode(text: str) -> Document:
    document: Document = json.loads(text, object_hook=_decode_object)
    return document


def _encode_other(value: object) -> dict[str, float]:
    if isinstance(value, datetime):
        return {"$time": value.timestamp()}
    raise TypeError(f"{type(value).__name__} cannot be stored")


def _decode_object(value: dict[str, Any]) -> Any:
    if len(value) == 1 and "$time" in value:
        return datetime.fromtimestamp(value["$time"], UTC)
    return value
