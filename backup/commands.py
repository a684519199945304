"""What `aimatrix export` and `aimatrix import` do. The command line prints; these functions act and return values."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backup.errors import Refused
from backup.exporting import export
from backup.importing import Imported, import_
from backup.installation import Installation, connect, embedded, spoken
from backup.layout import Manifest
from chalicelib.clock import new_id, utc_now

Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class Where:
    """Which installation: the embedded cloud of a state directory, or a stack in an AWS account.

    Attributes:
        stack: its name; None for the embedded cloud.
        region, profile: as the aws command line has them; by default what it would use.
    """

    state: Path | None = None
    stack: str | None = None
    region: str | None = None
    profile: str | None = None

    def connect(self) -> Installation:
        if self.stack is None and (self.region or self.profile):
            raise Refused("--region and --aws-profile are of an account: name the stack there with --stack")
        if self.stack is not None and self.state is not None:
            raise Refused("--state is the embedded cloud's and --stack an account's: use one of them")
        if self.stack is None:
            return embedded(self.state)
        return connect(self.stack, region=self.region, profile=self.profile)


def export_tenant(where: Where, tenant: str, folder: Path, progress: Progress) -> Manifest:
    """See `exporting.export`."""
    with spoken():
        return export(where.connect(), tenant, folder, progress, now=utc_now, new_id=new_id, pause=time.sleep)


def import_tenant(where: Where, folder: Path, progress: Progress) -> Imported:
    """See `importing.import_`."""
    with spoken():
        return import_(where.connect(), folder, progress, now=utc_now)
