"""An export against its checksums: what disks and copies do to it is found, and no name leads out of it."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from backup.errors import Damaged, NothingThere, Refused
from backup.layout import Entry, Folder, Manifest, Source
from backup.verifying import verify

CONTENT = b"a model"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A small export: two jobs, one object, one key."""
    made = Folder(tmp_path / "export")
    jobs = ({"pk": {"S": f"acme#{number}"}, "sk": {"S": "job"}} for number in range(2))
    entry = Entry("tenants/acme/models/m/model.tar.gz", len(CONTENT), SHA256, "application/gzip", {})
    parts = (
        made.write_lines("records/jobs.jsonl.gz", jobs),
        made.write("public-keys/1.pem", b"-----BEGIN PUBLIC KEY-----\n"),
        made.write_lines("objects.jsonl.gz", [asdict(entry)]),
    )
    made.blob(SHA256).parent.mkdir(parents=True)
    made.blob(SHA256).write_bytes(CONTENT)
    source = Source("here", "us-east-1", "here-artifacts")
    times = ("2026-03-01T00:00:00.000Z", "2026-03-01T00:00:01.000Z")
    made.seal(Manifest("e-1", "acme", *times, "0.1.0", source, parts, 1, len(CONTENT), {"jobs": 0}))
    return made


FILES = (
    "manifest.json",
    "objects.jsonl.gz",
    "records/jobs.jsonl.gz",
    "public-keys/1.pem",
    f"objects/{SHA256[:2]}/{SHA256}",
)


class TestAWholeExport:
    def test_is_what_its_manifest_says(self, folder: Folder) -> None:
        manifest = verify(folder.root)
        assert (manifest.tenant, manifest.records(), manifest.objects) == ("acme", {"jobs": 2}, 1)

    def test_tells_how_far_the_check_has_come(self, folder: Folder) -> None:
        told: list[tuple[str, int]] = []
        verify(folder.root, lambda step, done: told.append((step, done)))
        assert told[-1] == ("verifying", len(FILES))


class TestDamage:
    @pytest.mark.parametrize("name", FILES)
    def test_a_flipped_bit_is_found(self, folder: Folder, name: str) -> None:
        path = folder.root / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(Damaged, match=f"{name} is not what was written"):
            verify(folder.root)

    @pytest.mark.parametrize("name", FILES)
    def test_a_file_that_was_cut_off_is_found(self, folder: Folder, name: str) -> None:
        path = folder.root / name
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(Damaged, match=f"{name} is not what was written"):
            verify(folder.root)

    @pytest.mark.parametrize("name", FILES)
    def test_a_missing_file_is_found(self, folder: Folder, name: str) -> None:
        (folder.root / name).unlink()
        with pytest.raises(Damaged, match=f"{name} is missing"):
            verify(folder.root)

    def test_all_of_it_is_said(self, folder: Folder) -> None:
        for name in FILES:
            (folder.root / name).unlink()
        with pytest.raises(Damaged) as raised:
            verify(folder.root)
        assert len(raised.value.faults) == len(FILES)

    @pytest.mark.parametrize("name", FILES[:-1])
    def test_a_checksum_that_is_missing_is_found(self, folder: Folder, name: str) -> None:
        sums = folder.root / "SHA256SUMS"
        kept = [line for line in sums.read_text().splitlines(keepends=True) if not line.endswith(f"  {name}\n")]
        sums.write_text("".join(kept))
        with pytest.raises(Damaged, match=name):
            verify(folder.root)

    def test_an_object_without_a_checksum_is_found(self, folder: Folder) -> None:
        sums = folder.root / "SHA256SUMS"
        sums.write_text(
            "".join(line for line in sums.read_text().splitlines(keepends=True) if SHA256 + "\n" not in line)
        )
        with pytest.raises(Damaged, match="has no checksum"):
            verify(folder.root)

    def test_a_part_with_fewer_records_than_promised_is_found(self, folder: Folder) -> None:
        manifest = folder.manifest()
        (folder.root / "records/jobs.jsonl.gz").write_bytes(gzip.compress(b"{}\n"))
        parts = (folder.part("records/jobs.jsonl.gz", 2), *manifest.parts[1:])
        folder.seal(Manifest(**{**vars(manifest), "parts": parts}))
        with pytest.raises(Damaged, match="has 1 records instead of 2"):
            verify(folder.root)

    @pytest.mark.parametrize(
        "content",
        [b"no gzip", gzip.compress(b"no json"), gzip.compress(b'{"key": 1}\n'), gzip.compress(b"[]\n")],
        ids=["no gzip", "no JSON", "no object", "a list"],
    )
    def test_an_index_that_is_none_is_refused_whatever_its_checksum(self, folder: Folder, content: bytes) -> None:
        manifest = folder.manifest()
        (folder.root / "objects.jsonl.gz").write_bytes(content)
        part = folder.part("objects.jsonl.gz", 1)
        sums = (folder.root / "SHA256SUMS").read_text().replace(manifest.parts[-1].sha256, part.sha256)
        document = manifest.document()
        document["parts"] = [*map(vars, (*manifest.parts[:-1], part))]
        described = folder.write("manifest.json", json.dumps(document).encode())
        lines = [line for line in sums.splitlines() if not line.endswith("manifest.json")]
        folder.write("SHA256SUMS", "\n".join([*lines, f"{described.sha256}  manifest.json"]).encode())
        with pytest.raises(Refused, match=r"objects\.jsonl\.gz"):
            verify(folder.root)

    def test_an_unfinished_export_is_none(self, folder: Folder) -> None:
        (folder.root / "SHA256SUMS").unlink()
        with pytest.raises(NothingThere, match="no finished export"):
            verify(folder.root)


class TestNamesThatLeadElsewhere:
    @pytest.mark.parametrize(
        "name", ["../secret", "/etc/passwd", "records/../../secret", "records//x", ".hidden", "a\x00b", ""]
    )
    def test_are_refused_among_the_checksums(self, folder: Folder, name: str) -> None:
        sums = folder.root / "SHA256SUMS"
        sums.write_text(sums.read_text() + f"{SHA256}  {name}\n")
        with pytest.raises(Refused):
            verify(folder.root)

    @pytest.mark.parametrize("sha256", ["../../../etc/passwd", "", "A" * 64, SHA256[:-1]])
    def test_are_refused_in_the_index(self, folder: Folder, sha256: str) -> None:
        with pytest.raises(Refused, match="checksum"):
            folder.blob(sha256)


class TestAManifest:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda document: document.update(version=2), "get a later release"),
            (lambda document: document.update(format="tar"), "get a later release"),
            (lambda document: document.pop("tenant"), "can't be read"),
            (lambda document: document["parts"][0].update(more=1), "can't be read"),
        ],
    )
    def test_of_another_kind_is_refused(
        self, folder: Folder, change: Callable[[dict[str, Any]], Any], message: str
    ) -> None:
        document = json.loads((folder.root / "manifest.json").read_text())
        change(document)
        (folder.root / "manifest.json").write_text(json.dumps(document))
        with pytest.raises(Refused, match=message):
            folder.manifest()
