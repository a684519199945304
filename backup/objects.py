"""The bucket's part of an export and of an import: the current versions of all objects below a tenant's prefixes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TypeVar

from backup.belongings import object_prefixes
from backup.errors import Refused
from backup.installation import CONNECTIONS, Installation
from backup.layout import INDEX, OBJECTS, Entry, Folder, Part, open_private

_BLOCK = 1024 * 1024

Progress = Callable[[str, int], None]
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Fetched:
    tag: str
    entry: Entry


class Journal:
    """What an unfinished export has fetched so far, an object a line: another run does not fetch it again.

    It is of one tenant, so that nothing of one comes into the export of another.
    """

    def __init__(self, folder: Folder, tenant: str) -> None:
        self._folder = folder
        self._path = folder.root / f".{tenant}.journal"

    def exists(self) -> bool:
        return self._path.is_file()

    def begin(self) -> None:
        """Make the folder, which only its owner may look into."""
        self._folder.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.root.chmod(0o700)
        self._path.touch(mode=0o600)

    def read(self) -> dict[str, Fetched]:
        found = {}
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                values = json.loads(line)
                tag = values.pop("tag")
                found[values["key"]] = Fetched(tag, Entry(**values))
            except (ValueError, TypeError, KeyError):
                continue
        return found

    def note(self, fetched: Fetched) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"tag": fetched.tag, **asdict(fetched.entry)}) + "\n")

    def end(self) -> None:
        """Forget it, and contents that an earlier run fetched and that are in the bucket no more."""
        kept = {self._folder.blob(entry.sha256) for entry in self._folder.entries()}
        for path in (self._folder.root / OBJECTS).rglob("*"):
            if path.is_file() and path not in kept:
                path.unlink()
        self._path.unlink()


def fetch_all(installation: Installation, tenant: str, folder: Folder, journal: Journal, progress: Progress) -> Part:
    """Fetch every object, and write the index of them.

    One that is deleted meanwhile is left out; one that is replaced meanwhile is the old or the new one, whole.
    """
    known = journal.read()

    def fetch(found: tuple[str, int, str]) -> Fetched | None:
        key, _, tag = found
        before = known.get(key)
        if before and before.tag == tag and folder.blob(before.entry.sha256).is_file():
            return before
        return _fetch(installation, key, folder)

    entries: list[Entry] = []
    listed = (found for prefix in object_prefixes(tenant) for found in installation.listed(prefix))
    for fetched in at_once(fetch, listed):
        if fetched is None:
            continue
        if known.get(fetched.entry.key) != fetched:
            journal.note(fetched)
        entries.append(fetched.entry)
        progress("objects", len(entries))
    entries.sort(key=lambda entry: entry.key)
    return folder.write_lines(INDEX, map(asdict, entries))


def _fetch(installation: Installation, key: str, folder: Folder) -> Fetched | None:
    answer = installation.open_object(key)
    if answer is None:
        return None
    waiting = folder.root / OBJECTS
    waiting.mkdir(mode=0o700, exist_ok=True)
    temporary = waiting / f".{hashlib.sha256(key.encode()).hexdigest()}.partial"
    digest, size = hashlib.sha256(), 0
    with open_private(temporary) as file:
        for block in answer["Body"].iter_chunks(_BLOCK):
            digest.update(block)
            size += len(block)
            file.write(block)
    target = folder.blob(digest.hexdigest())
    target.parent.mkdir(mode=0o700, exist_ok=True)
    temporary.replace(target)
    content_type = answer.get("ContentType", "binary/octet-stream")
    return Fetched(answer["ETag"], Entry(key, size, digest.hexdigest(), content_type, answer.get("Metadata", {})))


def check_keys(tenant: str, entries: Iterable[Entry]) -> None:
    """
    Raises:
        Refused: an object would lie where another tenant's objects do.
    """
    prefixes = object_prefixes(tenant)
    for entry in entries:
        if not entry.key.startswith(prefixes):
            raise Refused(f"the export has an object {entry.key!r}, which is none of the tenant {tenant}'s")


def bring_all(installation: Installation, tenant: str, folder: Folder, progress: Progress) -> int:
    """Bring every object into the bucket that is not there yet; how many those were."""
    there = {key: size for prefix in object_prefixes(tenant) for key, size, _ in installation.listed(prefix)}

    def bring(entry: Entry) -> int:
        # S3 has an object whole or not at all, and nobody else writes below a tenant that is only being imported.
        if there.get(entry.key) == entry.size:
            return 0
        installation.put_object(entry.key, folder.blob(entry.sha256), entry.content_type, entry.metadata)
        return 1

    brought = 0
    for done, count in enumerate(at_once(bring, folder.entries()), 1):
        brought += count
        progress("objects", done)
    return brought


def at_once(work: Callable[[T], U], items: Iterable[T]) -> Iterator[U]:
    """Do something to each item, some at once, and give the results in order; memory holds a few hundred of them."""
    remaining = iter(items)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        running: list[Future[U]] = [pool.submit(work, item) for item in islice(remaining, CONNECTIONS * 16)]
        try:
            while running:
                yield running.pop(0).result()
                running += [pool.submit(work, item) for item in islice(remaining, 1)]
        finally:
            for future in running:
                future.cancel()
