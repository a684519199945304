"""One embedded cloud for all end-to-end tests, reached only from outside: HTTPS addresses, tokens, boto3."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from aimatrix.client import Client, Limits

Faults = Callable[[list[dict[str, object]]], None]
"""Sets the rules of the compute emulator's faults."""

EndpointLimit = Callable[[str, int], None]

ROOT = Path(__file__).parents[2]
AIMATRIX = [sys.executable, "-m", "aimatrix.cli"]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


def aimatrix(
    *arguments: str, timeout: float = 300, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does."""
    return subprocess.run(
        [*AIMATRIX, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **(environment or {})},
    )


def last_json(output: str) -> Any:
    """The document that every command with --json ends with."""
    return json.loads(output.strip().splitlines()[-1])


@dataclass(frozen=True)
class Cloud:
    """A running embedded cloud."""

    state: Path
    addresses: dict[str, str]

    @property
    def webhook_port(self) -> int:
        """A port of this machine that webhooks may lead to."""
        settings = json.loads((self.state / "settings.json").read_text(encoding="utf-8"))
        port: int = settings["webhook_ports"][0]
        return port

    @property
    def api(self) -> str:
        return self.addresses["api"]

    def token(self, user: str, *roles: str, tenant: str = "default") -> str:
        options = [part for role in roles for part in ("--role", role)]
        done = aimatrix("token", "--state", str(self.state), "--user", user, "--tenant", tenant, *options, "--json")
        assert done.returncode == 0, done.stderr
        token: str = last_json(done.stdout)["token"]
        return token

    def boto(self, service: str) -> Any:
        """A client of the embedded AWS with the state directory's own root keys: for looking at what lies there."""
        settings = json.loads((self.state / "settings.json").read_text(encoding="utf-8"))
        sdk: Any = boto3
        return sdk.client(
            service,
            endpoint_url=self.addresses["aws"],
            region_name="us-east-1",
            aws_access_key_id=settings["access_key_id"],
            aws_secret_access_key=settings["secret_access_key"],
        )

    def client(self, user: str = "alice", *roles: str, tenant: str = "default") -> Client:
        token = self.token(user, *(roles or ("USER", "MODEL_DEPLOYER")), tenant=tenant)
        return Client.connect(api=self.api, token=token)

    def raise_quota(self, user: str, tenant: str = "default") -> None:
        """Take every limit off a user, who may submit only a few jobs at once otherwise."""
        with self.client("root", "ADMIN", tenant=tenant) as admin:
            admin.quotas.set_user(user, Limits())


def start(
    state: Path,
    port: int | None = None,
    parameters: Mapping[str, str] | None = None,
    webhook_port: int | None = None,
) -> Cloud:
    given = [word for name, value in (parameters or {}).items() for word in ("--parameter", f"{name}={value}")]
    if webhook_port is not None:
        given += ["--webhook-port", str(webhook_port)]
    done = aimatrix("up", "--state", str(state), "--port", str(port or free_port()), *given, "--detach", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return Cloud(state, last_json(done.stdout))


def stop(state: Path) -> None:
    done = aimatrix("down", "--state", str(state))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud of its own, on free ports; ended with the session."""
    state = tmp_path_factory.mktemp("cloud")
    running = start(state, webhook_port=free_port())
    # The examples are good enough to be deployed by themselves, which is shown once and would cost each test its cores.
    policy = {"enabled": False}
    headers = {"Authorization": f"Bearer {running.token('root', 'ADMIN')}"}
    url = f"{running.api}/deployment-policies/*"
    httpx.put(url, json=policy, headers=headers, timeout=30, trust_env=False).raise_for_status()
    yield running
    stop(state)


@pytest.fixture(scope="session")
def alice(cloud: Cloud) -> Iterator[Client]:
    with cloud.client("alice") as client:
        yield client


@pytest.fixture
def faults(cloud: Cloud) -> Iterator[Faults]:
    """Sets the compute emulator's faults, and ends them."""
    yield lambda rules: _put(cloud, "faults", {"rules": rules})
    _put(cloud, "faults", {"rules": []})


@pytest.fixture
def endpoint_limit(cloud: Cloud) -> Iterator[EndpointLimit]:
    """Sets how many instances of a type the account's endpoints may have, and takes the limit off again."""
    limited = set()

    def put(instance_type: str, limit: int) -> None:
        limited.add(instance_type)
        _put(cloud, "limits", {"endpoints": {instance_type: limit}})

    yield put
    _put(cloud, "limits", {"endpoints": dict.fromkeys(limited, 100)})


def _put(cloud: Cloud, what: str, document: dict[str, Any]) -> None:
    settings = json.loads((cloud.state / "settings.json").read_text(encoding="utf-8"))
    address = f"http://127.0.0.1:{settings['compute_port']}/_compute/{what}"
    headers = {"X-Aimatrix-Control": settings["control_secret"]}
    httpx.put(address, headers=headers, json=document, trust_env=False).raise_for_status()
