"""What the agent prints: the user's lines, its own, and the structured ones that the service reads.

A structured line is `#aimatrix ` and one JSON object, alone on its line. It is the only way anything reaches the service
while the job runs: the container's log is the transport.
"""

from __future__ import annotations

import json
import os
import threading

TYPE_CHECKING = False  # `typing` costs the agent's start 10 ms
if TYPE_CHECKING:
    from trainer.mask import Mask
    from trainer.spec import Spec

MARK = "#aimatrix "
STDOUT = 1
STDERR = 2


class Console:
    """Writes whole lines, never two at once. Safe to share between threads.

    Args:
        stdout: File descriptor for the user's standard output and everything of the agent.
        stderr: File descriptor for the user's standard error.

    Attributes:
        mask: Hides the values of the job's secrets, once they are known; `None` for a job without any.
    """

    def __init__(self, *, stdout: int = STDOUT, stderr: int = STDERR) -> None:
        self._descriptors = {STDOUT: stdout, STDERR: stderr}
        self._lock = threading.Lock()
        self._identity: dict[str, object] | None = None
        self.mask: Mask | None = None

    def identify(self, spec: Spec) -> None:
        """From here on, structured lines can be written: they carry the attempt's identity and its secret."""
        self._identity = {"j": f"{spec.tenant}#{spec.job_id}", "n": spec.attempt, "k": spec.token}

    def masked(self, text: str) -> str:
        """A text without the values of the job's secrets."""
        return text if self.mask is None else self.mask.text(text)

    def say(self, text: str) -> None:
        """A line of the agent's own in the user's log."""
        text = self.masked(text)
        self.pass_on(STDOUT, f"aimatrix: {' '.join(text.splitlines())}\n".encode("utf-8", "replace"))

    def structured(self, kind: str, **fields: object) -> None:
        """A structured line; nothing before `identify`, since nobody could tell whose it is."""
        if self._identity is None:
            return
        document = {**self._identity, "t": kind, **fields}
        line = MARK + json.dumps(document, separators=(",", ":"), allow_nan=False) + "\n"
        self.pass_on(STDOUT, line.encode("ascii"))

    def pass_on(self, stream: int, data: bytes) -> None:
        """Writes bytes that end with a newline. A reader that has gone away costs the lines, not the job."""
        descriptor = self._descriptors[stream]
        view = memoryview(data)
        with self._lock:
            try:
                while view:
                    view = view[os.write(descriptor, view) :]
            except BrokenPipeError:
                return
