"""``aimatrix predict``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from aimatrix.cli import options
from aimatrix.cli.deployments import Reference, resolve
from aimatrix.cli.output import Output
from aimatrix.cli.tools import Target, tools

# What a SageMaker endpoint takes in one request is 6 MB (InvokeEndpoint); API Gateway and Lambda allow no more.
MOST_BYTES = 6 * 1024 * 1024

JSON, CSV = "application/json", "text/csv"


def predict(
    ctx: typer.Context,
    reference: Reference,
    body: Annotated[
        str,
        typer.Argument(
            help="What to ask: JSON, @FILE (.json or .csv), or - for standard input. "
            "A bare JSON list stands for {'inputs': [...]}.",
            metavar="BODY",
        ),
    ],
    content_type: Annotated[
        str | None, typer.Option(help=f"{JSON} or {CSV} (default: by the file's name, else JSON).")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="What callers are told apart by: the same key is answered by the same version.")
    ] = None,
    variant: Annotated[
        str | None, typer.Option(help="The variant that is to answer, as v3 (takes a permission).")
    ] = None,
    api: options.Api = None,
    profile: options.Profile = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Ask a deployed model.

    Examples:

      aimatrix predict wine@development '[[13.2, 1.78, 2.14, 11.2, 100, 2.65, 2.76, 0.26, 1.28, 4.38, 1.05, 3.4, 1050]]'

      aimatrix predict wine@development '{"dataframe_records": [{"alcohol": 13.2, "malic_acid": 1.78}]}'

      aimatrix predict wine@development @rows.csv --json
    """
    content, kind = read_body(body, content_type)
    with tools(ctx).connect(Target(api, profile, state)) as client:
        found = resolve(client, reference)
        answer = client.deployments.predict_raw(found.id, content, kind, key=key, variant=variant)
    document = answer if isinstance(answer, dict) else {"predictions": answer}
    Output(as_json).finish(document, *readable(document))


def read_body(body: str, content_type: str | None) -> tuple[bytes, str]:
    """The bytes to send and their content type."""
    if body == "-":
        content, guessed = sys.stdin.buffer.read(MOST_BYTES + 1), JSON
    elif body.startswith("@"):
        path = Path(body[1:])
        if not path.is_file():
            raise typer.BadParameter(f"{path} is not a file", param_hint="BODY")
        with path.open("rb") as source:
            content = source.read(MOST_BYTES + 1)
        guessed = CSV if path.suffix.lower() == ".csv" else JSON
    else:
        content, guessed = body.encode(), JSON
    if len(content) > MOST_BYTES:
        raise typer.BadParameter(f"more than the {MOST_BYTES:,} bytes of one request; ask in parts", param_hint="BODY")
    kind = content_type or guessed
    return (_as_inputs(content), kind) if kind == JSON else (content, kind)


def _as_inputs(content: bytes) -> bytes:
    try:
        document = json.loads(content)
    except ValueError as error:
        raise typer.BadParameter(f"not JSON: {error}", param_hint="BODY") from None
    return json.dumps({"inputs": document}).encode() if isinstance(document, list) else content


def readable(document: dict[str, Any]) -> list[str]:
    """One line a prediction, where there is a list of them."""
    predictions = document.get("predictions")
    if isinstance(predictions, list):
        return [json.dumps(each, ensure_ascii=False) for each in predictions]
    return [json.dumps(document, ensure_ascii=False, indent=2)]
