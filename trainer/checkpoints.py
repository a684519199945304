"""A job's checkpoints where nothing else keeps them, on Batch: SageMaker brings and takes them itself.

They are brought in before the script starts, taken to S3 while it runs as they change, and once more when it has ended: so
another attempt goes on from the last of them, whether this one was stopped, failed or lost its machine.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from trainer import outputs
from trainer.errors import StorageError
from trainer.inputs import objects_of
from trainer.upload import upload

if TYPE_CHECKING:
    from trainer.console import Console
    from trainer.s3 import S3Client, S3Uri

EVERY_SECONDS = 10.0
# What was written less long ago may be written still.
_SETTLED_SECONDS = 1.0
_PARALLEL = 8

_Mark = tuple[int, int]
"""Size, and time of the last change in nanoseconds."""


class Checkpoints:
    """
    Args:
        uri: where they lie in S3, of all attempts.
        directory: where the script has them.
    """

    def __init__(
        self, s3: S3Client, uri: S3Uri, directory: Path, console: Console, *, every_seconds: float = EVERY_SECONDS
    ) -> None:
        self._s3 = s3
        self._uri = uri
        self._directory = directory
        self._console = console
        self._every_seconds = every_seconds
        self._kept: dict[str, _Mark] = {}
        self._said: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)

    def fetch(self) -> int:
        """Brings in what earlier attempts have left. Returns how many files that are.

        Raises:
            StorageError: one could not be brought in.
        """
        found = objects_of(self._s3, self._uri, self._directory)
        with ThreadPoolExecutor(_PARALLEL) as pool:
            for _ in pool.map(lambda item: self._s3.download(*item), found):
                pass
        for _, path in found:
            self._kept[path.relative_to(self._directory).as_posix()] = _mark(path)
        return len(found)

    def begin(self) -> None:
        """Starts looking for changes."""
        self._thread.start()

    def close(self) -> None:
        """Takes what has changed since; the script has ended."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._take(is_last=True)

    def _run(self) -> None:
        while not self._ended.wait(self._every_seconds):
            self._take(is_last=False)

    def _take(self, *, is_last: bool) -> None:
        """New and changed files first, then the absence of those that are gone: at no moment is there less than before."""
        files, notes = outputs.collect(self._directory)
        self._say(*(note.replace("the output", "the checkpoint", 1) for note in notes))
        changed = [(name, path) for name, path in files if self._is_changed(name, path, is_last=is_last)]
        with ThreadPoolExecutor(_PARALLEL) as pool:
            is_whole = all(list(pool.map(lambda item: self._put(*item), changed)))
        gone = set(self._kept) - {name for name, _ in files}
        if is_whole and not notes:
            for name in sorted(gone):
                self._delete(name)

    def _is_changed(self, name: str, path: Path, *, is_last: bool) -> bool:
        try:
            mark = _mark(path)
        except OSError:
            return False
        is_settled = is_last or time.time() - mark[1] / 1e9 >= _SETTLED_SECONDS
        return is_settled and self._kept.get(name) != mark

    def _put(self, name: str, path: Path) -> bool:
        try:
            mark = _mark(path)
            upload(self._s3, path, self._uri.join(name))
        except FileNotFoundError:
            return True  # gone again, as a file is that was renamed
        except (OSError, StorageError) as error:
            self._say(f"the checkpoint {name!r} could not be kept yet: {error}")
            return False
        self._kept[name] = mark
        return True

    def _delete(self, name: str) -> None:
        try:
            self._s3.call("DELETE", self._uri.join(name))
        except StorageError as error:
            self._say(f"the checkpoint {name!r} is gone here, and could not be removed from S3: {error}")
        else:
            del self._kept[name]

    def _say(self, *sentences: str) -> None:
        """Each once."""
        for sentence in sentences:
            if sentence not in self._said:
                self._said.add(sentence)
                self._console.say(sentence)


def _mark(path: Path) -> _Mark:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
