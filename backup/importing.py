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

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from backup import objects
from backup.accounts import accounts
from backup.belongings import ALL, AUDIT, JOBS, QUOTAS, USAGE, Belonging, Stored, found, object_prefixes
from backup.errors import Conflict, Refused
from backup.installation import Installation
from backup.layout import Folder, Manifest
from backup.objects import Progress, at_once
from backup.settling import moved, settled
from backup.verifying import verify
from backup.wire import from_line
from chalicelib.clock import from_text, to_text
from chalicelib.events.changes import IMPORTED
from chalicelib.identity.caller import is_tenant

_CLAIMS = "#import"
"""The partition of the table of jobs that says which tenants were imported: no tenant's name begins so."""

_VERSIONS = ("version", "record_version", "seq", "following")
"""What grows with every change of an item that has it."""


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
    tenant = manifest.tenant
    if not is_tenant(tenant):
        raise Refused(f"the export is of {tenant!r}, which is no tenant's name")
    folder = Folder(root)
    objects.check_keys(tenant, folder.entries())
    for belonging in ALL:
        for line in folder.records(belonging.table):
            _check_key(tenant, belonging, from_line(line))
    if _claim(installation, manifest, now()):
        return Imported(tenant, manifest.export_id, was_done=True)
    written = list(_put_all(installation, AUDIT, folder, manifest, progress))
    brought = objects.bring_all(installation, tenant, folder, progress)
    for belonging in ALL:
        if belonging is not AUDIT:
            written += _put_all(installation, belonging, folder, manifest, progress)
    _done(installation, manifest, now())
    return Imported(
        tenant,
        manifest.export_id,
        records=len(written),
        written=sum(written),
        objects=manifest.objects,
        brought=brought,
        settled=dict(manifest.open),
    )


def _put_all(
    installation: Installation, belonging: Belonging, folder: Folder, manifest: Manifest, progress: Progress
) -> Iterator[bool]:
    """Write a table's records, of each whether it was new."""
    put = partial(_put, installation, belonging, manifest)
    done = 0
    for turn in (_BESIDE, _LISTED, _WAITING):
        items = (item for item in _items(folder, belonging, manifest, installation) if _turn(item) == turn)
        for is_new in at_once(put, items):
            done += 1
            progress(belonging.table, done)
            yield is_new


_BESIDE, _LISTED, _WAITING = range(3)


def _turn(item: Stored) -> int:
    """When an item has its turn: before what lists show, with it, or after it, as what waits to be sealed."""
    if item["pk"]["S"].startswith("inbox#"):
        return _WAITING
    return _LISTED if "listed_at" in item else _BESIDE


def _items(folder: Folder, belonging: Belonging, manifest: Manifest, installation: Installation) -> Iterator[Stored]:
    """A table's records as they are to be in the other installation."""
    at, origin = from_text(manifest.taken_at), manifest.source.stack
    for item in map(from_line, folder.records(belonging.table)):
        # What was sealed or signed says what it said.
        here = item if belonging in (AUDIT, USAGE) else _moved(item, manifest, installation)
        for each in settled(belonging.table, here, at, origin):
            yield {**each, IMPORTED: {"S": manifest.export_id}} if belonging.is_told else each
    if belonging is QUOTAS:
        yield from accounts(manifest.tenant, _jobs(folder, manifest))


def _jobs(folder: Folder, manifest: Manifest) -> Iterator[Stored]:
    at, origin = from_text(manifest.taken_at), manifest.source.stack
    for item in map(from_line, folder.records(JOBS.table)):
        if item["sk"]["S"] == "job":
            yield from (each for each in settled("jobs", item, at, origin) if each["sk"]["S"] == "job")


def _moved(item: Stored, manifest: Manifest, installation: Installation) -> Stored:
    before, after = manifest.source.bucket, installation.bucket
    here: Stored = moved(item, before, after) if before != after else item
    return here


def _put(installation: Installation, belonging: Belonging, manifest: Manifest, item: Stored) -> bool:
    """Whether it was new.

    Raises:
        Conflict: something else is there.
    """
    if installation.put_if_absent(belonging.table, item):
        return True
    pk, sk = item["pk"]["S"], item["sk"]["S"]
    there = installation.get(belonging.table, pk, sk)
    if there is None or there == item or _is_later(there, item):
        return False
    if there.get(IMPORTED) == {"S": manifest.export_id}:
        return False
    raise Conflict(
        f"the table {belonging.table} has another item {pk} {sk}, so somebody of the tenant {manifest.tenant} works there; "
        "nothing was overwritten"
    )


def _is_later(there: Stored, item: Stored) -> bool:
    """Whether what is there was made of the item: the service has gone on with it since an earlier run."""
    return any(name in there and name in item and int(there[name]["N"]) > int(item[name]["N"]) for name in _VERSIONS)


def _check_key(tenant: str, belonging: Belonging, item: Stored) -> None:
    """
    Raises:
        Refused: it is not below the tenant, and would be another one's.
    """
    pk = item["pk"]["S"]
    own = pk in {tenant, f"inbox#{tenant}"} if belonging is AUDIT else pk.startswith(f"{tenant}#")
    if not own or not belonging.keeps(item):
        raise Refused(f"the export has a record {pk} {item['sk']['S']} in {belonging.table}, which no export has")


def _claim(installation: Installation, manifest: Manifest, at: datetime) -> bool:
    """Whether this very export was imported before; else the import may go on.

    Raises:
        Conflict: the tenant is there, or another export is being imported.
    """
    tenant = manifest.tenant
    claim = installation.get(JOBS.table, _CLAIMS, tenant)
    if claim is None:
        if there := list(_there(installation, tenant)):
            raise Conflict(f"the installation has a tenant {tenant} already: {', '.join(there)}")
        item = {"pk": {"S": _CLAIMS}, "sk": {"S": tenant}, "export_id": {"S": manifest.export_id}}
        claim = {**item, "began_at": {"S": to_text(at)}}
        if not installation.put_if_absent(JOBS.table, claim):
            raise Conflict(f"another import of the tenant {tenant} has begun at this moment")
    if claim["export_id"]["S"] != manifest.export_id:
        raise Conflict(f"another export of the tenant {tenant} was imported here, since {claim['began_at']['S']}")
    return "ended_at" in claim


def _done(installation: Installation, manifest: Manifest, at: datetime) -> None:
    claim = installation.get(JOBS.table, _CLAIMS, manifest.tenant) or {}
    installation.put(JOBS.table, {**claim, "ended_at": {"S": to_text(at)}})


def _there(installation: Installation, tenant: str) -> Iterator[str]:
    """What an installation has of a tenant, in words."""
    for belonging in ALL:
        if any(True for _ in found(installation, belonging, tenant)):
            yield f"records in {belonging.table}"
    for prefix in object_prefixes(tenant):
        if any(True for _ in installation.listed(prefix)):
            yield f"objects below {prefix}"
