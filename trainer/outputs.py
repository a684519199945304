"""What the script leaves behind: found without following links out of its directory, uploaded with size and checksum."""

from __future__ import annotations

import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from trainer.errors import StorageError
from trainer.upload import upload

if TYPE_CHECKING:
    from trainer.s3 import S3Client, S3Uri

MOST_FILES = 10_000
_LONGEST_KEY_BYTES = 1024
_PARALLEL = 4


class Artifact(NamedTuple):
    """One uploaded object: a row of the manifest. `checksum` is a hexadecimal SHA-256."""

    name: str
    type: str
    path: str
    size_bytes: int
    checksum: str

    def document(self) -> dict[str, Any]:
        """As the manifest holds it."""
        return dict(self._asdict())


def collect(directory: Path) -> tuple[list[tuple[str, Path]], list[str]]:
    """Lists what is to be uploaded from a directory.

    Returns:
        Relative names with `/`, each with the regular file behind it; and a sentence for everything left out: a symbolic
        link that leaves the directory, leads to a directory or nowhere, and anything that is neither file nor directory.
    """
    top = directory.resolve()
    files: list[tuple[str, Path]] = []
    notes: list[str] = []
    for folder, subfolders, names in os.walk(top):
        subfolders.sort()
        for name in sorted([*names, *(sub for sub in subfolders if Path(folder, sub).is_symlink())]):
            path = Path(folder, name)
            relative = path.relative_to(top).as_posix()
            problem = _problem(path, top)
            if problem:
                notes.append(f"the output {relative!r} {problem}: it was not uploaded")
            elif len(files) == MOST_FILES:
                notes.append(
                    f"there are more than {MOST_FILES} outputs: {relative!r} and what follows was not uploaded"
                )
                return files, notes
            else:
                # A name is bytes to Linux; an S3 key has to be UTF-8.
                files.append((os.fsencode(relative).decode("utf-8", "backslashreplace"), path))
    return files, notes


def within(files: list[tuple[str, Path]], most_bytes: int) -> tuple[list[tuple[str, Path]], list[str]]:
    """Chooses the smallest files, which together have at most so many bytes, and removes the others.

    Returns:
        The chosen files in their order, and a sentence about the others, if there are any.
    """
    sizes = {path: path.stat().st_size for _, path in files}
    kept: set[Path] = set()
    left = most_bytes
    for path in sorted(sizes, key=sizes.__getitem__):
        left -= sizes[path]
        if left < 0:
            break
        kept.add(path)
    dropped = [item for item in files if item[1] not in kept]
    if not dropped:
        return files, []
    total = sum(sizes[path] for _, path in dropped)
    # They go now: whoever watches this disk must not end the agent for what the script has left on it.
    for _, path in dropped:
        path.unlink(missing_ok=True)
    note = (
        f"{len(dropped)} of {len(files)} outputs ({total} bytes) were not uploaded: of a job that broke its disk allowance "
        f"only the smallest outputs are kept, {most_bytes} bytes in all"
    )
    return [item for item in files if item[1] in kept], [note]


def upload_all(s3: S3Client, files: list[tuple[str, Path]], prefix: S3Uri) -> list[Artifact]:
    """Uploads the files under a prefix.

    Raises:
        StorageError: one of them could not be uploaded; the message names it.
    """

    def send(item: tuple[str, Path]) -> Artifact:
        name, path = item
        uri = prefix.join(name)
        if len(uri.key.encode("utf-8")) > _LONGEST_KEY_BYTES:
            raise StorageError(f"the output {name!r} can't be uploaded: its name makes a key of more than 1024 bytes")
        try:
            size, sha256 = upload(s3, path, uri)
        except (OSError, StorageError) as error:
            raise StorageError(f"the output {name!r} could not be uploaded: {error}") from error
        return Artifact(name, "output", str(uri), size, sha256)

    if len(files) <= 1:
        return [send(item) for item in files]
    with ThreadPoolExecutor(_PARALLEL) as pool:
        return list(pool.map(send, files))


def empty(directory: Path) -> None:
    """Removes everything in a directory, but not the directory: it may be a mount point."""
    if not directory.is_dir():
        return
    for entry in list(os.scandir(directory)):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            Path(entry.path).unlink()


def _problem(path: Path, top: Path) -> str:
    if path.is_symlink():
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError):
            return "is a symbolic link that leads nowhere"
        if top not in target.parents:
            return "is a symbolic link that leaves its directory"
        if not target.is_file():
            return "is a symbolic link to something other than a file"
        return ""
    if not stat.S_ISREG(path.lstat().st_mode):
        return "is not a regular file"
    return ""
