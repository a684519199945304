"""Runs MLflow's own server application in one process: `python -m localcloud.mlflow_server --port N --state DIR`.

`mlflow server` starts a process to start uvicorn, which starts workers. One process that serves the same application
needs a third of the memory, and ends with its parent. Job execution, telemetry and the assistant stay off; artifacts are
served from the state directory, runs and models live in SQLite.
"""

from __future__ import annotations

import argparse
import os
import warnings
from pathlib import Path

from localcloud import mlflow_database
from localcloud.serving import serve


def database(directory: Path) -> Path:
    return directory / "mlflow.db"


def environment(directory: Path) -> dict[str, str]:
    """What MLflow's application reads when it is imported; the underscored names are those `mlflow server` sets."""
    return {
        "_MLFLOW_SERVER_FILE_STORE": mlflow_database.url(database(directory)),
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(directory / "artifacts"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_SERVER_ALLOWED_HOSTS": "127.0.0.1:*,localhost:*",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ.update(environment(arguments.state))
    # MLflow imports a Starlette module that is deprecated; nothing a user of the laptop cloud could do about it.
    warnings.filterwarnings("ignore", message="starlette.middleware.wsgi is deprecated")

    from mlflow.server.fastapi_app import app
    from mlflow.server.handlers import _get_tracking_store

    # Before the port opens, so that the first request finds the database ready.
    mlflow_database.ensure(database(arguments.state), mlflow_database.create_tables)
    _get_tracking_store()
    serve(app, arguments.port, os.environ, lifespan=False)


if __name__ == "__main__":
    main()
