"""The published schemas of our events, one file for each type and version, made from `chalicelib.events.shapes`.

python -m infra.event_schemas          writes them
python -m infra.event_schemas --check  complains when a committed one differs
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from chalicelib.events.gateways import SOURCE
from chalicelib.events.shapes import TYPES, Event

FOLDER = Path(__file__).parent.parent / "docs" / "schemas" / "events"


def files() -> dict[Path, str]:
    """Every file, and what it has to hold."""
    return {FOLDER / f"{kind.type}.v{_version(kind)}.json": _text(kind) for kind in TYPES}


def stale() -> list[str]:
    """The committed files that are not what they have to be."""
    wanted = files()
    return sorted(path.name for path, text in wanted.items() if not path.is_file() or path.read_text("utf-8") != text)


def _version(kind: type[Event]) -> int:
    version: int = kind.model_fields["schema_version"].default
    return version


def _text(kind: type[Event]) -> str:
    schema = kind.model_json_schema(by_alias=True)
    # Who reads must not break on a field that a later release adds; only we are strict about what we send.
    for part in (schema, *schema.get("$defs", {}).values()):
        part.pop("additionalProperties", None)
    top = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": f"The detail of EventBridge events with source {SOURCE} and detail-type {kind.type}.",
    }
    return json.dumps({**top, **schema}, indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.event_schemas", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file differs")
    if parser.parse_args(arguments).check:
        found = stale()
        sys.stdout.writelines(f"{name} is not what chalicelib/events/shapes.py says\n" for name in found)
        return 1 if found else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
