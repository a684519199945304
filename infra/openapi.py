"""openapi.json, made from the routes that exist: paths, methods, parameters, who may.

python -m infra.openapi          writes it
python -m infra.openapi --check  complains when the committed one differs
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from chalicelib.api.rest import PROBLEM, Operation
from chalicelib.version import VERSION
from infra import api
from infra.names import Json

FILE = Path(__file__).parent.parent / "openapi.json"
PERMISSION = "x-permission"
"""The permission that an operation needs; an operation without one needs none beside a credential, if that."""

# The contract's own name, where it has one.
_CONTRACT_IDS = {"submit_job": "submitTrainingJob"}
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


def document() -> Json:
    from app import app

    paths: dict[str, Json] = {}
    for operation in sorted(app.operations, key=lambda each: (each.path, each.method)):
        paths.setdefault(f"/{api.STAGE}{operation.path}", {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "AI Model Training Service API",
            "version": VERSION,
            "description": f"`{PERMISSION}` names the permission that an operation needs: see docs/identity.md.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "BearerAuth": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "ApiKeyAuth": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
            "schemas": {"Problem": _PROBLEM},
            "responses": {"Problem": {"description": "RFC 9457", "content": {PROBLEM: {"schema": _PROBLEM_REF}}}},
        },
        "security": [{"BearerAuth": []}, {"ApiKeyAuth": []}],
    }


def text() -> str:
    return json.dumps(document(), indent=2) + "\n"


def _operation(operation: Operation) -> Json:
    made: Json = {"operationId": _CONTRACT_IDS.get(operation.name) or _camel(operation.name)}
    if operation.is_public:
        made["security"] = []
    if operation.needs:
        made[PERMISSION] = operation.needs.value
    parameters = re.findall(r"{(\w+)}", operation.path)
    if parameters:
        made["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in parameters
        ]
    if operation.method in _WITH_BODY:
        made["requestBody"] = {"content": {media_type: {} for media_type in operation.media_types}}
    made["responses"] = {"2XX": {"description": "Done"}, "default": {"$ref": "#/components/responses/Problem"}}
    return made


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


_PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}
_FIELD = {name: {"type": "string"} for name in ("field", "message", "cure")}
_PROBLEM: Json = {
    "type": "object",
    "properties": {
        **{name: {"type": "string"} for name in ("type", "title", "detail", "code", "request_id")},
        "status": {"type": "integer"},
        "errors": {"type": "array", "items": {"type": "object", "properties": _FIELD}},
    },
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write openapi.json from the routes of app.py.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail when the committed one differs")
    if parser.parse_args(argv).check:
        if not FILE.is_file() or FILE.read_text(encoding="utf-8") != text():
            print("openapi.json differs from the routes: run python -m infra.openapi", file=sys.stderr)
            return 1
        return 0
    FILE.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
