"""What goes where: results on stdout, everything that is said on the way on stderr.

With ``--json``, stdout gets exactly one line, a JSON document; without, what people read. Colour appears on terminals
only (``typer.echo`` strips it elsewhere), and not at all where ``NO_COLOR`` is set.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import typer

STATUS_COLOURS = {
    "pending": typer.colors.YELLOW,
    "running": typer.colors.CYAN,
    "completed": typer.colors.GREEN,
    "failed": typer.colors.RED,
    "cancelled": typer.colors.MAGENTA,
    "gathering": typer.colors.YELLOW,
    "starting": typer.colors.CYAN,
    "training": typer.colors.CYAN,
    "refused": typer.colors.RED,
    "skipped": typer.colors.BRIGHT_BLACK,
    "ready": typer.colors.GREEN,
    "deployed": typer.colors.GREEN,
    "deprecated": typer.colors.BRIGHT_BLACK,
    "deploying": typer.colors.CYAN,
    "active": typer.colors.GREEN,
    "inactive": typer.colors.BRIGHT_BLACK,
    "paused": typer.colors.YELLOW,
    "rolling-back": typer.colors.YELLOW,
    "succeeded": typer.colors.GREEN,
    "rolled-back": typer.colors.RED,
    "aborted": typer.colors.MAGENTA,
    "terminated": typer.colors.BRIGHT_BLACK,
    "expired": typer.colors.BRIGHT_BLACK,
    "revoked": typer.colors.BRIGHT_BLACK,
}

# Keeps a script's output from steering the terminal; tabs stay.
_CONTROL = {code: None for code in (*range(32), 127, *range(128, 160)) if code != ord("\t")}


@dataclass(frozen=True)
class Output:
    """Where one run of a verb writes."""

    as_json: bool = False

    def note(self, text: str) -> None:
        """Something said on the way."""
        _write(text, err=True)

    def line(self, text: str) -> None:
        """A line of what was asked for; beside stdout's one document when that is JSON."""
        _write(text, err=self.as_json)

    def finish(self, document: Mapping[str, Any], *lines: str) -> None:
        """The result: the document, or the lines that say the same to people."""
        if self.as_json:
            _write(json.dumps(document, separators=(",", ":"), ensure_ascii=False), err=False)
        else:
            for line in lines:
                _write(line, err=False)

    def is_lively(self) -> bool:
        """Whether a display that redraws itself is welcome: a capable terminal, and nobody parsing."""
        return not self.as_json and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _write(text: str, *, err: bool) -> None:
    typer.echo(text, err=err, color=False if os.environ.get("NO_COLOR") else None)


def bold(text: str) -> str:
    return typer.style(text, bold=True)


def dim(text: str) -> str:
    return typer.style(text, dim=True)


def status(word: str, width: int = 0) -> str:
    return typer.style(word.ljust(width), fg=STATUS_COLOURS.get(word))


def printable(text: str) -> str:
    """A line somebody else wrote, without control characters."""
    return text.translate(_CONTROL)


def number(value: float) -> str:
    """A figure as short as it can be without lying about its size."""
    return f"{value:.4g}" if isinstance(value, float) and value == value else str(value)


def size(count: int) -> str:
    amount = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned columns, never cut: an id that was shortened to fit is of no use."""
    widths = [max(len(headers[column]), *(len(row[column]) for row in rows), 0) for column in range(len(headers))]
    lines = [bold("  ".join(header.ljust(width) for header, width in zip(headers, widths, strict=True)).rstrip())]
    for row in rows:
        cells = [
            status(cell, width) if header == "STATUS" else cell.ljust(width)
            for header, cell, width in zip(headers, row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def facts(pairs: Mapping[str, str | None]) -> list[str]:
    """Names and values under each other; what has no value is left out."""
    present = {name: value for name, value in pairs.items() if value}
    width = max((len(name) for name in present), default=0)
    return [f"{dim(name.ljust(width))}  {value}" for name, value in present.items()]
