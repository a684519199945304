"""Fetches the files of a model that the script logged to MLflow, to package what is served."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from trainer.errors import StorageError
from trainer.s3 import S3Client, S3Uri
from trainer.tracking.upstream import Unreachable, Upstream
from trainer.transport import BROKEN, CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIST = "/api/2.0/mlflow-artifacts/artifacts"
_MOST_FILES = 10_000


def fetch(artifact_uri: str, directory: Path, *, upstream: Upstream, s3: S3Client) -> bool:
    """Downloads all files under an artifact address. False if there are none.

    Args:
        artifact_uri: `mlflow-artifacts:/...` (through the server) or `s3://...`.
        directory: Where they go; created.

    Raises:
        StorageError: they can't be fetched; the message says why.
    """
    scheme = urlsplit(artifact_uri).scheme
    count = 0
    if scheme == "s3":
        prefix = S3Uri.parse(artifact_uri.rstrip("/") + "/")
        for uri, _ in s3.list(prefix):
            if not uri.key.endswith("/"):
                s3.download(uri, _inside(directory, uri.key[len(prefix.key) :]))
                count += 1
    elif scheme == "mlflow-artifacts":
        root = urlsplit(artifact_uri).path.strip("/")
        for path, relative in _walk(upstream, root):
            _download(upstream, path, _inside(directory, relative))
            count += 1
    else:
        raise StorageError(f"the logged model lies at {artifact_uri}, which this service can't read")
    return count > 0


def _walk(upstream: Upstream, root: str) -> Iterator[tuple[str, str]]:
    """Yields each file's path on the server and relative to the root."""
    pending = [""]
    count = 0
    while pending:
        folder = pending.pop()
        path = f"{root}/{folder}".rstrip("/")
        try:
            status, body = upstream.exchange("GET", f"{_LIST}?path={quote(path, safe='')}", {}, b"")
        except Unreachable as error:
            raise StorageError(f"the logged model's files can't be listed: {error}") from error
        if status != 200:
            raise StorageError(f"the logged model's files can't be listed: HTTP {status}")
        for entry in json.loads(body).get("files", []):
            # The server names entries relative to what was asked for.
            relative = f"{folder}/{entry['path']}".lstrip("/")
            if entry.get("is_dir"):
                pending.append(relative)
            else:
                count += 1
                if count > _MOST_FILES:
                    raise StorageError(f"the logged model has more than {_MOST_FILES} files")
                yield f"{root}/{relative}", relative


def _download(upstream: Upstream, path: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        response = upstream.send("GET", f"{_LIST}/{quote(path)}", {})
        if response.status != 200:
            upstream.discard()
            raise StorageError(f"the logged model's file {path!r} can't be fetched: HTTP {response.status}")
        expected = response.length
        with target.open("wb") as file:
            for chunk in iter(lambda: response.read(CHUNK), b""):
                file.write(chunk)
            if expected is not None and file.tell() < expected:
                raise ConnectionError(f"it broke off after {file.tell()} of {expected} bytes")
    except (Unreachable, *BROKEN) as error:
        upstream.discard()
        raise StorageError(f"the logged model's file {path!r} can't be fetched: {error}") from error


def _inside(directory: Path, relative: str) -> Path:
    parts = PurePosixPath(relative).parts
    if not parts or ".." in parts or relative.startswith("/"):
        raise StorageError(f"the logged model has a file with the name {relative!r}")
    return directory.joinpath(*parts)
