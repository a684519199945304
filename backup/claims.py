"""Which tenants were imported, and from which export, in the table of jobs:

    pk         sk          what
    #import    <tenant>    the id of the export, and when its import began and ended

One import at a time can be made of a tenant, and only of one that is not there; the same one may be gone on with.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from backup.belongings import JOBS, there
from backup.errors import Conflict
from backup.installation import Installation
from backup.layout import Manifest
from chalicelib.clock import to_text

_PK = "#import"
"""No tenant's name begins so."""


class Claim(Enum):
    """How far the import of an export has come."""

    NEW = "new"
    BEGUN = "begun"
    DONE = "done"


def claim(installation: Installation, manifest: Manifest, at: datetime) -> Claim:
    """
    Raises:
        Conflict: the tenant is there, or was imported from another export.
    """
    tenant = manifest.tenant
    known = installation.get(JOBS.table, _PK, tenant)
    if known is None:
        if found := list(there(installation, tenant)):
            raise Conflict(f"the installation has a tenant {tenant} already: {', '.join(found)}")
        item = {"pk": {"S": _PK}, "sk": {"S": tenant}, "export_id": {"S": manifest.export_id}}
        if not installation.put_if_absent(JOBS.table, {**item, "began_at": {"S": to_text(at)}}):
            raise Conflict(f"another import of the tenant {tenant} has begun at this moment")
        return Claim.NEW
    if known["export_id"]["S"] != manifest.export_id:
        raise Conflict(f"another export of the tenant {tenant} was imported here, since {known['began_at']['S']}")
    return Claim.DONE if "ended_at" in known else Claim.BEGUN


def end(installation: Installation, manifest: Manifest, at: datetime) -> None:
    """All of it is there."""
    known = installation.get(JOBS.table, _PK, manifest.tenant) or {}
    installation.put(JOBS.table, {**known, "ended_at": {"S": to_text(at)}})
