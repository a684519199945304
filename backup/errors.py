"""What can go wrong, in words for the operator."""

from __future__ import annotations

from collections.abc import Sequence


class BackupError(Exception):
    """It could not be done; the message says why and what helps."""


class NothingThere(BackupError):
    """There is no such tenant, installation or export."""


class Conflict(BackupError):
    """Something else is where this was to go."""


class Refused(BackupError):
    """The folder is no export that this release can read, or not of what it says."""


class Unreachable(BackupError):
    """AWS, or the embedded cloud, did not do what it was asked."""


class Damaged(BackupError):
    """The export is not as it was written.

    Attributes:
        faults: each file that is missing or different, and how.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        shown = "; ".join(faults[:5]) + (f"; and {len(faults) - 5} more" if len(faults) > 5 else "")
        super().__init__(f"the export is damaged: {shown}")
        self.faults = tuple(faults)
