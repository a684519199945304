"""The embedded cloud on this machine, when there is one running.

Only here does the client meet ``localcloud``, and only when a call is made: whoever talks to a service elsewhere needs
nothing of it installed.
"""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from pathlib import Path

from aimatrix.client.errors import ConfigurationError

# What somebody at their own laptop may do: everything but administer.
ROLES = ("USER", "MODEL_DEPLOYER")


@dataclass(frozen=True)
class LocalCloud:
    """A running embedded cloud: its API's address, and tokens for whoever is logged in here."""

    state: Path
    api: str

    def token(self) -> str:
        from localcloud import commands

        return commands.token(self.state, user=local_user(), roles=ROLES)


def running(state: Path | None) -> LocalCloud:
    """The embedded cloud that runs on a state directory (AIMATRIX_STATE or the user's own by default).

    Raises:
        ConfigurationError: none does.
    """
    elsewhere = (
        "To use a service elsewhere, set AIMATRIX_API and AIMATRIX_TOKEN or AIMATRIX_API_KEY, or name a profile."
    )
    try:
        from localcloud import commands
    except ImportError as error:
        raise ConfigurationError(
            "no service to talk to, and the embedded cloud isn't installed "
            f"(pip install 'aimatrix-training[laptop]'). {elsewhere}"
        ) from error
    try:
        addresses = commands.addresses(state)
    except commands.NotRunningError as error:
        raise ConfigurationError(f"no service to talk to: {error}. {elsewhere}") from error
    return LocalCloud(Path(addresses.state), addresses.api)


def local_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container's numeric user needn't have a name.
        return "local"
