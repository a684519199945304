"""The state directory: where one embedded cloud keeps everything, and the settings it keeps from one start to the next.

```
settings.json     ports, root credentials, control secret (0600)
run.json          what runs now: every part with process id, address and health
deployment.json   outputs of the stack, present while the stack is deployed
lock              held (flock) by the supervisor for as long as it lives
starting.lock     held while the supervisor brings the parts up
issuer/           the token issuer's key (0600) and its public JWKS
journal/ s3/      what the AWS services hold
mlflow/ compute/  what the other parts hold
logs/<part>.log   what each part prints
```
Nothing in it has a default key or password: everything secret is made here, once, for this directory.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import platformdirs

ACCOUNT = "000000000000"
REGION = "us-east-1"
STACK = "aimatrix"
AUDIENCE = "aimatrix"
HOST = "127.0.0.1"
DEFAULT_PORT = 8000

# Below the range the kernel gives to outgoing connections, so that none of those takes a recorded port meanwhile.
_PORT_RANGE = range(20_000, 32_000)
_KEY_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@dataclass(frozen=True)
class Settings:
    """What one state directory keeps from start to start."""

    state_id: str
    port: int
    aws_port: int
    compute_port: int
    mlflow_port: int
    access_key_id: str
    secret_access_key: str
    control_secret: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Values for the template's parameters, beside those that a laptop gives."""
    webhook_ports: tuple[int, ...] = ()
    """Ports of this machine that webhooks may lead to, by plain HTTP."""

    @property
    def api_url(self) -> str:
        return f"http://{HOST}:{self.port}/api/v1"

    @property
    def issuer_url(self) -> str:
        return f"http://{HOST}:{self.port}/issuer"

    @property
    def aws_url(self) -> str:
        return f"http://{HOST}:{self.aws_port}"

    @property
    def compute_url(self) -> str:
        return f"http://{HOST}:{self.compute_port}"

    @property
    def mlflow_url(self) -> str:
        return f"http://{HOST}:{self.mlflow_port}"


@dataclass(frozen=True)
class StateDir:
    """Names the files of a state directory; `create` makes it, private to its owner."""

    root: Path

    @property
    def settings_file(self) -> Path:
        return self.root / "settings.json"

    @property
    def run_file(self) -> Path:
        return self.root / "run.json"

    @property
    def deployment_file(self) -> Path:
        return self.root / "deployment.json"

    @property
    def lock_file(self) -> Path:
        return self.root / "lock"

    @property
    def starting_file(self) -> Path:
        return self.root / "starting.lock"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def part(self, name: str) -> Path:
        """The directory a part keeps its own state in."""
        return self.root / name

    def create(self) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.logs.mkdir(mode=0o700, exist_ok=True)

    def load(self) -> Settings | None:
        """The settings of an earlier start, or None in a new directory."""
        try:
            document = json.loads(self.settings_file.read_bytes())
        except FileNotFoundError:
            return None
        document["webhook_ports"] = tuple(document.get("webhook_ports", ()))
        return Settings(**{each.name: document[each.name] for each in fields(Settings) if each.name in document})

    def prepare(
        self,
        port: int | None,
        parameters: Mapping[str, str] | None = None,
        webhook_ports: Sequence[int] | None = None,
    ) -> Settings:
        """Load or make the settings; internal ports stay what they were unless somebody else has taken them.

        Args:
            port: the front door's port; None keeps the last one (8000 in a new directory).
            parameters: values for the template's parameters; None keeps the last ones.
            webhook_ports: of this machine, that webhooks may lead to; None keeps the last ones.
        """
        self.create()
        settings = self.load() or _fresh_settings(port or DEFAULT_PORT)
        if port is not None:
            settings = replace(settings, port=port)
        if parameters is not None:
            settings = replace(settings, parameters=dict(parameters))
        if webhook_ports is not None:
            settings = replace(settings, webhook_ports=tuple(webhook_ports))
        settings = with_free_ports(settings)
        write_private(self.settings_file, json.dumps(asdict(settings), indent=2).encode())
        return settings


def default_root(environ: Mapping[str, str]) -> Path:
    """AIMATRIX_STATE if set, else the platform's directory for a user's state."""
    configured = environ.get("AIMATRIX_STATE")
    return Path(configured).expanduser() if configured else Path(platformdirs.user_state_dir("aimatrix"))


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def with_free_ports(settings: Settings) -> Settings:
    """Replace every internal port that is taken (or not chosen yet) by a free one."""
    taken = {settings.port}

    def free(port: int) -> int:
        while port in taken or not is_free(port):
            port = _PORT_RANGE.start + secrets.randbelow(len(_PORT_RANGE))
        taken.add(port)
        return port

    return replace(
        settings,
        aws_port=free(settings.aws_port),
        compute_port=free(settings.compute_port),
        mlflow_port=free(settings.mlflow_port),
    )


def write_private(path: Path, content: bytes) -> None:
    """Replace a file in one step; only its owner may read it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)


def _fresh_settings(port: int) -> Settings:
    # The form of an AWS access key id, which never reads as one of the keys ministack would take for root unsigned.
    key = "AKIA" + "".join(secrets.choice(_KEY_ALPHABET) for _ in range(16))
    start = _PORT_RANGE.start + secrets.randbelow(len(_PORT_RANGE) - 3)
    return Settings(
        state_id=secrets.token_hex(8),
        port=port,
        aws_port=start,
        compute_port=start + 1,
        mlflow_port=start + 2,
        access_key_id=key,
        secret_access_key=secrets.token_urlsafe(30),
        control_secret=secrets.token_urlsafe(32),
    )
