"""Checkpoints where the platform does not look after them: brought in before, taken away during and after the script."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.functional.trainer.fake_s3 import FakeS3
from tests.functional.trainer.harness import BUCKET, Container
from tests.functional.trainer.test_storage import KEYS
from tests.unit.compute.harness import POLL_SECONDS
from trainer.checkpoint_watch import CheckpointWatch
from trainer.checkpoints import Checkpoints
from trainer.console import Console
from trainer.credentials import CredentialChain
from trainer.s3 import S3Client, S3Uri
from trainer.transport import Backoff, Transport

HERE = f"{BUCKET}/tenants/default/jobs/job-1/checkpoints/"
KEEPS = """
import os, pathlib, signal, sys
kept = pathlib.Path(os.environ["SM_CHECKPOINT_DIR"])
print("found", sorted(path.name for path in kept.iterdir()), flush=True)
"""


@pytest.fixture
def batch(container: Container) -> Container:
    container.spec["checkpoints"] = {"uri": f"s3://{HERE}"}
    return container


class TestAttempt:
    def test_that_fails_leaves_its_checkpoints(self, batch: Container) -> None:
        batch.script = KEEPS + "(kept / 'epochs').mkdir(); (kept / 'epochs' / '1.pt').write_text('one'); sys.exit(3)\n"
        assert batch.run().code == 3
        assert batch.s3.under(HERE) == {"epochs/1.pt": b"one"}

    def test_that_is_stopped_leaves_what_it_saves_in_its_last_moment(self, batch: Container) -> None:
        batch.script = KEEPS + (
            "signal.signal(signal.SIGTERM, lambda *_: ((kept / 'last').write_text('saved'), sys.exit(0)))\n"
            "print('ready', flush=True)\nsignal.pause()\n"
        )
        batch.environ["AIMATRIX_GRACE_SECONDS"] = "20"
        finished = batch.run(when=lambda process, line: process.terminate() if line == b"ready\n" else None)
        assert finished.code != 0
        assert batch.s3.under(HERE) == {"last": b"saved"}

    def test_finds_those_of_earlier_attempts_and_keeps_what_it_changes(self, batch: Container) -> None:
        batch.s3.objects |= {f"{HERE}a": b"1", f"{HERE}b/c": b"2", f"{HERE}old": b"3"}
        batch.script = KEEPS + "(kept / 'a').write_text('more'); (kept / 'old').unlink()\n"
        finished = batch.run()
        assert finished.code == 0
        assert "found ['a', 'b', 'old']" in finished.script_lines()
        assert "aimatrix: 3 checkpoint files of earlier attempts are in place" in finished.lines()
        assert batch.s3.under(HERE) == {"a": b"more", "b/c": b"2"}
        written = [path for method, path in batch.s3.requests if method == "PUT" and "/checkpoints/" in path]
        assert len(written) == 1

    def test_on_sagemaker_leaves_them_to_sagemaker(self, container: Container) -> None:
        container.script = KEEPS + "(kept / 'a').write_text('1')\n"
        assert container.run().code == 0
        assert container.s3.under(HERE) == {}

    def test_does_not_begin_when_an_earlier_checkpoint_cannot_be_read(self, batch: Container) -> None:
        batch.s3.objects[f"{HERE}../outside"] = b"x"
        finished = batch.run()
        assert finished.code == 1
        assert "would lead out of its directory" in finished.failure


class TestWhileItRuns:
    @pytest.fixture
    def transport(self) -> Iterator[Transport]:
        transport = Transport(connect_seconds=2, read_seconds=5)
        yield transport
        transport.close()

    @pytest.fixture
    def keeping(self, s3: FakeS3, transport: Transport, tmp_path: Path) -> Iterator[Checkpoints]:
        (tmp_path / "kept").mkdir()
        backoff = Backoff(tries=1, sleep=lambda _: None, draw=lambda: 1.0)
        client = S3Client(
            CredentialChain(KEYS), region="us-east-1", endpoint=s3.url, transport=transport, backoff=backoff
        )
        keeping = Checkpoints(client, S3Uri("b", "kept/"), tmp_path / "kept", Console(), every_seconds=POLL_SECONDS)
        keeping.begin()
        yield keeping
        keeping.close()

    def eventually(self, holds: Callable[[], bool]) -> None:
        until = time.monotonic() + 15
        while not holds():
            assert time.monotonic() < until
            time.sleep(POLL_SECONDS)

    def written(self, path: Path, text: str) -> None:
        """A file that nobody writes to any more."""
        path.write_text(text)
        os.utime(path, (time.time() - 60, time.time() - 60))

    @pytest.mark.usefixtures("keeping")
    def test_takes_what_changes_and_what_goes(self, s3: FakeS3, tmp_path: Path) -> None:
        self.written(tmp_path / "kept" / "1", "one")
        self.eventually(lambda: s3.under("b/kept/") == {"1": b"one"})
        self.written(tmp_path / "kept" / "2", "two")
        (tmp_path / "kept" / "1").unlink()
        self.eventually(lambda: s3.under("b/kept/") == {"2": b"two"})

    def test_removes_nothing_while_something_new_cannot_be_kept(
        self, s3: FakeS3, tmp_path: Path, keeping: Checkpoints
    ) -> None:
        self.written(tmp_path / "kept" / "1", "one")
        self.eventually(lambda: s3.under("b/kept/") == {"1": b"one"})
        s3.refuse_writes = True
        self.written(tmp_path / "kept" / "2", "two")
        (tmp_path / "kept" / "1").unlink()
        tried = len(s3.requests)
        self.eventually(lambda: len(s3.requests) > tried + 2)
        assert s3.under("b/kept/") == {"1": b"one"}
        s3.refuse_writes = False
        keeping.close()
        assert s3.under("b/kept/") == {"2": b"two"}


class TestCheckpointWatch:
    """What the agent says of them, wherever they are kept."""

    def test_tells_when_something_newer_lies_there_and_how_much(self, container: Container) -> None:
        container.script = (
            "import os, pathlib\nkept = pathlib.Path(os.environ['SM_CHECKPOINT_DIR'])\n"
            "(kept / 'a').mkdir()\n(kept / 'a' / '1.pt').write_text('one')\n(kept / '2.pt').write_text('three')\n"
        )
        finished = container.run()
        assert finished.code == 0
        (told,) = finished.structured("checkpoint")
        assert (told["files"], told["bytes"]) == (2, 8)
        assert abs(told["at"] / 1000 - time.time()) < 60

    def test_of_a_script_that_writes_none_says_nothing(self, container: Container) -> None:
        container.script = "print('done')\n"
        assert container.run().structured("checkpoint") == []

    def test_does_not_tell_what_an_earlier_attempt_left(self, batch: Container) -> None:
        batch.s3.objects[f"{HERE}1.pt"] = b"one"
        batch.script = KEEPS
        finished = batch.run()
        assert "found ['1.pt']" in finished.lines()
        assert finished.structured("checkpoint") == []

    def test_sees_each_while_the_script_runs(self, tmp_path: Path) -> None:
        console = Console()
        told: list[dict[str, object]] = []
        console.structured = lambda kind, **fields: told.append(fields)  # type: ignore[method-assign]
        watch = CheckpointWatch(tmp_path, console, every_seconds=0.01)
        for number in (1, 2):
            (tmp_path / f"{number}.pt").write_text("x" * number)
            deadline = time.monotonic() + 10
            while len(told) < number:
                assert time.monotonic() < deadline
                time.sleep(POLL_SECONDS)
        watch.close()
        assert [(each["files"], each["bytes"]) for each in told] == [(1, 1), (2, 3)]
