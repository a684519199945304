"""Options that several verbs share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

WHERE = "Which service"
RESOURCES = "Resources"


class Framework(StrEnum):
    TENSORFLOW = "tensorflow"
    PYTORCH = "pytorch"
    SKLEARN = "sklearn"
    XGBOOST = "xgboost"
    CUSTOM = "custom"


class GpuType(StrEnum):
    V100 = "v100"
    A100 = "a100"
    H100 = "h100"
    T4 = "t4"


class Environment(StrEnum):
    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, as the last line of stdout.")]

Api = Annotated[
    str | None,
    typer.Option(help="Address of the service, ending in /api/v1.", metavar="URL", rich_help_panel=WHERE),
]
Profile = Annotated[
    str | None,
    typer.Option(help="A profile of the configuration file.", metavar="NAME", rich_help_panel=WHERE),
]
State = Annotated[
    Path | None,
    typer.Option(
        help="State directory of an embedded cloud (default: AIMATRIX_STATE, else the user's own).",
        metavar="DIR",
        rich_help_panel=WHERE,
    ),
]
