"""The parts of the embedded cloud, as data: how each is started and where it says that it is well."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localcloud.processes import Command, inherited, inherited_by_lambda, module
from localcloud.state import HOST, REGION, Settings, StateDir


@dataclass(frozen=True)
class Part:
    """A long-running child of the supervisor.

    Attributes:
        port: where it listens, on loopback.
        health: the path that answers 200 when it is well.
        grace: seconds between SIGTERM and SIGKILL.
        after: the part that must be well before this one is started for the first time.
    """

    name: str
    command: Command
    port: int
    health: str
    grace: float = 5.0
    after: str | None = None

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"


def all_parts(state: StateDir, settings: Settings, environ: Mapping[str, str]) -> list[Part]:
    """Every part, in the order in which they are ended: whoever calls others goes first."""
    root = str(state.root)
    user = inherited(environ)
    return [
        Part(
            "front-door",
            Command(module("localcloud.frontdoor", "--state", root), user, state.logs / "front-door.log"),
            settings.port,
            "/healthz",
        ),
        Part(
            "compute",
            Command(_compute_arguments(state, settings), _compute_environ(settings, user), state.logs / "compute.log"),
            settings.compute_port,
            "/_compute/health",
            grace=20.0,
            # It goes on with the jobs of the last run at once, and asks the AWS services for their roles' credentials.
            after="aws",
        ),
        Part(
            "aws",
            Command(module("localcloud.aws", "--state", root), _aws_environ(environ), state.logs / "aws.log"),
            settings.aws_port,
            "/_aimatrix/health",
        ),
        Part(
            "mlflow",
            Command(
                module(
                    "localcloud.mlflow_server",
                    "--port",
                    str(settings.mlflow_port),
                    "--state",
                    str(state.part("mlflow")),
                ),
                user,
                state.logs / "mlflow.log",
            ),
            settings.mlflow_port,
            "/health",
        ),
    ]


def deployment(state: StateDir, environ: Mapping[str, str], build: Path | None) -> Command:
    """The short-lived child that builds the template, unless a finished build is given, and deploys it."""
    given = ["--build", str(build)] if build else []
    return Command(
        module("localcloud.deploy", "--state", str(state.root), *given), inherited(environ), state.logs / "deploy.log"
    )


def _aws_environ(environ: Mapping[str, str]) -> dict[str, str]:
    # It has a thread for each running execution; glibc would let many of them fill, and keep, an arena of their own.
    return {**inherited_by_lambda(environ), "MALLOC_ARENA_MAX": "2"}


def _compute_arguments(state: StateDir, settings: Settings) -> list[str]:
    return module(
        "localcloud.compute",
        *("--port", str(settings.compute_port)),
        *("--state", str(state.part("compute"))),
        *("--aws", settings.aws_url),
        *("--control-url", f"{settings.aws_url}/_aimatrix"),
        *("--python", sys.executable),
    )


def _compute_environ(settings: Settings, user: Mapping[str, str]) -> dict[str, str]:
    return {
        **user,
        "AIMATRIX_CONTROL_SECRET": settings.control_secret,
        "AWS_ACCESS_KEY_ID": settings.access_key_id,
        "AWS_SECRET_ACCESS_KEY": settings.secret_access_key,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }
