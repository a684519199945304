"""The journal: what is flushed survives, whatever is torn; the order is kept; compaction changes nothing."""

from __future__ import annotations

import itertools
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.journal import frames
from localcloud.journal.directory import JournalDirectory
from localcloud.journal.records import Contents, Told, UnknownChangeError
from localcloud.journal.writer import Journal, JournalError

TABLE = ["000000000000", "us-east-1", "jobs"]
KEY = ("000000000000", "us-east-1", "jobs")
GROUP = ["000000000000", "us-east-1", "/aws/sagemaker/TrainingJobs"]


def item(pk: str, value: int) -> list[Any]:
    return ["i", TABLE, pk, "job", {"pk": {"S": pk}, "value": {"N": str(value)}}]


def at_once(work: Callable[[], None]) -> None:
    work()


@pytest.fixture
def directory(tmp_path: Path) -> JournalDirectory:
    return JournalDirectory(tmp_path / "journal")


@pytest.fixture
def journal(directory: JournalDirectory) -> Iterator[Journal]:
    opened = Journal(directory)
    opened.open()
    yield opened
    opened.close()


def contents_of(directory: JournalDirectory) -> Contents:
    return directory.read()


class TestFlush:
    def test_makes_changes_readable_for_the_next_start(self, directory: JournalDirectory, journal: Journal) -> None:
        journal.append(item("a", 1))
        journal.flush()
        # Nothing is closed: this is what a killed process leaves.
        assert contents_of(directory).tables[KEY] == {"a": {"job": item("a", 1)[4]}}

    def test_writes_nothing_before_it_is_called(self, directory: JournalDirectory, journal: Journal) -> None:
        journal.append(item("a", 1))
        assert contents_of(directory).tables == {}

    def test_keeps_the_order_of_changes(self, directory: JournalDirectory, journal: Journal) -> None:
        for value in range(10):
            journal.append(item("a", value))
            if value % 3 == 0:
                journal.flush()
        journal.append(["d", TABLE, "b", "job"])
        journal.append(item("b", 1))
        journal.flush()
        table = contents_of(directory).tables[KEY]
        assert table["a"]["job"]["value"] == {"N": "9"}
        assert "b" in table

    def test_says_so_and_keeps_the_changes_when_the_disk_is_full(
        self, directory: JournalDirectory, journal: Journal
    ) -> None:
        journal.append(item("a", 1))
        journal.flush()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = directory.journal(1).stat().st_size
        journal.append(item("b", 2))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limits[1]))
        try:
            with pytest.raises(JournalError):
                journal.flush()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert set(contents_of(directory).tables[KEY]) == {"a"}
        journal.flush()
        assert set(contents_of(directory).tables[KEY]) == {"a", "b"}


class TestTornTail:
    def test_is_tolerated_at_every_length(self, directory: JournalDirectory, journal: Journal) -> None:
        path = directory.journal(1)
        sizes = []
        for number in range(3):
            journal.append(item(f"a{number}", number))
            journal.append(item(f"b{number}", number))
            journal.flush()
            sizes.append(path.stat().st_size)
        whole = path.read_bytes()
        for length in range(len(whole) + 1):
            path.write_bytes(whole[:length])
            frames_left = sum(size <= length for size in sizes)
            # Both changes of a frame are there, or none: a transaction is never half there.
            assert len(contents_of(directory).tables.get(KEY, {})) == 2 * frames_left

    def test_of_wrong_bytes_ends_the_reading(self, directory: JournalDirectory, journal: Journal) -> None:
        path = directory.journal(1)
        journal.append(item("a", 1))
        journal.flush()
        first = path.stat().st_size
        journal.append(item("b", 1))
        journal.flush()
        damaged = bytearray(path.read_bytes())
        damaged[first + 12] ^= 1
        path.write_bytes(damaged)
        assert set(contents_of(directory).tables[KEY]) == {"a"}

    def test_is_gone_after_the_next_start(self, directory: JournalDirectory, journal: Journal) -> None:
        journal.append(item("a", 1))
        journal.flush()
        with directory.journal(1).open("ab") as file:
            file.write(b"\x00\x00\x10\x00torn")
        again = Journal(directory)
        again.open()
        again.append(item("b", 1))
        again.flush()
        assert set(contents_of(directory).tables[KEY]) == {"a", "b"}
        again.close()

    def test_is_not_confused_with_a_foreign_file(self, directory: JournalDirectory, journal: Journal) -> None:
        directory.journal(1).write_bytes(b"something else entirely")
        with pytest.raises(frames.ForeignFileError):
            contents_of(directory)


