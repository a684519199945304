"""Searches a job's output for metrics; run by path with ``python -I -S``. Input: {name: regular expression} as JSON."""

import json
import math
import re
import sys

LINE_CHARACTERS = 16384


def search(definitions: dict[str, str], lines: "list[str]") -> dict[str, float]:
    """The last value of each metric: the first group of the last line that matches and holds a number."""
    patterns = {}
    for name, expression in definitions.items():
        try:
            patterns[name] = re.compile(expression)
        except re.error:
            continue
    found: dict[str, float] = {}
    for line in lines:
        for name, pattern in patterns.items():
            match = pattern.search(line[:LINE_CHARACTERS])
            value = number(match) if match else None
            if value is not None:
                found[name] = value
    return found


def number(match: "re.Match[str]") -> "float | None":
    """The match as a finite number: JSON has no others."""
    text = match.group(1) if match.re.groups else match.group(0)
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8", errors="replace") as output:  # noqa: PTH123 pathlib costs milliseconds here
        print(json.dumps(search(json.load(sys.stdin), output)))  # type: ignore[arg-type]
