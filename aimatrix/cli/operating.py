"""``backup`` behind the protocol that the verbs know. Imported only when one of them runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from aimatrix.cli.exits import CommandError, ExitCode
from aimatrix.cli.tools import Installed, Progress
from backup import errors, verifying

if TYPE_CHECKING:
    from backup.importing import Imported
    from backup.layout import Manifest

_CODES = (
    (errors.NothingThere, ExitCode.NOT_FOUND, "not_found"),
    (errors.Conflict, ExitCode.CONFLICT, "conflict"),
    (errors.Refused, ExitCode.INVALID_REQUEST, "refused"),
    (errors.Damaged, ExitCode.FAILED, "damaged"),
    (errors.Unreachable, ExitCode.UNREACHABLE, "unreachable"),
)


class LocalBackups:
    """Exports and imports made by this process."""

    def export(self, where: Installed, tenant: str, folder: Path, progress: Progress) -> Manifest:
        with _said_as_command_errors():
            from backup import commands

            return commands.export_tenant(commands.Where(**vars(where)), tenant, folder, progress)

    def import_(self, where: Installed, folder: Path, progress: Progress) -> Imported:
        with _said_as_command_errors():
            from backup import commands

            return commands.import_tenant(commands.Where(**vars(where)), folder, progress)

    def verify(self, folder: Path, progress: Progress) -> Manifest:
        with _said_as_command_errors():
            return verifying.verify(folder, progress)


@contextmanager
def _said_as_command_errors() -> Iterator[None]:
    try:
        yield
    except errors.BackupError as error:
        exit_code, code = next((found, code) for kind, found, code in _CODES if isinstance(error, kind))
        raise CommandError(exit_code, code, str(error)) from error
    except OSError as error:
        raise CommandError(ExitCode.FAILED, "disk", str(error)) from error
    except ImportError as error:
        raise CommandError(
            ExitCode.USAGE,
            "not_installed",
            f"{error.name} is missing: pip install 'aimatrix-training[service]', or [laptop] for the embedded cloud",
        ) from error
