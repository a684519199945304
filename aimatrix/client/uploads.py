"""Uploads as values: local files, and where they have gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class UploadFile:
    """A local file and the relative name that it gets in the artifact store (``/`` between parts)."""

    path: Path
    name: str

    @classmethod
    def of(cls, file: Path | UploadFile) -> UploadFile:
        return file if isinstance(file, UploadFile) else cls(file, file.name)

    def __post_init__(self) -> None:
        parts = PurePosixPath(self.name).parts
        if not parts or self.name.startswith("/") or ".." in parts or str(PurePosixPath(*parts)) != self.name:
            raise ValueError(f"{self.name!r} is not a relative file name")


@dataclass(frozen=True)
class Upload:
    """Files that have arrived, in one prefix of the caller's own."""

    upload_id: str
    uris: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        """The s3 URI of a file, by the name it was uploaded with."""
        return self.uris[name]

    def prefix(self, name: str) -> str:
        """The s3 URI, ending in ``/``, of the folder ``name`` within the upload.

        Raises:
            KeyError: nothing was uploaded below that name.
        """
        head = name.rstrip("/") + "/"
        for uploaded, uri in self.uris.items():
            if uploaded.startswith(head):
                return uri[: len(uri) - len(uploaded)] + head
        raise KeyError(name)


def unique(files: Iterable[Path | UploadFile]) -> tuple[UploadFile, ...]:
    """The files as they will be named.

    Raises:
        ValueError: two files would get the same name, and one would overwrite the other.
    """
    named = tuple(UploadFile.of(file) for file in files)
    seen: dict[str, Path] = {}
    for file in named:
        if file.name in seen:
            raise ValueError(f"{seen[file.name]} and {file.path} would both be uploaded as {file.name}")
        seen[file.name] = file.path
    return named
