"""The command line, run in process against the fake service and a fake embedded cloud."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from aimatrix.cli.app import app
from aimatrix.cli.operating import LocalBackups
from aimatrix.cli.tools import Backups, Target, Tools
from localcloud.commands import Addresses, PartStatus
from tests.unit.client.fake_service import API, Clock, FakeService, client_of

NOW = datetime(2031, 5, 1, 10, 0, tzinfo=UTC)


@dataclass
class FakeLauncher:
    """An embedded cloud that starts and stops at once."""

    running: bool = False
    parameters: Mapping[str, str] | None = None
    webhook_ports: Sequence[int] | None = None
    error: Exception | None = None
    calls: list[tuple[str, Any]] = field(default_factory=list)

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
        self.calls.append(("up", (state, port, detach)))
        self.parameters = parameters
        self.webhook_ports = webhook_ports
        if self.error:
            raise self.error
        addresses = Addresses(API, "http://127.0.0.1:1", "http://127.0.0.1:2", str(state), self.running)
        self.running = True
        progress("mlflow is ready")
        ready(addresses)
        return addresses

    def down(self, state: Path | None) -> bool:
        self.calls.append(("down", state))
        was, self.running = self.running, False
        return was

    def status(self, state: Path | None) -> list[PartStatus]:
        self.calls.append(("status", state))
        if not self.running:
            return []
        return [PartStatus("aws", 17, "http://127.0.0.1:1", "healthy", "2031-05-01T10:00:00Z", 0)]

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
        self.calls.append(("token", (user, list(roles), tenant, list(permissions), ttl)))
        if self.error:
            raise self.error
        return "signed"


@dataclass
class Terminal:
    """Somebody's terminal: runs ``aimatrix`` and keeps what was asked for."""

    service: FakeService = field(default_factory=FakeService)
    launcher: FakeLauncher = field(default_factory=FakeLauncher)
    backups: Backups = field(default_factory=LocalBackups)
    clock: Clock = field(default_factory=Clock)
    targets: list[Target] = field(default_factory=list)

    def run(self, *words: str | Path, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words], obj=self._tools(), input=stdin)

    def _tools(self) -> Tools:
        def connect(target: Target) -> Any:
            self.targets.append(target)
            return client_of(self.service, self.clock)

        return Tools(
            connect=connect,
            launcher=lambda: self.launcher,
            backups=lambda: self.backups,
            now=lambda: NOW,
            sleep=self.clock.sleep,
            monotonic=self.clock.monotonic,
        )


def document(result: Result) -> Any:
    """What ``--json`` printed: one document, on one line, and nothing else on stdout.

    Raises:
        AssertionError: stdout holds anything more.
    """
    lines = result.stdout.splitlines()
    assert len(lines) == 1, result.stdout
    return json.loads(lines[0])
