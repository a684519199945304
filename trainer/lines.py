"""The script's output on its way to the log: whole lines, bounded, valid UTF-8, unable to pass for the agent's own."""

from __future__ import annotations

import collections
import re

from trainer.console import STDERR, STDOUT

TYPE_CHECKING = False  # `typing` costs the agent's start 10 ms
if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.console import Console

# A container log driver splits lines at 16 KiB: what is split here is split where the agent can see it.
LONGEST_LINE = 16 * 1024 - 64
_KEPT_LINES = 200
_KEPT_CHARACTERS = 1024
# A reader that also ends lines at one of these must not find a structured line behind it.
_FORGED = re.compile(r"(^|[\r\v\f\x1c-\x1e\x85\u2028\u2029])([\s\ufeff\0]*)#aimatrix(?=\s)", re.MULTILINE)
ESCAPED = r"\1\2> #aimatrix"


class Output:
    """Passes both streams on, line by line, and keeps the last lines for the failure's reason.

    Lines are written through unchanged, with these exceptions: bytes that are not UTF-8 become U+FFFD, a line longer than
    `LONGEST_LINE` bytes is broken, a line that starts like a structured one gets `> ` in front, and after `limit` bytes in
    all one line says that the rest is dropped. The script itself is never blocked by that. Values of the job's secrets are
    hidden before anything else is done with a line: see `Console.mask`.

    Args:
        console: Where the lines go.
        limit: How many bytes of log the job may write; `None` for no limit.
        observe: Called with each line's text before it is written, when `wants` says so.
        wants: Says of a block of lines whether `observe` may find something in it.
    """

    def __init__(
        self,
        console: Console,
        *,
        limit: int | None,
        observe: Callable[[str], None],
        wants: Callable[[bytes], bool],
    ) -> None:
        self._console = console
        self._left = limit
        self._limit = limit
        self._observe = observe
        self._wants = wants
        self._pending = {STDOUT: bytearray(), STDERR: bytearray()}
        self._last: collections.deque[tuple[int, str]] = collections.deque(maxlen=_KEPT_LINES)

    def feed(self, stream: int, data: bytes) -> None:
        """Takes what the script wrote, in pieces of any size."""
        pending = self._pending[stream]
        pending += data
        end = pending.rfind(b"\n") + 1
        if end:
            block = self._masked(bytes(pending[:end]))
            del pending[:end]
            self._block(stream, _bounded(block) if len(block) > LONGEST_LINE else block)
        mask = self._console.mask
        held_back = 0
        if mask is not None and len(pending) > LONGEST_LINE:
            # No value may be cut in two where the line is: what may be the beginning of one waits for its end.
            pending[:] = mask.data(bytes(pending))
            held_back = mask.longest
        while len(pending) > LONGEST_LINE + held_back:
            cut = _boundary(pending)
            block = bytes(pending[:cut])
            del pending[:cut]
            self._block(stream, block + b"\n")

    def close(self) -> None:
        """Writes the last lines that had no newline."""
        for stream, pending in self._pending.items():
            if pending:
                block = _bounded(self._masked(bytes(pending)) + b"\n")
                pending.clear()
                self._block(stream, block)

    def last_lines(self) -> list[tuple[int, str]]:
        """The last lines of both streams, in the order they came, each with its stream."""
        return list(self._last)

    def _masked(self, data: bytes) -> bytes:
        return data if self._console.mask is None else self._console.mask.data(data)

    def _block(self, stream: int, block: bytes) -> None:
        try:
            text = block.decode("utf-8")
        except UnicodeDecodeError:
            text = block.decode("utf-8", "replace")
            block = text.encode("utf-8")
        if b"#aimatrix" in block:
            text = _FORGED.sub(ESCAPED, text)
            block = text.encode("utf-8")
        self._remember(stream, text)
        if self._wants(block):
            for line in text.split("\n"):
                if line:
                    self._observe(line)
        self._write(stream, block)

    def _remember(self, stream: int, text: str) -> None:
        lines = text[-_KEPT_LINES * 256 :].split("\n")
        self._last.extend((stream, line[:_KEPT_CHARACTERS]) for line in lines[-_KEPT_LINES - 1 :] if line.strip())

    def _write(self, stream: int, block: bytes) -> None:
        if self._left is None:
            self._console.pass_on(stream, block)
            return
        if self._left < 0:
            return
        if len(block) > self._left:
            kept = block[: block.rfind(b"\n", 0, self._left) + 1]
            if kept:
                self._console.pass_on(stream, kept)
            self._left = -1
            self._console.say(f"the log has reached its limit of {self._limit} bytes: further lines are dropped")
            return
        self._left -= len(block)
        self._console.pass_on(stream, block)


def _bounded(block: bytes) -> bytes:
    pieces = []
    for line in block[:-1].split(b"\n"):
        rest = line
        while len(rest) > LONGEST_LINE:
            cut = _boundary(rest)
            pieces.append(rest[:cut])
            rest = rest[cut:]
        pieces.append(rest)
    return b"\n".join(pieces) + b"\n"


def _boundary(line: bytes | bytearray) -> int:
    """Where to break a line that is too long: not inside a character."""
    cut = LONGEST_LINE
    while cut > LONGEST_LINE - 4 and line[cut] & 0xC0 == 0x80:
        cut -= 1
    return cut
