"""A folder → an installation that does not know the tenant.

1. The folder is checked, and that the installation has nothing of the tenant.
2. A claim is recorded: whose import it is. Another export can't be imported beside it, and the same one goes on.
3. The audit log, its end first, so that whatever is entered meanwhile is sealed behind that; then objects, then all other
   records: of each table first what lies beside a record and then the record, so that what a list shows is whole.
4. The claim says that it is done.

Every write is a put if absent. What is there already is ours, or the import stops: nothing is ever overwritten, and a run
after an interruption does what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from backup import claims, objects
from backup.accounts import accounts
from backup.belongings import ALL, AUDIT, JOBS, QUOTAS, USAGE, Belonging, Stored
from backup.claims import Claim
from backup.errors import Conflict, Refused
from backup.installation import Installation
from backup.layout import Folder, Manifest
from backup.objects import Progress, at_once
from backup.settling import moved, settled
from backup.verifying import verify
from backup.wire import from_line
from chalicelib.clock import from_text
from chalicelib.events.changes import IMPORTED
from chalicelib.identity.caller import is_tenant

_VERSIONS = ("version", "record_version", "seq", "following")
"""What grows with every change of an item that has it."""

_BESIDE, _LISTED, _WAITING = range(3)
"""When an item has its turn: before what lists show, with it, or after it, as what waits to be sealed."""


@dataclass(frozen=True)
class Imported:
    """
    Attributes:
        written, records: how many records this run has written, of how many.
        brought, objects: the same of objects.
        settled: what was open at the export and has ended here, by kind.
        was_done: an earlier run had done it all.
    """

    tenant: str
    export_id: str
    records: int = 0
    written: int = 0
    objects: int = 0
    brought: int = 0
    settled: Mapping[str, int] | None = None
    was_done: bool = False


def import_(installation: Installation, root: Path, progress: Progress, *, now: Callable[[], datetime]) -> Imported:
    """Bring an export into an installation.

    Raises:
        NothingThere, Refused, Damaged: see `verifying.verify`.
        Conflict: the installation has something of the tenant that is not from this export.
    """
    manifest = verify(root, progress)
    folder = Folder(root)
    _check(manifest, folder)
    claimed = claims.claim(installation, manifest, now())
    if claimed is Claim.DONE:
        return Imported(manifest.tenant, manifest.export_id, was_done=True)
    run = _Run(installation, folder, manifest, claimed is Claim.BEGUN, progress)
    records, written = run.put_all(AUDIT)
    brought = objects.bring_all(installation, manifest.tenant, folder, progress)
    for belonging in _tables(manifest):
        if belonging is not AUDIT:
            count, new = run.put_all(belonging)
            records, written = records + count, written + new
    claims.end(installation, manifest, now())
    return Imported(
        manifest.tenant, manifest.export_id, records, written, manifest.objects, brought, settled=dict(manifest.open)
    )


def _check(manifest: Manifest, folder: Folder) -> None:
    """
    Raises:
        Refused: something in it would be another tenant's, or is of a later release.
    """
    if not is_tenant(manifest.tenant):
        raise Refused(f"the export is of {manifest.tenant!r}, which is no tenant's name")
    if unknown := sorted(set(manifest.records()) - {belonging.table for belonging in ALL}):
        raise Refused(
            f"the export has records of {', '.join(unknown)}, which this release does not know: use a later one"
        )
    objects.check_keys(manifest.tenant, folder.entries())
    for belonging in _tables(manifest):
        for item in map(from_line, folder.records(belonging.table)):
            pk = item["pk"]["S"]
            audit = {manifest.tenant, f"inbox#{manifest.tenant}"}
            own = pk in audit if belonging is AUDIT else pk.startswith(f"{manifest.tenant}#")
            if not own or not belonging.keeps(item) or not _names_only(manifest.tenant, item):
                raise Refused(f"the export has a record {pk} {item['sk']['S']} in {belonging.table}, which none has")


def _tables(manifest: Manifest) -> tuple[Belonging, ...]:
    """Those that the export has records of: an earlier release knew fewer."""
    return tuple(belonging for belonging in ALL if belonging.table in manifest.records())


def _names_only(tenant: str, item: Stored) -> bool:
    """Whether an item says of itself that it is the tenant's, and stands in no list of another."""
    if item.get("tenant", {}).get("S", tenant) != tenant:
        return False
    own = {name: value["S"] for name, value in item.items() if name.startswith(_OF_A_TENANT) and name.endswith("_key")}
    if not all(value == tenant or value.startswith(f"{tenant}#") for value in own.values()):
        return False
    return item.get("kind_key", {}).get("S", "tenants") in {"tenants", f"users#{tenant}"}


