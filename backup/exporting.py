"""An installation → a folder.

Records first, then objects: whatever a record names is there, unless it was deleted between the two. What goes on meanwhile
goes on; the export has each record as it was when it was read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

from backup import objects
from backup.belongings import ALL, JOBS, USAGE, Belonging, Stored, found, there
from backup.errors import Conflict, NothingThere, Refused
from backup.installation import Installation
from backup.layout import KEYS, RECORDS, Folder, Line, Manifest, Part
from backup.ledgers import with_whole_ledgers
from backup.objects import Progress
from backup.receipt_keys import ReceiptKeys
from backup.settling import open_kind
from backup.wire import to_line
from chalicelib.clock import to_text
from chalicelib.events.changes import IMPORTED
from chalicelib.identity.caller import is_tenant
from chalicelib.version import VERSION


def export(
    installation: Installation,
    tenant: str,
    root: Path,
    progress: Progress,
    *,
    now: Callable[[], datetime],
    new_id: Callable[[], str],
    pause: Callable[[float], None],
) -> Manifest:
    """Write everything that a tenant owns into a folder.

    Run again after an interruption, it reads the records anew and fetches only the objects that are not there yet.

    Args:
        pause: waits so many seconds, for a ledger that is a moment behind.

    Raises:
        Refused: no tenant can be called so.
        Conflict: the folder is a finished export, or something else.
        NothingThere: the installation knows no such tenant.
    """
    if not is_tenant(tenant):
        raise Refused(f"{tenant!r} is no tenant's name")
    folder = Folder(root)
    journal = objects.Journal(folder, tenant)
    if folder.is_whole():
        raise Conflict(f"{root} is a finished export: give another folder")
    if root.exists() and (not root.is_dir() or (any(root.iterdir()) and not journal.exists())):
        raise Conflict(f"{root} has something else in it: give an empty folder, or one that is not there")
    if not any(there(installation, tenant)):
        raise NothingThere(f"the installation {installation.source.stack} has nothing of a tenant {tenant}")
    journal.begin()
    taken_at = now()
    still_open: Counter[str] = Counter(jobs=0, deployments=0, rollouts=0, transforms=0, runs=0)
    keys = ReceiptKeys(installation, tenant)
    parts: list[Part] = []
    for belonging in ALL:
        items = found(installation, belonging, tenant)
        if belonging is JOBS:
            items = with_whole_ledgers(items, partial(_again, installation), taken_at, pause)
        if belonging is USAGE:
            items = keys.added_to(items)
        lines = _lines(items, belonging, still_open, progress)
        parts.append(folder.write_lines(f"{RECORDS}/{belonging.table}.jsonl.gz", lines))
    for number, key_id in enumerate(sorted(keys.known()), 1):
        parts.append(folder.write(f"{KEYS}/{number}.pem", keys.known()[key_id].encode()))
    index = objects.fetch_all(installation, tenant, folder, journal, progress)
    manifest = Manifest(
        export_id=new_id(),
        tenant=tenant,
        taken_at=to_text(taken_at),
        finished_at=to_text(now()),
        release=VERSION,
        source=installation.source,
        parts=(*parts, index),
        objects=index.lines or 0,
        bytes=sum(entry.size for entry in folder.entries()),
        open=dict(still_open),
    )
    folder.seal(manifest)
    journal.end()
    return manifest


def _again(installation: Installation, pk: str) -> Iterator[Stored]:
    return (item for item in installation.query(JOBS.table, pk) if JOBS.keeps(item))


def _lines(
    items: Iterable[Stored], belonging: Belonging, still_open: Counter[str], progress: Progress
) -> Iterator[Line]:
    for done, item in enumerate(items, 1):
        if kind := open_kind(belonging.table, item):
            still_open[kind] += 1
        yield to_line({name: value for name, value in item.items() if name != IMPORTED})
        progress(belonging.table, done)
