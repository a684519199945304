"""``python -m localcloud.compute``: runs the emulator until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from localcloud.compute.settings import Settings
from localcloud.compute.wiring import make_app, real_host

ADDRESS = "127.0.0.1"
NEEDED = ("AIMATRIX_CONTROL_SECRET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
BACKLOG = 512


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing:
        print(f"set {', '.join(missing)} in the environment", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    listener = listening(options.port)
    asyncio.run(serve(settings_of(options, listener.getsockname()[1]), listener))
    return 0


def listening(port: int) -> socket.socket:
    """A socket on loopback whose connections send at once: 0 takes a free port."""
    listener = socket.create_server((ADDRESS, port), backlog=BACKLOG)
    # asyncio does this only for sockets that it makes itself. Without it an answer waits 40 ms for the other side's ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


async def serve(settings: Settings, listener: socket.socket) -> None:
    """Answers on `listener` until the process is asked to end; then ends every job."""
    environment = {name: os.environ.pop(name) for name in NEEDED}
    app = make_app(real_host(settings, environment), environment["AIMATRIX_CONTROL_SECRET"])
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        loop="asyncio",
        # Long polls must not hold up the end.
        timeout_graceful_shutdown=1,
    )
    print(json.dumps({"compute": settings.own_url}), flush=True)
    await uvicorn.Server(config).serve(sockets=[listener])


def settings_of(options: argparse.Namespace, port: int) -> Settings:
    defaults = Settings(state=options.state, aws_url="", control_url="", own_url="")
    return Settings(
        state=options.state.resolve(),
        aws_url=options.aws.rstrip("/"),
        control_url=options.control_url,
        own_url=f"http://{ADDRESS}:{port}",
        python=options.python,
        region=options.region,
        account=options.account,
        host_slots=options.host_slots or defaults.host_slots,
        instance_limits=dict(options.instance_limit),
        stop_grace=options.stop_grace,
        log_bytes_limit=options.log_bytes_limit,
        keep_directories=options.keep_directories,
    )


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m localcloud.compute", description=__doc__)
    made.add_argument("--port", type=int, required=True, help="port on 127.0.0.1; 0 takes a free one")
    made.add_argument("--state", type=Path, required=True, help="directory for the database and the jobs")
    made.add_argument("--aws", required=True, help="address of the embedded cloud (S3, CloudWatch Logs)")
    made.add_argument("--control-url", required=True, help="base address of the control endpoints")
    made.add_argument("--python", default=sys.executable, help="what python3 becomes in an entrypoint")
    made.add_argument("--region", default="us-east-1")
    made.add_argument("--account", default="000000000000")
    made.add_argument("--host-slots", type=int, default=0, help="training processes at once (0: four per core)")
    made.add_argument(
        "--instance-limit", type=_instance_limit, action="append", default=[], metavar="TYPE=COUNT",
        help="account limit of an instance type; may be repeated",
    )  # fmt: skip
    made.add_argument("--stop-grace", type=float, default=Settings.stop_grace, help="seconds from SIGTERM to SIGKILL")
    made.add_argument("--log-bytes-limit", type=int, default=Settings.log_bytes_limit, help="of one job's output")
    made.add_argument("--keep-directories", action="store_true", help="leave the directories of ended jobs")
    return made


def _instance_limit(text: str) -> tuple[str, int]:
    instance_type, _, count = text.partition("=")
    return instance_type, int(count)


if __name__ == "__main__":
    sys.exit(main())
