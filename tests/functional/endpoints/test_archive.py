from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from localcloud.compute.hosting.archive import ArchiveRefused, unpack


def packed(path: Path, *members: tuple[str, str, bytes]) -> Path:
    """Members are (name, kind, content or link target)."""
    kinds = {"file": tarfile.REGTYPE, "link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "pipe": tarfile.FIFOTYPE,
             "device": tarfile.CHRTYPE, "dir": tarfile.DIRTYPE}  # fmt: skip
    with tarfile.open(path, "w:gz") as tar:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = kinds[kind]
            member.mode = 0o6777
            if kind == "file":
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
            else:
                member.linkname = content.decode()
                tar.addfile(member)
    return path


class TestUnpack:
    def test_files_directories_and_inner_links_come_out(self, tmp_path: Path) -> None:
        archive = packed(
            tmp_path / "a.tar.gz",
            ("./code", "dir", b""),
            ("./code/inference.py", "file", b"x"),
            ("link", "link", b"code/inference.py"),
            ("hard", "hard", b"code/inference.py"),
        )
        out = tmp_path / "out"
        unpack(archive, out, 100, 100)
        assert (out / "link").read_bytes() == (out / "hard").read_bytes() == b"x"
        assert (out / "link").readlink() == Path("code/inference.py")
        assert (out / "code/inference.py").stat().st_mode & 0o7111 == 0

    @pytest.mark.parametrize(
        "members",
        [
            [("../x", "file", b"x")],
            [("/x", "file", b"x")],
            [("a/../../x", "file", b"x")],
            [("up", "link", b"..")],
            [("up", "link", b"/etc/passwd")],
            [("hard", "hard", b"../../etc/passwd")],
            [("hard", "hard", b"nothing")],
            [("pipe", "pipe", b"")],
            [("device", "device", b"")],
            [("/".join("d" * 100), "file", b"x")],
            [("a", "file", b"x"), ("a", "file", b"y")],
            [("a", "file", b"x"), ("a/b", "file", b"y")],
        ],
        ids=lambda members: f"{members[0][1]} {members[0][0][:12]}",
    )
    def test_what_would_leave_the_directory_is_refused(
        self, tmp_path: Path, members: list[tuple[str, str, bytes]]
    ) -> None:
        with pytest.raises(ArchiveRefused):
            unpack(packed(tmp_path / "a.tar.gz", *members), tmp_path / "deep" / "out", 100, 100)
        outside = [p for p in tmp_path.rglob("x") if tmp_path / "deep" / "out" not in p.parents]
        assert not outside

    def test_nothing_is_written_through_a_link(self, tmp_path: Path) -> None:
        target = tmp_path / "target"
        target.mkdir()
        archive = packed(tmp_path / "a.tar.gz", ("d", "link", b"../target"), ("d/x", "file", b"x"))
        with pytest.raises(ArchiveRefused):
            unpack(archive, tmp_path / "out", 100, 100)
        assert not list(target.iterdir())

    @pytest.mark.parametrize("limits", [(99, 10), (1000, 1)], ids=["bytes", "files"])
    def test_too_much_is_refused(self, tmp_path: Path, limits: tuple[int, int]) -> None:
        archive = packed(tmp_path / "a.tar.gz", ("a", "file", b"x" * 50), ("b", "file", b"x" * 50))
        with pytest.raises(ArchiveRefused, match="more than"):
            unpack(archive, tmp_path / "out", *limits)

    @pytest.mark.parametrize(
        "damage",
        [
            lambda data: data[:-10],
            lambda data: data[: len(data) // 2],
            lambda data: b"",
            lambda data: data[:40] + b"\0" + data[41:],
        ],
        ids=["end cut off", "half", "empty", "flipped"],
    )
    def test_a_damaged_archive_is_refused(self, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
        archive = packed(tmp_path / "a.tar.gz", ("a", "file", os.urandom(2000)))
        archive.write_bytes(damage(archive.read_bytes()))
        with pytest.raises(ArchiveRefused, match=r"valid tar\.gz"):
            unpack(archive, tmp_path / "out", 10_000, 100)
