"""The table of who may do what, in docs/identity.md, written from `chalicelib/identity/permissions.py`.

python -m infra.permission_table          writes it
python -m infra.permission_table --check  complains when the committed one differs
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from chalicelib.identity.permissions import TABLE, Role

PAGE = Path(__file__).parent.parent / "docs" / "identity.md"
BEGIN = "<!-- permissions: written by python -m infra.permission_table -->\n"
END = "<!-- end of permissions -->\n"


def markdown() -> str:
    """One row per permission, one column per role."""
    columns = ["permission", "allows to", "anybody with a token", *(role.value for role in Role)]
    rows = [columns, ["---"] * len(columns)]
    for rule in TABLE:
        everybody = rule.roles == frozenset(Role)
        marks = ["✓" if held else "" for held in (everybody, *(role in rule.roles for role in Role))]
        rows.append([f"`{rule.permission.value}`", rule.allows, *marks])
    return "".join(f"| {' | '.join(row)} |\n".replace("|  |", "| |").replace("|  |", "| |") for row in rows)


def completed(page: str) -> str:
    """The page with the table as it should be.

    Raises:
        ValueError: the page has no place for it.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks the lines {BEGIN.strip()!r} and {END.strip()!r}")
    return before + begin + markdown() + end + after


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the table of permissions into docs/identity.md.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail when the page differs")
    page = PAGE.read_text(encoding="utf-8")
    if parser.parse_args(argv).check:
        if completed(page) != page:
            print("docs/identity.md differs from the code: run python -m infra.permission_table", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(completed(page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