_OF_A_TENANT = ("tenant_", "owner_", "model_", "actor_", "subject_", "action_")
"""What the keys of lists begin with that are a tenant's."""


@dataclass(frozen=True)
class _Run:
    """
    Attributes:
        is_again: an earlier run was cut off.
    """

    installation: Installation
    folder: Folder
    manifest: Manifest
    is_again: bool
    progress: Progress

    def put_all(self, belonging: Belonging) -> tuple[int, int]:
        """Write a table's records; how many there are, and how many were new."""
        count = new = 0
        for turn in (_BESIDE, _LISTED, _WAITING):
            items: Iterable[Stored] = (item for item in self._items(belonging) if _turn(item) == turn)
            if turn == _WAITING and self.is_again:
                items = self._not_sealed(items)
            for is_new in at_once(partial(self._put, belonging), items):
                count, new = count + 1, new + is_new
                self.progress(belonging.table, count)
        return count, new

    def _items(self, belonging: Belonging) -> Iterator[Stored]:
        """A table's records as they are to be in this installation."""
        for item in map(from_line, self.folder.records(belonging.table)):
            # What was sealed or signed says what it said.
            here = item if belonging in (AUDIT, USAGE) else self._moved(item)
            for each in self._settled(belonging, here):
                yield {**each, IMPORTED: {"S": self.manifest.export_id}} if belonging.is_told else each
        if belonging is QUOTAS:
            yield from accounts(self.manifest.tenant, self._jobs())

    def _jobs(self) -> Iterator[Stored]:
        for item in map(from_line, self.folder.records(JOBS.table)):
            if item["sk"]["S"] == "job":
                yield from (each for each in self._settled(JOBS, item) if each["sk"]["S"] == "job")

    def _settled(self, belonging: Belonging, item: Stored) -> Iterator[Stored]:
        return settled(belonging.table, item, from_text(self.manifest.taken_at), self.manifest.source.stack)

    def _moved(self, item: Stored) -> Stored:
        before, after = self.manifest.source.bucket, self.installation.bucket
        here: Stored = moved(item, before, after) if before != after else item
        return here

    def _not_sealed(self, waiting: Iterable[Stored]) -> Iterator[Stored]:
        """Entries of the inbox without those that an earlier run brought and that are rows by now."""
        found = list(waiting)
        rows = self.installation.query(AUDIT.table, self.manifest.tenant) if found else iter(())
        sealed = {row["listed_at"]["S"] for row in rows if "listed_at" in row}
        return (item for item in found if item["sk"]["S"] not in sealed)

    def _put(self, belonging: Belonging, item: Stored) -> bool:
        """Whether it was new.

        Raises:
            Conflict: something else is there.
        """
        if self.installation.put_if_absent(belonging.table, item):
            return True
        pk, sk = item["pk"]["S"], item["sk"]["S"]
        known = self.installation.get(belonging.table, pk, sk)
        if known is None or known == item or (self.is_again and self._is_ours(known, item)):
            return False
        raise Conflict(
            f"the table {belonging.table} has another item {pk} {sk}, so somebody of the tenant {self.manifest.tenant} "
            "works there; nothing was overwritten"
        )

    def _is_ours(self, known: Stored, item: Stored) -> bool:
        """Whether an earlier run has brought the item, and the service has gone on with it."""
        later = any(
            name in known and int(known[name]["N"]) > int(item[name]["N"]) for name in _VERSIONS if name in item
        )
        return later or (IMPORTED in item and known.get(IMPORTED) == item[IMPORTED])


def _turn(item: Stored) -> int:
    if item["pk"]["S"].startswith("inbox#"):
        return _WAITING
    return _LISTED if "listed_at" in item else _BESIDE
