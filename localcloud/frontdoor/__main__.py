"""Serves the front door: `python -m localcloud.frontdoor --state DIR`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from localcloud.frontdoor.app import Deployment, FrontDoor
from localcloud.issuer import Issuer
from localcloud.serving import serve
from localcloud.state import HOST, StateDir
from localcloud.upstream import Upstream


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    state = StateDir(parser.parse_args().state)
    settings = state.load()
    if settings is None:
        parser.error(f"{state.root} holds no settings; `aimatrix up` makes them")
    issuer = Issuer.open(state.part("issuer"), settings.issuer_url)
    documents = {f"/issuer/.well-known/{name}": body for name, body in issuer.documents().items()}
    deployment = Deployment(state.deployment_file)
    serve(FrontDoor(Upstream(HOST, settings.aws_port), deployment.api_id, documents), settings.port, os.environ)


if __name__ == "__main__":
    main()
