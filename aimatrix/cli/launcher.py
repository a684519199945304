"""``localcloud.commands`` behind the protocol that the verbs know. Imported only when one of them runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from aimatrix.cli.exits import CommandError, ExitCode

try:
    from localcloud import commands
    from localcloud.commands import Addresses, CloudError, NotRunningError, PartStatus
except ImportError as error:
    raise CommandError(
        ExitCode.USAGE,
        "not_installed",
        f"the embedded cloud isn't installed ({error.name} is missing): pip install 'aimatrix-training[laptop]'",
    ) from error


class LocalLauncher:
    """The embedded cloud on this machine."""

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
        with _said_as_command_errors():
            return commands.up(
                state,
                port,
                parameters=parameters,
                webhook_ports=webhook_ports,
                detach=detach,
                progress=progress,
                ready=ready,
            )

    def down(self, state: Path | None) -> bool:
        with _said_as_command_errors():
            return commands.down(state)

    def status(self, state: Path | None) -> list[PartStatus]:
        with _said_as_command_errors():
            return commands.status(state)

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
        with _said_as_command_errors():
            return commands.token(state, user=user, roles=roles, tenant=tenant, permissions=permissions, ttl=ttl)


@contextmanager
def _said_as_command_errors() -> Iterator[None]:
    try:
        yield
    except NotRunningError as error:
        raise CommandError(ExitCode.UNREACHABLE, "not_running", str(error)) from error
    except CloudError as error:
        raise CommandError(ExitCode.FAILED, "cloud_failed", str(error)) from error
    except ValueError as error:
        raise CommandError(ExitCode.USAGE, "usage", str(error)) from error