class TestCompaction:
    def test_happens_at_each_start(self, directory: JournalDirectory, journal: Journal) -> None:
        for value in range(100):
            journal.append(item("a", value))
        journal.flush()
        again = Journal(directory)
        assert again.open() == Contents(tables={KEY: {"a": {"job": item("a", 99)[4]}}})
        again.close()
        assert sorted(path.name for path in directory.root.iterdir()) == ["0000000002.journal", "0000000002.snapshot"]
        assert directory.snapshot(2).stat().st_size < 200

    def test_happens_when_the_journal_has_grown(self, directory: JournalDirectory) -> None:
        journal = Journal(directory, compact_bytes=2000, run=at_once)
        journal.open()
        for value in range(200):
            journal.append(item(f"k{value % 3}", value))
            journal.flush()
        assert sum(path.stat().st_size for path in directory.root.iterdir()) < 4000
        assert len(list(directory.root.iterdir())) == 2
        table = contents_of(directory).tables[KEY]
        assert {pk: part["job"]["value"]["N"] for pk, part in table.items()} == {"k0": "198", "k1": "199", "k2": "197"}
        journal.close()

    def test_that_was_killed_in_the_middle_loses_nothing(self, directory: JournalDirectory) -> None:
        interrupted: list[Callable[[], None]] = []
        journal = Journal(directory, compact_bytes=500, run=interrupted.append)
        journal.open()
        for value in range(50):
            journal.append(item(f"k{value}", value))
            journal.flush()
        assert interrupted, "the journal has grown"
        # Killed before it was renamed: a snapshot without an end, under its own name.
        (directory.root / "0000000009.incoming").write_bytes(frames.HEADER + b"half")
        assert len(contents_of(directory).tables[KEY]) == 50
        # Killed after the rename, before the old files went.
        newest = directory.newest()
        keep = {path: path.read_bytes() for path in directory.root.iterdir()}
        directory.compact(newest)
        for path, content in keep.items():
            path.write_bytes(content)
        assert len(contents_of(directory).tables[KEY]) == 50
        journal.close()

    def test_that_fails_leaves_the_old_files(
        self, directory: JournalDirectory, caplog: pytest.LogCaptureFixture
    ) -> None:
        journal = Journal(directory, compact_bytes=300, run=at_once)
        journal.open()
        journal.append(item("a", 1))
        journal.flush()
        directory.snapshot(1).write_bytes(b"not ours")
        journal.append(item("b", 1))
        for value in range(10):
            journal.append(item("c", value))
        journal.flush()
        assert "could not be compacted" in caplog.text
        assert directory.journal(1).exists()
        journal.close()


class TestFiles:
    def test_are_readable_by_their_owner_only(self, directory: JournalDirectory, journal: Journal) -> None:
        journal.append(item("a", 1))
        journal.flush()
        assert {oct(path.stat().st_mode & 0o777) for path in directory.root.iterdir()} == {"0o600"}
        assert oct(directory.root.stat().st_mode & 0o777) == "0o700"


names = st.sampled_from([TABLE, ["000000000000", "us-east-1", "models"]])
keys = st.sampled_from(["a", "b"])
any_change = st.one_of(
    st.tuples(st.just("i"), names, keys, keys, st.dictionaries(keys, st.integers())),
    st.tuples(st.just("d"), names, keys, keys),
    st.tuples(st.just("T"), names),
    st.tuples(st.just("r"), names, st.lists(st.dictionaries(keys, st.integers()), max_size=3)),
    st.tuples(st.just("R"), names, st.integers(0, 3)),
    st.tuples(st.just("p"), names, keys, st.integers(0, 9)),
    st.tuples(st.just("a"), names, st.lists(st.fixed_dictionaries({"Time": st.integers()}), max_size=3)),
    st.tuples(st.just("A"), names, st.one_of(st.none(), st.integers(0, 3))),
    st.tuples(st.just("t"), names, st.lists(st.tuples(keys, keys, st.dictionaries(keys, st.integers())), max_size=3)),
    st.tuples(st.just("l"), st.just(GROUP), keys, st.lists(st.dictionaries(keys, st.integers()), max_size=3)),
    st.tuples(st.just("L"), st.just(GROUP), st.one_of(keys, st.none())),
    st.tuples(st.just("s"), st.just("kms"), st.text()),
)


class TestContents:
    @given(st.lists(any_change, max_size=30))
    def test_are_the_same_after_their_shortest_changes(self, changes: list[tuple[Any, ...]]) -> None:
        contents = Contents()
        for change in changes:
            contents.apply(list(change))
        again = Contents()
        for shortest in contents.changes():
            again.apply(shortest)
        assert _without_empty(again) == _without_empty(contents)

    def test_refuse_a_change_of_another_version(self) -> None:
        with pytest.raises(UnknownChangeError):
            Contents().apply(["?", "what"])

    def test_replace_all_items_of_a_table(self) -> None:
        contents = Contents()
        contents.apply(item("a", 1))
        contents.apply(["t", TABLE, [["b", "job", {"n": 1}]]])
        assert contents.tables == {KEY: {"b": {"job": {"n": 1}}}}

    def test_split_long_logs_into_several_changes(self) -> None:
        contents = Contents()
        events = [{"timestamp": number} for number in range(1234)]
        contents.apply(["l", GROUP, "stream", events])
        changes = list(contents.changes())
        assert len(changes) == 3
        assert list(itertools.chain.from_iterable(one[3] for one in changes)) == events


def _without_empty(contents: Contents) -> tuple[Any, ...]:
    logs = {name: group for name, group in contents.logs.items() if group}
    archives = {name: events for name, events in contents.archives.items() if events}
    streams = {name: told for name, told in contents.streams.items() if told != Told()}
    return contents.tables, streams, logs, archives, contents.services


def test_a_second_journal_number_is_never_reused(directory: JournalDirectory, journal: Journal) -> None:
    taken = os.open(directory.journal(2), os.O_CREAT | os.O_WRONLY, 0o600)
    os.close(taken)
    again = Journal(directory)
    again.open()
    assert directory.newest() == 3
    again.close()
