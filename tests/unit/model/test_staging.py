from __future__ import annotations

import os
import socket
from pathlib import Path

from trainer.model.staging import stage_tree


class TestStageTree:
    def test_files_keep_their_place(self, tmp_path: Path) -> None:
        (tmp_path / "a" / "b").mkdir(parents=True)
        (tmp_path / "a" / "b" / "f").write_text("x")
        (tmp_path / "a" / "__pycache__").mkdir()
        (tmp_path / "a" / "__pycache__" / "f.pyc").touch()
        assert stage_tree(tmp_path / "a", tmp_path / "out") == []
        assert [str(p.relative_to(tmp_path / "out")) for p in sorted((tmp_path / "out").rglob("*"))] == ["b", "b/f"]

    def test_a_link_inside_becomes_its_file_and_one_outside_is_left_out(self, tmp_path: Path) -> None:
        source = tmp_path / "a"
        source.mkdir()
        (source / "real").write_text("x")
        (source / "inside").symlink_to("real")
        (source / "outside").symlink_to("/etc/hostname")
        (source / "up").symlink_to("..")
        (source / "dangling").symlink_to(source / "nothing")
        notes = stage_tree(source, tmp_path / "out")
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["inside", "real"]
        assert not (tmp_path / "out" / "inside").is_symlink()
        assert "outside was left out of the model: it is a link to a place outside" in notes
        assert "up was left out of the model: it is a link to a place outside" in notes
        assert "dangling was left out of the model: it is no regular file" in notes

    def test_pipes_and_sockets_are_left_out(self, tmp_path: Path) -> None:
        source = tmp_path / "a"
        source.mkdir()
        os.mkfifo(source / "pipe")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(source / "socket"))
        notes = stage_tree(source, tmp_path / "out")
        assert len(notes) == 2
        assert not (tmp_path / "out").exists()
