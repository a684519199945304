"""What goes into a job's directory and what comes out of it: channels, archives, checkpoints, disk use."""

from __future__ import annotations

import os
import socket
import tarfile
from pathlib import Path
from threading import Event

import pytest

from localcloud.compute.jobs import disk
from localcloud.compute.jobs.archive import UnsafeLink, is_empty, make_archive, regular_files
from localcloud.compute.jobs.channels import Channel, DownloadFailed, download_channel, plan
from localcloud.compute.jobs.checkpoints import CheckpointSync
from localcloud.compute.jobs.layout import JobDirectory, UnsafePath, argument_list
from localcloud.compute.jobs.s3_uri import S3Uri
from tests.unit.compute.fakes import ROLE, FakeObjects


def fetch(objects: FakeObjects, address: str, destination: Path, room: int = 1000) -> int:
    channel = Channel("training", S3Uri.parse(address))
    return download_channel(objects, channel, destination, room, "us-east-1", ROLE, Event())


class TestS3Addresses:
    def test_reads_bucket_and_key(self) -> None:
        assert S3Uri.parse("s3://data/a/b c") == S3Uri("data", "a/b c")
        assert str(S3Uri.parse("s3://data/a/").under("x", "y")) == "s3://data/a/x/y"

    @pytest.mark.parametrize(
        "text", ["https://data/a", "s3:/data/a", "s3://", "s3:///a", "s3://DATA/a", "data/a", "s3://a"]
    )
    def test_refuses_anything_else(self, text: str) -> None:
        with pytest.raises(ValueError, match="not an S3 address"):
            S3Uri.parse(text)


class TestChannels:
    @pytest.mark.parametrize(
        ("prefix", "key", "path"),
        [
            ("train/", "train/a/b.csv", "a/b.csv"),
            ("train", "train/a.csv", "a.csv"),
            ("train/a.csv", "train/a.csv", "a.csv"),
            ("train/part", "train/part-1.csv", "part-1.csv"),
            ("", "a/b.csv", "a/b.csv"),
        ],
    )
    def test_objects_go_where_sagemaker_puts_them(self, prefix: str, key: str, path: str) -> None:
        assert [str(item.path) for item in plan(S3Uri("data", prefix), [(key, 1)])] == [path]

    def test_marks_of_empty_folders_are_no_files(self) -> None:
        assert plan(S3Uri("data", "train/"), [("train/", 0), ("train/x/", 0)]) == []

    @pytest.mark.parametrize("key", ["t/../x", "t/a//b", "t/.", "t/a\0b", "t/" + "n" * 256, "t//etc/passwd"])
    def test_refuses_keys_that_are_no_file_paths(self, key: str) -> None:
        with pytest.raises(DownloadFailed, match="cannot be a file path"):
            plan(S3Uri("data", "t/"), [(key, 1)])

    @pytest.mark.parametrize(
        ("prefix", "keys"), [("t/a", ["t/a", "t/a/a"]), ("t/", ["t/a", "t/a/b"]), ("t/x", ["t/x/y", "t/y", "t/xy"])]
    )
    def test_one_file_never_stands_for_two_objects(self, prefix: str, keys: list[str]) -> None:
        if prefix == "t/x":
            assert len(plan(S3Uri("data", prefix), [(key, 1) for key in keys if key.startswith(prefix)])) == 2
            return
        with pytest.raises(DownloadFailed):
            plan(S3Uri("data", prefix), [(key, 1) for key in keys])

    def test_downloads_every_object_and_counts_bytes(self, tmp_path: Path) -> None:
        objects = FakeObjects()
        objects.put("s3://data/t/a.csv", b"12")
        objects.put("s3://data/t/x/b.csv", b"345")

        assert fetch(objects, "s3://data/t/", tmp_path / "training") == 5
        assert (tmp_path / "training/x/b.csv").read_bytes() == b"345"

    def test_missing_data_is_said_in_the_words_of_aws(self, tmp_path: Path) -> None:
        objects = FakeObjects(buckets=frozenset({"data", "nothing"}))
        objects.put("s3://data/t/a.csv", b"12")

        for address in ("s3://data/nothing", "s3://nobucket/t"):
            with pytest.raises(DownloadFailed, match=r'No S3 objects found under S3 URL "s3://no\w+'):
                fetch(objects, address.replace("data/nothing", "nothing/x"), tmp_path)
        with pytest.raises(DownloadFailed, match=r"that the role \"arn:aws:iam::000000000000:role/training\""):
            fetch(objects, "s3://data/other", tmp_path)

    def test_data_larger_than_the_volume_is_refused_before_it_is_fetched(self, tmp_path: Path) -> None:
        objects = FakeObjects()
        objects.put("s3://data/t/a.csv", b"x" * 11)

        with pytest.raises(DownloadFailed, match="VolumeSizeInGB"):
            fetch(objects, "s3://data/t/", tmp_path / "training", room=10)
        assert not (tmp_path / "training").exists()


