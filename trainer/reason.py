"""Why a job failed, in at most 1,024 characters: the exception's line, then the script's own last lines."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

from trainer.console import STDERR

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST = 1024
_FRAME = re.compile(r'^\s+File "')
_EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(?::\s|$)")


def compose(headline: str, last_lines: Sequence[tuple[int, str]]) -> str:
    """Puts the headline above as many of the last lines as fit.

    Args:
        headline: What the supervisor saw, for example `exit code 3`.
        last_lines: The script's last lines with their streams, oldest first.
    """
    exception = _exception_line([line for stream, line in last_lines if stream == STDERR])
    first = f"{exception} ({headline})" if exception else headline
    first = first[:LONGEST]
    room = LONGEST - len(first)
    kept: list[str] = []
    lines = [line.rstrip() for _, line in last_lines]
    if exception and lines and lines[-1] == exception:
        lines.pop()
    for line in reversed(lines):
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return "\n".join([first, *reversed(kept)])


def headline(code: int, signal_number: int | None, stopped: str | None) -> str:
    """One phrase for how the script ended."""
    if stopped:
        return stopped
    if signal_number is not None:
        name = signal_name(signal_number)
        hint = ", possibly for lack of memory" if signal_number == signal.SIGKILL else ""
        return f"the script was ended by {name}{hint}"
    return f"exit code {code}"


def signal_name(number: int) -> str:
    """`SIGTERM`, or `signal 99` for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _exception_line(lines: list[str]) -> str | None:
    """The line of the last traceback that names the exception."""
    frames = [index for index, line in enumerate(lines) if _FRAME.match(line)]
    if not frames:
        return None
    for line in lines[frames[-1] + 1 :]:
        if _EXCEPTION.match(line):
            return line.rstrip()
    return None
