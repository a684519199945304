"""Fetches what the script needs: its source, its companions, its dataset."""

from __future__ import annotations

import json

from trainer.errors import AgentError, StorageError

TYPE_CHECKING = False  # `typing` costs the agent's start 10 ms
if TYPE_CHECKING:
    from pathlib import Path

    from trainer.layout import Layout
    from trainer.s3 import S3Client, S3Uri
    from trainer.spec import Spec

_SCRIPT_LIMIT = 16 * 1024 * 1024
_PARALLEL = 8


def fetch_code(s3: S3Client, spec: Spec, layout: Layout) -> bytes:
    """Puts the script, `requirements.txt` and `inference.py` into the code directory. Returns the script's source."""
    source = s3.get(spec.script_uri, limit=_SCRIPT_LIMIT)
    (layout.code / spec.script_name).write_bytes(source)
    for uri, name in ((spec.requirements_uri, "requirements.txt"), (spec.inference_uri, "inference.py")):
        if uri is not None:
            (layout.code / name).write_bytes(s3.get(uri, limit=_SCRIPT_LIMIT))
    return source


def fetch_dataset(s3: S3Client, spec: Spec, layout: Layout) -> None:
    """Puts the dataset into the channel `training`, unless SageMaker has done so before the agent started.

    Raises:
        AgentError: there is no dataset.
    """
    if layout.training.is_dir() and any(layout.training.iterdir()):
        return
    layout.training.mkdir(parents=True, exist_ok=True)
    if spec.dataset_uri is None:
        return
    wanted = objects_of(s3, spec.dataset_uri, layout.training)
    if not wanted:
        raise AgentError(f"there is no dataset at {spec.dataset_uri}")
    if len(wanted) == 1:
        s3.download(*wanted[0])
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_PARALLEL) as pool:
        for _ in pool.map(lambda item: s3.download(*item), wanted):
            pass


def write_configuration(spec: Spec, layout: Layout) -> None:
    """Writes the files of `input/config` that SageMaker would have written, where they are missing or empty."""
    documents = {
        "hyperparameters.json": {
            # SageMaker's hyperparameters are text; its toolkit reads each of them as JSON.
            name: json.dumps(value)
            for name, value in spec.parameters.items()
        },
        "inputdataconfig.json": {
            name: {
                "TrainingInputMode": "File",
                "S3DistributionType": "FullyReplicated",
                "RecordWrapperType": "None",
            }
            for name in layout.channels()
        },
        "resourceconfig.json": {
            "current_host": "algo-1",
            "hosts": ["algo-1"],
            "network_interface_name": "eth0",
            "current_group_name": "homogeneousCluster",
            "current_instance_type": "local",
            "instance_groups": [
                {"instance_group_name": "homogeneousCluster", "instance_type": "local", "hosts": ["algo-1"]}
            ],
        },
    }
    for name, document in documents.items():
        path = layout.config / name
        if not path.exists() or path.read_bytes().strip() in (b"", b"{}"):
            path.write_text(json.dumps(document), "utf-8")


def objects_of(s3: S3Client, uri: S3Uri, directory: Path) -> list[tuple[S3Uri, Path]]:
    """The object at an address, or each below it, with its place. A prefix takes in what SageMaker's S3Prefix would.

    Raises:
        StorageError: a name would lead out of the directory.
    """
    found = []
    base = uri.key.rpartition("/")[0]
    for item, _ in s3.list(uri):
        # `data/set` is the object itself or the folder `data/set/`, not its neighbour `data/set2`.
        if item.key != uri.key and not item.key.startswith(uri.key.rstrip("/") + "/"):
            continue
        if item.key.endswith("/"):
            continue
        top = uri.key.rstrip("/") if item.key != uri.key else base
        relative = item.key[len(top) :].lstrip("/")
        if any(part in {"..", "."} for part in relative.split("/")):
            raise StorageError(f"there is an object with the name {item.key!r}, which would lead out of its directory")
        found.append((item, directory / relative))
    return found
