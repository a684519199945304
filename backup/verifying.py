"""An export against its own checksums: every file there, every byte as it was written, every record counted.

It finds what disks and copies do. Who can write the folder can write its checksums too: where that matters, keep
`SHA256SUMS` somewhere else, or sign it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from backup.errors import Damaged
from backup.layout import INDEX, MANIFEST, OBJECTS, Folder, Manifest, read_lines, sha256_of


def verify(root: Path, progress: Callable[[str, int], None] = lambda _step, _done: None) -> Manifest:
    """
    Args:
        progress: is told the step, and how many files of it are done.

    Raises:
        NothingThere: it is no finished export.
        Refused: it is of another format, or names files outside of itself.
        Damaged: a file is missing or different.
    """
    folder = Folder(root)
    sums = folder.sums()
    faults = []
    for done, (name, sha256) in enumerate(sums.items(), 1):
        path = folder.path(name)
        if not path.is_file():
            faults.append(f"{name} is missing")
        elif sha256_of(path) != sha256:
            faults.append(f"{name} is not what was written")
        progress("verifying", done)
    if faults:
        raise Damaged(faults)
    manifest = folder.manifest()
    if faults := list(_unlisted(folder, manifest, sums)):
        raise Damaged(faults)
    return manifest


def _unlisted(folder: Folder, manifest: Manifest, sums: dict[str, str]) -> Iterator[str]:
    """What the manifest promises and the checksums don't cover, or cover otherwise."""
    for name in (MANIFEST, INDEX):
        if name not in sums:
            yield f"{name} has no checksum"
    for part in manifest.parts:
        if sums.get(part.path) != part.sha256:
            yield f"{part.path} has another checksum in the manifest"
        elif part.lines is not None and (found := sum(1 for _ in read_lines(folder.path(part.path)))) != part.lines:
            yield f"{part.path} has {found} records instead of {part.lines}"
    if INDEX not in sums:
        return
    count = size = 0
    for entry in folder.entries():
        count, size = count + 1, size + entry.size
        name = f"{OBJECTS}/{entry.sha256[:2]}/{entry.sha256}"
        if name not in sums:
            yield f"{name} has no checksum"
        elif folder.blob(entry.sha256).stat().st_size != entry.size:
            yield f"{name} has another size in the index"
    if (count, size) != (manifest.objects, manifest.bytes):
        yield f"{INDEX} has {count} objects of {size} bytes instead of {manifest.objects} of {manifest.bytes}"
