"""Checkpoints: fetched before the run, uploaded as they are written, and once more at the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from localcloud.compute.host import ObjectStore
from localcloud.compute.jobs.archive import regular_files
from localcloud.compute.jobs.s3_uri import S3Uri

Signature = tuple[int, int]


@dataclass
class CheckpointSync:
    """Uploads what is new or has changed since it was last looked at; nothing in S3 is ever deleted, as on SageMaker."""

    folder: Path
    target: S3Uri
    _seen: dict[str, Signature] = field(default_factory=dict)

    def remember(self) -> None:
        """Takes what is there now as known (just downloaded). *Blocking.*"""
        self._seen = {self._name(path): _signature(path) for path in regular_files(self.folder)}

    def upload_changes(self, objects: ObjectStore) -> int:
        """Returns how many files went up. *Blocking.*

        Raises:
            aws_clients.ObjectError: S3 refused one; it is tried again at the next call.
            archive.UnsafeLink: a link leaves the folder.
        """
        count = 0
        for path in regular_files(self.folder):
            name = self._name(path)
            try:
                signature = _signature(path)
                if self._seen.get(name) == signature:
                    continue
                objects.upload(path, self.target.bucket, self.target.under(name).key)
            except FileNotFoundError:
                continue  # replaced while it was looked at: the next round sees its successor
            self._seen[name] = signature
            count += 1
        return count

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def _signature(path: Path) -> Signature:
    status = path.lstat()
    return status.st_mtime_ns, status.st_size
