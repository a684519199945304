"""Where the service is, and who is asking.

The first that is given wins:

1. arguments (``api``, ``token`` or ``key``);
2. a profile named by the ``profile`` argument;
3. a state directory named by the ``state`` argument: the embedded cloud that runs on it;
4. ``AIMATRIX_API``, and ``AIMATRIX_TOKEN`` or ``AIMATRIX_API_KEY``, in the environment;
5. a profile named by ``AIMATRIX_PROFILE``, else the one named ``default``, in the user's ``config.toml``;
6. the embedded cloud that is running on the default state directory.

A token never travels to an address it wasn't given with: one from a profile goes to that profile's address only.
An explicit token or API key (argument or environment) goes to whichever address was found.

``config.toml`` (``~/.config/aimatrix/`` on Linux)::

    [profiles.work]
    api = "https://abc123.execute-api.eu-central-1.amazonaws.com/api/v1"
    token_command = ["company-sso", "token", "--audience", "aimatrix"]

or ``token = "..."`` in place of the command; the file must then be private (mode 0600).
"""

from __future__ import annotations

import stat
import subprocess
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import platformdirs

from aimatrix.client import local
from aimatrix.client.errors import ConfigurationError
from aimatrix.client.transport import Token

TOKEN_COMMAND_SECONDS = 60


@dataclass(frozen=True)
class Connection:
    """An address, and a source of tokens or an API key. ``origin`` says, for people, where they were found."""

    api: str
    token: Token
    origin: str
    key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.api)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(f"{self.api!r} ({self.origin}) is not an http(s) address")
        if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise ConfigurationError(f"{self.api} ({self.origin}) would carry the token unencrypted; use https")


def resolve(
    environ: Mapping[str, str],
    *,
    api: str | None = None,
    token: str | None = None,
    key: str | None = None,
    profile: str | None = None,
    state: Path | None = None,
    config: Path | None = None,
) -> Connection:
    """The connection that the arguments, the environment, the profiles and the machine amount to.

    Raises:
        ConfigurationError: nothing was found, or what was found can't be used.
    """
    found = _find(environ, api, profile, state, config or default_config())
    if not token and not key:
        token, key = environ.get("AIMATRIX_TOKEN"), environ.get("AIMATRIX_API_KEY")
    if token and key:
        raise ConfigurationError(
            "a token and an API key are given (AIMATRIX_TOKEN, AIMATRIX_API_KEY): give one of them"
        )
    if key:
        return replace(found, token=_no_token, key=key)
    return replace(found, token=lambda: token) if token else found


def default_config() -> Path:
    return platformdirs.user_config_path("aimatrix") / "config.toml"


def _find(
    environ: Mapping[str, str], api: str | None, profile: str | None, state: Path | None, config: Path
) -> Connection:
    if api:
        return Connection(api.rstrip("/"), _no_token, "--api")
    if profile:
        return _from_profile(config, profile)
    if state:
        return _from_local(state)
    if environ.get("AIMATRIX_API"):
        return Connection(environ["AIMATRIX_API"].rstrip("/"), _no_token, "AIMATRIX_API")
    if environ.get("AIMATRIX_PROFILE"):
        return _from_profile(config, environ["AIMATRIX_PROFILE"])
    if "default" in _profiles(config):
        return _from_profile(config, "default")
    return _from_local(None)


def _no_token() -> None:
    """Nothing to authenticate with: the public calls still work, the service refuses the others with the reason."""


def _from_local(state: Path | None) -> Connection:
    cloud = local.running(state)
    return Connection(cloud.api, cloud.token, f"the embedded cloud on {cloud.state}")


def _profiles(config: Path) -> Mapping[str, Any]:
    try:
        document = tomllib.loads(config.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{config}: {error}") from error
    profiles = document.get("profiles", {})
    if not isinstance(profiles, dict):
        raise ConfigurationError(f"{config}: [profiles] is not a table")
    return profiles


def _from_profile(config: Path, name: str) -> Connection:
    profiles = _profiles(config)
    if name not in profiles:
        known = ", ".join(sorted(profiles)) or "none"
        raise ConfigurationError(f"{config} has no profile {name!r} (it has: {known})")
    entry = profiles[name]
    if not isinstance(entry, dict) or not isinstance(entry.get("api"), str):
        raise ConfigurationError(f'{config}: profile {name!r} needs api = "https://..."')
    return Connection(entry["api"].rstrip("/"), _profile_token(config, name, entry), f"profile {name}")


def _profile_token(config: Path, name: str, entry: Mapping[str, Any]) -> Token:
    secret, command = entry.get("token"), entry.get("token_command")
    if command is not None:
        if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
            raise ConfigurationError(f"{config}: token_command of profile {name!r} must be a list of words")
        return lambda: _run_token_command(command)
    if secret is None:
        return _no_token
    if not isinstance(secret, str):
        raise ConfigurationError(f"{config}: token of profile {name!r} must be a string")
    if stat.S_IMODE(config.stat().st_mode) & 0o077:
        raise ConfigurationError(f"{config} holds a token and can be read by others: chmod 600 {config}")
    return lambda: secret


def _run_token_command(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TOKEN_COMMAND_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigurationError(f"token_command {command[0]!r} failed: {error}") from error
    token = done.stdout.strip()
    if not token:
        raise ConfigurationError(f"token_command {command[0]!r} printed nothing")
    return token
