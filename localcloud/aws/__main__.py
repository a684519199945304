"""Runs the AWS services: `python -m localcloud.aws --state DIR`.

ministack reads its configuration from the environment when it is imported, so the order here matters: first the environment,
then the import, then the seam (`localcloud.seam`), then the data of the last run, then the port.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
from pathlib import Path

from chalicelib.settings import LOOPBACK_WEBHOOK_PORTS
from localcloud.serving import serve
from localcloud.state import HOST, REGION, Settings, StateDir


def environment(state: StateDir, settings: Settings) -> dict[str, str]:
    """ministack's configuration. Lambda workers inherit it, so it holds no secret that opens anything."""
    return {
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(settings.aws_port),
        "AUTH": "true",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LAMBDA_EXECUTOR": "local",
        "LOG_LEVEL": "WARNING",
        "MINISTACK_REGION": REGION,
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(state.part("s3")),
        "TMPDIR": str(temporary(state)),
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        # ministack takes whoever names this key for root without looking at the signature. Nobody knows it; the real
        # root credentials are a session whose signatures are checked (see localcloud.seam.access).
        "AWS_ACCESS_KEY_ID": "AKIA" + secrets.token_hex(8).upper(),
        "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20),
        # Here and not in the template: nothing that is deployed to AWS can say so.
        LOOPBACK_WEBHOOK_PORTS: ",".join(map(str, settings.webhook_ports)),
        "AWS_ENDPOINT_URL_SAGEMAKER": settings.compute_url,
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": settings.compute_url,
        "AWS_ENDPOINT_URL_BATCH": settings.compute_url,
        "AWS_ENDPOINT_URL_SERVICE_QUOTAS": settings.compute_url,
        "AWS_ENDPOINT_URL_APPLICATION_AUTO_SCALING": settings.compute_url,
    }


def temporary(state: StateDir) -> Path:
    return state.part("aws") / "tmp"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    state = StateDir(parser.parse_args().state)
    settings = state.load()
    if settings is None:
        parser.error(f"{state.root} holds no settings; `aimatrix up` makes them")
    # What the Lambda workers of a killed run left behind.
    shutil.rmtree(temporary(state), ignore_errors=True)
    temporary(state).mkdir(mode=0o700, parents=True)
    os.environ.update(environment(state, settings))

    from localcloud import seam

    cloud = seam.install(state, settings)
    serve(cloud.application, settings.aws_port, os.environ, lifespan=True, on_end=cloud.close)


if __name__ == "__main__":
    main()
