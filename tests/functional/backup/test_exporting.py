"""An export: what is in it, what is not, and what becomes of one that is cut off."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from backup.errors import Conflict, NothingThere, Refused
from backup.layout import Folder
from backup.verifying import verify
from tests.functional.backup.conftest import Lived
from tests.functional.jobs.conftest import ALICE, BUCKET


def exported(folder: Path, table: str) -> set[tuple[str, str]]:
    return {(line["pk"]["S"], line["sk"]["S"]) for line in Folder(folder).records(table)}


class TestAnExport:
    def test_has_the_tenants_records_and_no_others(self, here: Lived, tmp_path: Path) -> None:
        folder = tmp_path / "acme"
        here.site.export(folder)
        for table in ("metrics", "usage", "models"):
            kept = set(here.site.keys(table))
            assert kept <= exported(folder, table)
            assert all(pk.startswith("acme#") for pk, _ in exported(folder, table)), table
        assert {sk for _, sk in exported(folder, "audit")} >= {"head", "row#000000000001"}

    def test_leaves_out_what_is_of_no_use_elsewhere(self, here: Lived, tmp_path: Path) -> None:
        folder = tmp_path / "acme"
        here.site.export(folder)
        left = here.site.keys("jobs") - exported(folder, "jobs")
        assert {sk.partition("#")[0] for _, sk in left} == {"idempotency"}
        assert exported(folder, "quotas") == set()

    def test_has_every_object_once_by_its_content(self, here: Lived, tmp_path: Path) -> None:
        folder = tmp_path / "acme"
        made = here.site.export(folder)
        mine = {key: body for key, body in here.site.objects().items() if key.startswith("tenants/acme/")}
        entries = list(Folder(folder).entries())
        assert {entry.key: Folder(folder).blob(entry.sha256).read_bytes() for entry in entries} == mine
        assert (made.objects, made.bytes) == (len(mine), sum(map(len, mine.values())))
        blobs = [path for path in (folder / "objects").rglob("*") if path.is_file()]
        assert len(blobs) == len(set(mine.values())) < len(mine)

    def test_says_what_had_not_ended(self, here: Lived, tmp_path: Path) -> None:
        made = here.site.export(tmp_path / "acme")
        assert made.open == {"jobs": 1, "deployments": 0, "rollouts": 0, "transforms": 0, "runs": 0}

    def test_has_the_key_that_its_receipts_are_checked_with(self, here: Lived, tmp_path: Path) -> None:
        here.site.export(tmp_path / "acme")
        assert "BEGIN PUBLIC KEY" in (tmp_path / "acme" / "public-keys" / "1.pem").read_text()

    def test_is_checked_by_us_and_by_sha256sum(self, here: Lived, tmp_path: Path) -> None:
        made = here.site.export(tmp_path / "acme")
        assert verify(tmp_path / "acme") == made
        done = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path / "acme", check=False)  # noqa: S607
        assert done.returncode == 0

    def test_is_for_its_owners_eyes(self, here: Lived, tmp_path: Path) -> None:
        here.site.export(tmp_path / "acme")
        modes = {path.stat().st_mode & 0o077 for path in (tmp_path / "acme").rglob("*")}
        assert modes | {(tmp_path / "acme").stat().st_mode & 0o077} == {0}

    def test_of_the_same_records_is_the_same_bytes(self, here: Lived, tmp_path: Path) -> None:
        first, second = (here.site.export(tmp_path / name).parts for name in ("one", "two"))
        assert first == second

    def test_has_any_key_as_it_is(self, here: Lived, tmp_path: Path) -> None:
        names = ("../../etc/passwd", "a", "a/b", "ü" * 200, "//x")
        for name in names:
            here.site.installation.s3.put_object(Bucket=BUCKET, Key=f"tenants/acme/shared/{name}", Body=name.encode())
        here.site.export(tmp_path / "acme")
        found = {entry.key.removeprefix("tenants/acme/shared/") for entry in Folder(tmp_path / "acme").entries()}
        assert found.issuperset(names)
        assert {path.name for path in tmp_path.iterdir()} == {"acme"}


class TestAJobInMotion:
    def test_is_read_again_until_its_ledger_has_caught_up(self, here: Lived, tmp_path: Path) -> None:
        here.room.service.cancel(ALICE, here.still_open)
        behind = here.site.ledger.changes("acme", here.still_open)
        record = here.site.table("jobs").get(f"acme#{here.still_open}", "job") or {}
        here.site.on_pause = lambda: here.site.ledger.append(record)
        here.site.export(tmp_path / "acme")
        key = f"acme#{here.still_open}"
        rows = [sk for pk, sk in exported(tmp_path / "acme", "jobs") if pk == key and sk.startswith("change#")]
        assert len(rows) == len(behind) + 1

    def test_is_taken_as_it_is_when_its_ledger_stays_behind(self, here: Lived, tmp_path: Path) -> None:
        here.room.service.cancel(ALICE, here.still_open)
        here.site.export(tmp_path / "acme")
        assert (f"acme#{here.still_open}", "job") in exported(tmp_path / "acme", "jobs")


class TestRefusals:
    def test_of_a_tenant_that_is_not_there(self, here: Lived, tmp_path: Path) -> None:
        with pytest.raises(NothingThere, match="nothing of a tenant nobody"):
            here.site.export(tmp_path / "nobody", "nobody")
        assert not (tmp_path / "nobody").exists()

    def test_of_what_is_no_tenants_name(self, here: Lived, tmp_path: Path) -> None:
        with pytest.raises(Refused):
            here.site.export(tmp_path / "x", "acme#name")

    def test_of_a_folder_with_something_else_in_it(self, here: Lived, tmp_path: Path) -> None:
        (tmp_path / "mine.txt").write_text("kept")
        with pytest.raises(Conflict, match="something else"):
            here.site.export(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

    def test_of_a_finished_export(self, here: Lived, tmp_path: Path) -> None:
        here.site.export(tmp_path / "acme")
        with pytest.raises(Conflict, match="finished export"):
            here.site.export(tmp_path / "acme")


class TestAnExportThatWasCutOff:
    def test_is_none_until_it_is_finished_and_fetches_nothing_twice(self, here: Lived, tmp_path: Path) -> None:
        folder = tmp_path / "acme"
        here.site.export(folder)
        whole = {path: path.stat().st_mtime_ns for path in (folder / "objects").rglob("*") if path.is_file()}
        # As it is just before its end: the objects are there, and neither the checksums nor the manifest.
        fetched = [
            {"tag": here.site.installation.s3.head_object(Bucket=BUCKET, Key=entry.key)["ETag"], **vars(entry)}
            for entry in Folder(folder).entries()
        ]
        lines = [json.dumps(line) for line in fetched]
        (folder / ".acme.journal").write_text("\n".join(lines) + '\n{"tag": "cut o')
        for name in ("SHA256SUMS", "manifest.json", "objects.jsonl.gz"):
            (folder / name).unlink()
        with pytest.raises(NothingThere, match="no finished export"):
            verify(folder)
        orphan = Folder(folder).blob("f" * 64)
        orphan.parent.mkdir()
        orphan.write_bytes(b"of an object that is there no more")
        with pytest.raises(Conflict, match="something else"):
            here.site.export(folder, "umbrella")
        here.site.export(folder)
        assert {path: path.stat().st_mtime_ns for path in whole} == whole
        assert not orphan.exists()
        assert verify(folder).objects == len(fetched)
        assert not (folder / ".acme.journal").exists()
