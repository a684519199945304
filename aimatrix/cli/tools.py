"""What the verbs work with. ``production()`` makes the real ones; tests hand in their own as typer's context object."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import typer

if TYPE_CHECKING:
    from aimatrix.client import Client
    from backup.importing import Imported
    from backup.layout import Manifest
    from localcloud.commands import Addresses, PartStatus


@dataclass(frozen=True)
class Target:
    """Which service a verb is to talk to, as far as the command line says."""

    api: str | None = None
    profile: str | None = None
    state: Path | None = None


@dataclass(frozen=True)
class Installed:
    """Which installation an operator works on: an embedded cloud by its state directory, or a stack in AWS by its name.

    Attributes:
        profile: of the aws command line.
    """

    state: Path | None = None
    stack: str | None = None
    region: str | None = None
    profile: str | None = None


Progress = Callable[[str, int], None]
"""Is told a step, and how much of it is done."""


class Launcher(Protocol):
    """The embedded cloud's own commands (``localcloud.commands``).

    Each raises ``CommandError`` when it can't do what was asked.
    """

    def up(
        self,
        state: Path | None,
        port: int | None,
        *,
        parameters: Mapping[str, str] | None,
        webhook_ports: Sequence[int] | None,
        detach: bool,
        progress: Callable[[str], None],
        ready: Callable[[Addresses], None],
    ) -> Addresses:
        """Starts the cloud, or finds it running; calls ``ready`` when every part is healthy.

        Returns then if detached, else when the cloud has ended.
        """

    def down(self, state: Path | None) -> bool:
        """Ends every part. False when nothing was running."""

    def status(self, state: Path | None) -> list[PartStatus]:
        """The parts; none when the cloud isn't running."""

    def token(
        self,
        state: Path | None,
        *,
        user: str,
        roles: Sequence[str],
        tenant: str,
        permissions: Sequence[str],
        ttl: timedelta,
    ) -> str:
        """A token signed by the cloud's own issuer."""


class Backups(Protocol):
    """Exports of tenants, and imports.

    Each raises ``CommandError`` when it can't do what was asked.
    """

    def export(self, where: Installed, tenant: str, folder: Path, progress: Progress) -> Manifest:
        """Writes everything that a tenant owns into a folder."""

    def import_(self, where: Installed, folder: Path, progress: Progress) -> Imported:
        """Brings it into another installation."""

    def verify(self, folder: Path, progress: Progress) -> Manifest:
        """Checks a folder against its checksums."""


@dataclass(frozen=True)
class Tools:
    connect: Callable[[Target], Client]
    launcher: Callable[[], Launcher]
    backups: Callable[[], Backups]
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    monotonic: Callable[[], float]


def production() -> Tools:
    return Tools(
        connect=_connect,
        launcher=_launcher,
        backups=_backups,
        now=lambda: datetime.now().astimezone(),
        sleep=time.sleep,
        monotonic=time.monotonic,
    )


def tools(ctx: typer.Context) -> Tools:
    """The tools of this run."""
    found = ctx.find_object(Tools)
    if found is None:
        raise RuntimeError("the command line was started without its tools")
    return found


def _connect(target: Target) -> Client:
    from aimatrix.client import Client

    return Client.connect(api=target.api, profile=target.profile, state=target.state)


def _launcher() -> Launcher:
    from aimatrix.cli.launcher import LocalLauncher

    return LocalLauncher()


def _backups() -> Backups:
    from aimatrix.cli.operating import LocalBackups

    return LocalBackups()
