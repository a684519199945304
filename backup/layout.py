"""An export is a folder:

    manifest.json              what it is: tenant, release, times, and every part with its size, lines and SHA-256
    records/<table>.jsonl.gz   a record a line, in DynamoDB's own JSON (binary values in base64, as everywhere)
    objects.jsonl.gz           an object a line: key, size, SHA-256, content type, metadata
    objects/<ab>/<sha256>      the objects' bytes, each content once
    public-keys/<n>.pem        what the signatures of the receipts are checked with
    SHA256SUMS                 of every file above; written last, so that a folder with it is whole

`sha256sum --check SHA256SUMS`, `zcat` and `jq` read it. The objects lie under their contents' hashes, not under their keys:
a key may be anything (`..`, a name that is also a folder, 1,024 bytes), and no key is ever a path here.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backup.errors import NothingThere, Refused

FORMAT = "aimatrix-tenant-export"
VERSION = 1
MANIFEST, SUMS, INDEX = "manifest.json", "SHA256SUMS", "objects.jsonl.gz"
RECORDS, OBJECTS, KEYS = "records", "objects", "public-keys"

_BLOCK = 1024 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")

Line = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """A file of the export that is no object.

    Attributes:
        size: in bytes.
        lines: how many records it has; None for what is not made of lines.
    """

    path: str
    size: int
    sha256: str
    lines: int | None = None


@dataclass(frozen=True)
class Source:
    """The installation that an export was taken from."""

    stack: str
    region: str
    bucket: str


@dataclass(frozen=True)
class Manifest:
    """
    Attributes:
        taken_at: when the export began. Nothing that ended or began later is sure to be in it.
        release: of the installation's tools.
        open: how many jobs, deployments, rollouts, transforms and runs of retraining had not ended.
        bytes: of all objects together.
    """

    export_id: str
    tenant: str
    taken_at: str
    finished_at: str
    release: str
    source: Source
    parts: tuple[Part, ...]
    objects: int
    bytes: int
    open: Mapping[str, int]

    def records(self) -> dict[str, int]:
        """How many there are, by table."""
        return {
            Path(part.path).name.partition(".")[0]: part.lines or 0
            for part in self.parts
            if part.path.startswith(f"{RECORDS}/")
        }

    def document(self) -> dict[str, Any]:
        return {"format": FORMAT, "version": VERSION, **asdict(self)}


@dataclass(frozen=True)
class Entry:
    """An object: where it lay, and what is in it."""

    key: str
    size: int
    sha256: str
    content_type: str
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class Folder:
    root: Path

    def path(self, name: str) -> Path:
        """A file by the name that the export has for it.

        Raises:
            Refused: it would lie outside of the folder.
        """
        if not _PATH.fullmatch(name):
            raise Refused(f"the export names a file {name!r}, which no export has")
        return self.root / name

    def blob(self, sha256: str) -> Path:
        """Where a content lies.

        Raises:
            Refused: that is no SHA-256.
        """
        if not _SHA256.fullmatch(sha256):
            raise Refused(f"the export has an object with the checksum {sha256!r}, which is none")
        return self.root / OBJECTS / sha256[:2] / sha256

    def is_whole(self) -> bool:
        return (self.root / SUMS).is_file()

    def manifest(self) -> Manifest:
        """
        Raises:
            Refused: another format.
        """
        try:
            document = json.loads((self.root / MANIFEST).read_bytes())
            if (document["format"], document["version"]) != (FORMAT, VERSION):
                raise Refused(f"{self.root} has format {document['format']} {document['version']}: get a later release")
            values = {name: document[name] for name in Manifest.__dataclass_fields__}
            parts = tuple(Part(**part) for part in values["parts"])
            return Manifest(**{**values, "source": Source(**values["source"]), "parts": parts})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Refused(f"{self.root / MANIFEST} can't be read: {error}") from None

    def sums(self) -> dict[str, str]:
        """The SHA-256 of every file, by name.

        Raises:
            NothingThere: it is no finished export.
            Refused: a line is not as `sha256sum` writes it, or names what lies elsewhere.
        """
        if not self.is_whole():
            raise NothingThere(f"{self.root} is no finished export: it has no {SUMS}")
        found = {}
        for line in (self.root / SUMS).read_text(encoding="utf-8", errors="replace").splitlines():
            sha256, separator, name = line.partition("  ")
            if not separator or not _SHA256.fullmatch(sha256):
                raise Refused(f"{SUMS} has a line that is no checksum: {line[:80]!r}")
            self.path(name)
            found[name] = sha256
        return found

    def entries(self) -> Iterator[Entry]:
        """
        Raises:
            Refused: the index can't be read.
        """
        try:
            yield from (Entry(**line) for line in read_lines(self.root / INDEX))
        except TypeError:
            raise Refused(f"{INDEX} has a line that is no object") from None

    def records(self, table: str) -> Iterator[Line]:
        return read_lines(self.root / RECORDS / f"{table}.jsonl.gz")

    def write_lines(self, name: str, lines: Iterable[Line]) -> Part:
        """Write a part of lines, in one step."""
        target = self.path(name)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.partial")
        count = 0
        # Without name and time in it, so that the same records are the same bytes.
        with open_private(temporary) as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
            for line in lines:
                file.write(json.dumps(line, separators=(",", ":"), ensure_ascii=False, sort_keys=True).encode() + b"\n")
                count += 1
        temporary.replace(target)
        return self.part(name, count)

    def write(self, name: str, content: bytes) -> Part:
        """Write a small part, in one step."""
        target = self.path(name)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.partial")
        with open_private(temporary) as file:
            file.write(content)
        temporary.replace(target)
        return self.part(name)

    def part(self, name: str, lines: int | None = None) -> Part:
        path = self.path(name)
        return Part(name, path.stat().st_size, sha256_of(path), lines)

    def seal(self, manifest: Manifest) -> None:
        """Write the manifest, and then what makes the folder a whole export."""
        described = self.write(MANIFEST, json.dumps(manifest.document(), indent=2, ensure_ascii=False).encode() + b"\n")
        sums = {part.path: part.sha256 for part in (*manifest.parts, described)}
        sums |= {self.blob(each.sha256).relative_to(self.root).as_posix(): each.sha256 for each in self.entries()}
        self.write(SUMS, "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode())


def read_lines(path: Path) -> Iterator[Line]:
    """
    Raises:
        Refused: those are no gzipped lines of JSON.
    """
    try:
        with gzip.open(path, "rb") as file:
            for line in file:
                yield json.loads(line)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise Refused(f"{path} can't be read: {error}") from None


def open_private(path: Path) -> Any:
    """A new file that only its owner may read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb")


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
