"""The files of one journal: `N.snapshot` holds all that was there before `N.journal` began.

To compact is a matter of files alone. A new journal is begun, then everything before it is read and written again as the
snapshot that precedes it, under another name until it is whole. Whatever is killed when, either the old files are all there
or the new one is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from localcloud.journal import frames
from localcloud.journal.records import Contents

_FRAME_BYTES = 256 * 1024


@dataclass(frozen=True)
class JournalDirectory:
    """One directory of snapshots and journals."""

    root: Path

    def create(self) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def journal(self, number: int) -> Path:
        return self.root / f"{number:010d}.journal"

    def snapshot(self, number: int) -> Path:
        return self.root / f"{number:010d}.snapshot"

    def newest(self) -> int:
        """The number of the newest file; 0 if there is none."""
        return max((number for number, _ in self._files()), default=0)

    def read(self, before: int | None = None) -> Contents:
        """What the files lead to.

        Args:
            before: leave out journals from this number on; by default all are read.
        """
        contents = Contents()
        for path in self._relevant(before):
            with path.open("rb") as file:
                for changes in frames.read(file):
                    for change in changes:
                        contents.apply(change)
        return contents

    def write_snapshot(self, number: int, contents: Contents) -> None:
        """Write the snapshot that precedes journal `number`, and remove what it makes superfluous."""
        target = self.snapshot(number)
        incoming = target.with_suffix(".incoming")
        descriptor = os.open(incoming, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(frames.HEADER)
            for frame in _packed(contents):
                file.write(frame)
            file.flush()
            # A snapshot replaces the only other copy of the data, so this one write does wait for the disk.
            os.fsync(file.fileno())
        incoming.replace(target)
        for own, path in self._files():
            if own < number:
                path.unlink()

    def compact(self, number: int) -> None:
        """Turn everything before journal `number` into one snapshot."""
        self.write_snapshot(number, self.read(before=number))

    def size(self, number: int) -> int:
        """Bytes of the snapshot that precedes journal `number`."""
        try:
            return self.snapshot(number).stat().st_size
        except FileNotFoundError:
            return 0

    def _files(self) -> list[tuple[int, Path]]:
        found = [path for suffix in ("journal", "snapshot") for path in self.root.glob(f"[0-9]*.{suffix}")]
        return sorted((int(path.stem), path) for path in found)

    def _relevant(self, before: int | None) -> Iterator[Path]:
        files = [(number, path) for number, path in self._files() if before is None or number < before]
        snapshots = [number for number, path in files if path.suffix == ".snapshot"]
        first = max(snapshots, default=0)
        if snapshots:
            yield self.snapshot(first)
        yield from (path for number, path in files if number >= first and path.suffix == ".journal")


def _packed(contents: Contents) -> Iterator[bytes]:
    pending: list[bytes] = []
    size = 0
    for change in contents.changes():
        encoded = json.dumps(change, separators=(",", ":")).encode()
        pending.append(encoded)
        size += len(encoded)
        if size >= _FRAME_BYTES:
            yield frames.encode(pending)
            pending, size = [], 0
    if pending:
        yield frames.encode(pending)
