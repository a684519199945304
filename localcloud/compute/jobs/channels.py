"""Input channels: which objects of S3 go to which file, and their download."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Event

from localcloud.compute.aws_clients import ObjectError
from localcloud.compute.host import ObjectStore
from localcloud.compute.jobs.s3_uri import S3Uri

MAX_OBJECTS = 100_000
MAX_NAME_BYTES = 255


class DownloadFailed(Exception):
    """The data is not there, may not be read, or does not fit. The text is what the user is told."""


@dataclass(frozen=True)
class Channel:
    name: str
    source: S3Uri


@dataclass(frozen=True)
class PlannedObject:
    key: str
    size: int
    path: PurePosixPath


def download_channel(
    objects: ObjectStore, channel: Channel, destination: Path, room: int, region: str, role: str, cancelled: Event
) -> int:
    """Fetches a channel into `destination`; returns its bytes. *Blocking.*

    Args:
        room: bytes that may be written.

    Raises:
        DownloadFailed: with SageMaker's wording.
    """
    try:
        listed = objects.list(channel.source.bucket, channel.source.key)
    except ObjectError as error:
        raise DownloadFailed(_nothing_found(channel.source, region, role, error)) from error
    planned = plan(channel.source, listed)
    if not planned:
        raise DownloadFailed(_nothing_found(channel.source, region, role, None))
    total = sum(item.size for item in planned)
    if total > room:
        raise DownloadFailed(
            f"Data download failed: channel '{channel.name}' holds {total} bytes, more than the {room} bytes that are "
            f"left on the volume. Please raise VolumeSizeInGB."
        )
    destination.mkdir(parents=True, exist_ok=True)
    _fetch(objects, channel.source.bucket, planned, destination, cancelled)
    return total


def fetch_folder(objects: ObjectStore, source: S3Uri, destination: Path, cancelled: Event) -> Mapping[str, int]:
    """Fetches what lies below `source`, possibly nothing; returns sizes by relative path. *Blocking.*"""
    folder = S3Uri(source.bucket, source.key.rstrip("/") + "/" if source.key else "")
    try:
        planned = plan(folder, objects.list(folder.bucket, folder.key))
    except ObjectError as error:
        raise DownloadFailed(f"Data download failed: {source}: {error}") from error
    _fetch(objects, source.bucket, planned, destination, cancelled)
    return {str(item.path): item.size for item in planned}


def plan(source: S3Uri, listed: Iterable[tuple[str, int]]) -> list[PlannedObject]:
    """Where each object below the prefix goes, relative to the channel.

    Raises:
        DownloadFailed: a key that is no file name here, or two keys for one file.
    """
    planned: dict[PurePosixPath, PlannedObject] = {}
    for key, size in listed:
        if key.endswith("/"):
            continue  # the mark of an empty folder
        path = _relative(source.key, key)
        if path in planned:
            raise DownloadFailed(f"Data download failed: two S3 objects map to the same file '{path}'")
        planned[path] = PlannedObject(key, size, path)
        if len(planned) > MAX_OBJECTS:
            raise DownloadFailed(f"Data download failed: more than {MAX_OBJECTS} objects under {source}")
    folders = {parent for path in planned for parent in path.parents}
    for path in planned:
        if path in folders:
            raise DownloadFailed(f"Data download failed: '{path}' is both a file and a folder")
    return list(planned.values())


def _relative(prefix: str, key: str) -> PurePosixPath:
    """SageMaker's rule: below a folder its name goes, an object's own name stays."""
    folder = prefix if prefix.endswith("/") or not prefix else prefix + "/"
    text = key.removeprefix(folder) if key.startswith(folder) else key[prefix.rfind("/") + 1 :]
    parts = text.split("/")
    for part in parts:
        if part in ("", ".", "..") or "\0" in part or len(part.encode()) > MAX_NAME_BYTES:
            raise DownloadFailed(f"Data download failed: the key '{key[:300]}' cannot be a file path")
    return PurePosixPath(*parts)


def _fetch(
    objects: ObjectStore, bucket: str, planned: Iterable[PlannedObject], destination: Path, cancelled: Event
) -> None:
    for item in planned:
        if cancelled.is_set():
            return
        target = destination / item.path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            objects.download(bucket, item.key, target, cancelled)
        except ObjectError as error:
            raise DownloadFailed(f"Data download failed: s3://{bucket}/{item.key}: {error.message}") from error
        except OSError as error:
            raise DownloadFailed(f"Data download failed: {item.path}: {error.strerror}") from error


def _nothing_found(source: S3Uri, region: str, role: str, error: ObjectError | None) -> str:
    said = f" Error message from S3: {error.message or error.code}" if error else ""
    return (
        f'Data download failed: No S3 objects found under S3 URL "{source}" given in input data source. Please ensure '
        f"that the bucket exists in the selected region ({region}), that objects exist under that S3 prefix, and that "
        f'the role "{role}" has "s3:ListBucket" permissions on bucket "{source.bucket}".{said}'
    )