class TestArchives:
    def test_holds_files_folders_and_inner_links(self, tmp_path: Path) -> None:
        folder = tmp_path / "model"
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "weights").write_bytes(b"w")
        (folder / "latest").symlink_to("sub/weights")

        make_archive(folder, tmp_path / "a.tar.gz")

        with tarfile.open(tmp_path / "a.tar.gz") as tar:
            assert sorted(tar.getnames()) == ["latest", "sub", "sub/weights"]
            assert tar.getmember("latest").issym()

    @pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "sub/../../outside", "/proc/self/environ"])
    def test_refuses_a_link_that_leaves(self, tmp_path: Path, target: str) -> None:
        folder = tmp_path / "model"
        folder.mkdir()
        (folder / "good").write_text("x")
        (folder / "bad").symlink_to(target)

        with pytest.raises(UnsafeLink, match="'bad' points out of 'model'"):
            make_archive(folder, tmp_path / "a.tar.gz")
        with pytest.raises(UnsafeLink):
            list(regular_files(folder))
        assert not (tmp_path / "a.tar.gz").exists()

    def test_refuses_a_link_to_a_folder_outside(self, tmp_path: Path) -> None:
        (tmp_path / "outside").mkdir()
        folder = tmp_path / "model"
        folder.mkdir()
        (folder / "way-out").symlink_to(tmp_path / "outside", target_is_directory=True)

        with pytest.raises(UnsafeLink):
            make_archive(folder, tmp_path / "a.tar.gz")

    def test_leaves_out_pipes_and_sockets(self, tmp_path: Path) -> None:
        folder = tmp_path / "m"
        folder.mkdir()
        os.mkfifo(folder / "pipe")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / "s"))
            make_archive(folder, tmp_path / "a.tar.gz")

        with tarfile.open(tmp_path / "a.tar.gz") as tar:
            assert tar.getnames() == []

    def test_knows_an_empty_folder(self, tmp_path: Path) -> None:
        assert is_empty(tmp_path)
        (tmp_path / "x").touch()
        assert not is_empty(tmp_path)


class TestCheckpoints:
    def test_only_what_is_new_or_changed_goes_up(self, tmp_path: Path) -> None:
        objects = FakeObjects()
        (tmp_path / "known").write_text("1")
        sync = CheckpointSync(tmp_path, S3Uri.parse("s3://out/checkpoints/"))
        sync.remember()

        assert sync.upload_changes(objects) == 0
        (tmp_path / "epoch-1").mkdir()
        (tmp_path / "epoch-1" / "state").write_text("one")
        assert sync.upload_changes(objects) == 1
        assert sync.upload_changes(objects) == 0
        (tmp_path / "epoch-1" / "state").write_text("one more")
        assert sync.upload_changes(objects) == 1
        assert objects.content == {("out", "checkpoints/epoch-1/state"): b"one more"}


class TestDiskUse:
    def test_counts_a_hard_link_once_and_follows_no_symbolic_link(self, tmp_path: Path) -> None:
        (tmp_path / "job").mkdir()
        (tmp_path / "big").write_bytes(b"x" * 1_000_000)
        (tmp_path / "job" / "link").symlink_to(tmp_path / "big")
        (tmp_path / "job" / "a").write_bytes(b"x" * 100_000)
        os.link(tmp_path / "job" / "a", tmp_path / "job" / "b")

        assert 100_000 <= disk.usage(tmp_path / "job", 10**9, Event()) < 150_000

    def test_a_sparse_file_counts_what_it_occupies(self, tmp_path: Path) -> None:
        with (tmp_path / "sparse").open("wb") as file:
            file.truncate(10**9)

        assert disk.usage(tmp_path, 10**9, Event()) < 100_000


class TestLayout:
    def test_container_paths_become_the_jobs_own(self, tmp_path: Path) -> None:
        directory = JobDirectory(tmp_path)

        words = ["python3", "/opt/ml/input/data/agent/agent.zip", "--root", "/opt/ml", "/opt/mlx", "x=/opt/ml"]

        ml = str(tmp_path / "ml")
        expected = ["/venv/python", f"{ml}/input/data/agent/agent.zip", "--root", ml, "/opt/mlx", "x=/opt/ml"]
        assert argument_list(directory, words, "/venv/python") == expected

    @pytest.mark.parametrize("path", ["/opt/mlx", "/etc", "/opt/ml/../../etc", "relative"])
    def test_no_container_path_leads_out(self, tmp_path: Path, path: str) -> None:
        with pytest.raises(UnsafePath):
            JobDirectory(tmp_path).local(path)

    def test_the_failure_file_is_no_way_to_read_another_one(self, tmp_path: Path) -> None:
        directory = JobDirectory(tmp_path / "job")
        directory.create()
        (tmp_path / "secret").write_text("secret")
        failure = directory.ml / "output" / "failure"

        failure.symlink_to(tmp_path / "secret")
        assert directory.failure_text() == ""
        failure.unlink()
        os.mkfifo(failure)
        assert directory.failure_text() == ""
        failure.unlink()
        failure.write_bytes(b" bad \xff rows\n")
        assert directory.failure_text() == "bad \ufffd rows"
