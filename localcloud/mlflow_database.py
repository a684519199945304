"""Makes MLflow's database whole or not at all.

MLflow makes a new database by dozens of migrations, each committed for itself. One that was cut short by a kill is neither
empty, so that MLflow would begin again, nor complete, so that it would serve it: no later start gets past it. So the first
creation happens in a file beside it, which gets its name when it is complete.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

# What SQLite keeps beside a database while it is being written.
_COMPANIONS = ("", "-journal", "-wal", "-shm")


def ensure(database: Path, create: Callable[[str], None]) -> None:
    """Make the database unless it is there.

    Args:
        create: makes a database at a SQLAlchemy URL, and has closed it when it returns.
    """
    if database.exists():
        return
    incoming = database.with_name(f"{database.name}.incoming")
    for companion in _COMPANIONS:
        incoming.with_name(incoming.name + companion).unlink(missing_ok=True)
    create(url(incoming))
    incoming.rename(database)


def url(database: Path) -> str:
    """SQLAlchemy's name of the database."""
    return f"sqlite:///{database}"


def create_tables(database_url: str) -> None:
    """Make an empty database of the installed MLflow's schema."""
    import sqlalchemy
    from mlflow.store.db.utils import _initialize_tables

    engine = sqlalchemy.create_engine(database_url)
    try:
        _initialize_tables(engine)
    finally:
        engine.dispose()
