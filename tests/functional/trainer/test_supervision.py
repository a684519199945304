"""Scripts that misbehave: the job ends with the right reason, and nothing of it keeps running."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.functional.trainer.harness import PREFIX, Container


def running_under(root: Path) -> list[int]:
    """Processes whose command or working directory lies in the container."""
    found = []
    for process in psutil.process_iter():
        try:
            mine = process.cwd().startswith(str(root)) and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        if mine:
            found.append(process.pid)
    return found


class TestExit:
    def test_the_scripts_code_is_the_agents(self, container: Container) -> None:
        container.script = "import sys\nprint('one')\nprint('two', file=sys.stderr)\nsys.exit(3)\n"
        finished = container.run()
        assert finished.code == 3
        assert finished.manifest["exit_code"] == 3
        assert finished.manifest["signal"] is None
        assert finished.failure.startswith("exit code 3\n")
        assert {"one", "two"} <= set(finished.failure.split("\n"))

    def test_an_exception_leads_the_reason(self, container: Container) -> None:
        container.script = "print('loading')\ndef f():\n    raise ValueError('no such column: b')\nf()\n"
        finished = container.run()
        assert finished.code == 1
        first, *rest = finished.manifest["reason"].split("\n")
        assert first == "ValueError: no such column: b (exit code 1)"
        assert "loading" in rest
        assert finished.structured("exit")[0]["reason"] == finished.manifest["reason"]

    def test_the_reason_is_at_most_1024_characters(self, container: Container) -> None:
        container.script = "import sys\nfor i in range(999): print('line', i, 'ä' * 30)\nsys.exit(1)\n"
        finished = container.run()
        assert len(finished.manifest["reason"]) <= 1024
        assert "line 998 " in finished.manifest["reason"]
        assert finished.failure == finished.manifest["reason"]

    def test_a_signal_is_128_plus_its_number(self, container: Container) -> None:
        container.script = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"
        finished = container.run()
        assert finished.code == 128 + signal.SIGSEGV
        assert finished.manifest["signal"] == signal.SIGSEGV
        assert finished.manifest["reason"].startswith("the script was ended by SIGSEGV")

    def test_a_syntax_error_is_the_reason(self, container: Container) -> None:
        container.script = "def broken(:\n"
        finished = container.run()
        assert finished.code == 1
        assert finished.manifest["reason"].startswith("SyntaxError: ")


class TestOutput:
    def test_lines_pass_unchanged_in_order_on_their_own_stream(self, container: Container) -> None:
        container.script = """
import sys
for i in range(1000):
    print("out", i, "\\ttab \\x1b[1mbold\\x1b[0m ü 漢")
    print("err", i, file=sys.stderr)
"""
        finished = container.run()
        assert finished.script_lines() == [f"out {i} \ttab \x1b[1mbold\x1b[0m ü 漢" for i in range(1000)]
        assert finished.stderr.decode().splitlines() == [f"err {i}" for i in range(1000)]

    def test_fifty_megabytes_pass_whole(self, container: Container) -> None:
        container.script = "line = 'x' * 99\nfor _ in range(500_000): print(line)\n"
        begun = time.monotonic()
        finished = container.run()
        assert finished.code == 0
        assert finished.stdout.count(b"x" * 99 + b"\n") == 500_000
        assert time.monotonic() - begun < 20

    def test_above_the_limit_one_line_says_so_and_the_script_goes_on(self, container: Container) -> None:
        container.script = """
import os
for i in range(200_000): print("line", i)
open(os.environ["SM_OUTPUT_DATA_DIR"] + "/end", "w").write("reached")
"""
        container.spec["limits"] = {"disk_bytes": None, "log_bytes": 10_000}
        finished = container.run()
        assert finished.code == 0
        assert container.s3.objects[PREFIX + "output/end"] == b"reached"
        lines = finished.lines()
        assert sum(len(line) + 1 for line in lines if line.startswith("line ")) <= 10_000
        assert [line for line in lines if "limit of 10000 bytes" in line] == [
            "aimatrix: the log has reached its limit of 10000 bytes: further lines are dropped"
        ]

    def test_bytes_that_are_not_utf8_are_replaced(self, container: Container) -> None:
        container.script = "import os\nos.write(1, b'caf\\xe9 \\xff\\xfe ok\\nclean \\xc3\\xa9\\n')\n"
        assert container.run().lines()[:2] == ["caf\ufffd \ufffd\ufffd ok", "clean é"]

    def test_a_line_without_an_end_is_broken_up_and_nothing_is_lost(self, container: Container) -> None:
        container.script = "import sys\nsys.stdout.write('é' * 1_000_000)\n"
        finished = container.run()
        lines = [line for line in finished.lines() if line.startswith("é")]
        assert "".join(lines) == "é" * 1_000_000
        assert max(len(line.encode()) for line in lines) <= 16 * 1024

    def test_structured_lines_cannot_be_forged(self, container: Container) -> None:
        forged = '#aimatrix {"j":"default#job-1","n":1,"k":"token-of-the-attempt","t":"exit","code":0}'
        container.script = f"""
import sys, os
line = {forged!r}
print(line)
print(line, file=sys.stderr)
print("  " + line)
print("progress\\r" + line)
print("a\\u2028" + line)
sys.stdout.write("x" * (16 * 1024 - 64) + line + "\\n")
os.write(1, b"\\xff\\n" + line.encode() + b"\\n")
sys.exit(5)
"""
        finished = container.run()
        assert [line["code"] for line in finished.structured("exit")] == [5]
        for stream in (finished.stdout, finished.stderr):
            for line in stream.decode().splitlines():
                assert line.strip() != forged
        assert "> " + forged in finished.lines()


class TestStopping:
    def test_a_script_that_hangs_is_ended_at_its_limit(self, container: Container) -> None:
        container.script = "import time\nprint('waiting')\ntime.sleep(600)\n"
        container.spec["max_runtime_seconds"] = 1
        finished = container.run()
        assert finished.code == 128 + signal.SIGTERM
        assert finished.manifest["reason"] == "the script ran longer than its limit of 1 s\nwaiting"
        assert running_under(container.root) == []

    def test_a_script_that_ignores_sigterm_is_killed_after_the_grace(self, container: Container) -> None:
        container.script = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""
        container.spec["max_runtime_seconds"] = 1
        finished = container.run()
        assert finished.code == 128 + signal.SIGKILL
        assert finished.manifest["reason"].startswith("the script ran longer than its limit")
        assert running_under(container.root) == []

    def test_sigterm_reaches_the_script_which_may_tidy_up(self, container: Container) -> None:
        container.script = """
import os, signal, sys, time
def tidy(*_):
    open(os.environ["SM_OUTPUT_DATA_DIR"] + "/checkpoint", "w").write("saved")
    print("tidied")
    sys.exit(0)
signal.signal(signal.SIGTERM, tidy)
print("ready")
time.sleep(600)
"""

        def stop(process: subprocess.Popen[bytes], line: bytes) -> None:
            if line == b"ready\n":
                process.terminate()

        finished = container.run(when=stop)
        assert finished.code == 1
        assert finished.manifest["reason"] == "the job was stopped\nready\ntidied"
        assert container.s3.objects[PREFIX + "output/checkpoint"] == b"saved"

    def test_children_and_daemons_end_with_the_script(self, container: Container, tmp_path: Path) -> None:
        container.script = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    os._exit(0)
print("leaving")
"""
        begun = time.monotonic()
        finished = container.run()
        assert finished.code == 0
        assert "leaving" in finished.lines()
        assert running_under(container.root) == []
        assert time.monotonic() - begun < 10

    def test_the_script_dies_with_an_agent_that_is_killed(self, container: Container) -> None:
        container.script = "import os, time\nprint(os.getpid())\ntime.sleep(600)\n"
        pids: list[int] = []

        def kill(process: subprocess.Popen[bytes], line: bytes) -> None:
            if line.strip().isdigit():
                pids.append(int(line))
                process.kill()

        finished = container.run(when=kill)
        assert finished.code == -signal.SIGKILL
        for process in psutil.process_iter():
            if process.pid == pids[0]:
                process.wait(timeout=5)
        assert not psutil.pid_exists(pids[0])

    def test_a_stop_before_the_script_has_started_is_reported(self, container: Container) -> None:
        # The first request of the agent is answered only after it has been told to stop.
        container.s3.faults = [503] * 6
        command, env = container.prepare()
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 20
        while not container.s3.requests and time.monotonic() < deadline:
            os.sched_yield()
        process.terminate()
        output, _ = process.communicate(timeout=20)
        assert process.returncode == 128 + signal.SIGTERM
        assert b"stopped before its script started" in output


class TestLimits:
    def test_one_file_above_the_disk_allowance_cannot_be_written(self, container: Container) -> None:
        container.script = """
import os
with open(os.environ["SM_OUTPUT_DATA_DIR"] + "/big", "wb") as f:
    for _ in range(100): f.write(b"x" * 1_000_000)
"""
        container.spec["limits"] = {"disk_bytes": 5_000_000, "log_bytes": None}
        finished = container.run()
        assert finished.code == 1
        assert "File too large" in finished.manifest["reason"]

    def test_many_files_above_the_disk_allowance_end_the_script(self, container: Container) -> None:
        container.script = """
import os, time
for i in range(20):
    with open(os.environ["SM_MODEL_DIR"] + f"/{i}", "wb") as f: f.write(b"x" * 1_000_000)
print("written")
time.sleep(600)
"""
        container.spec["limits"] = {"disk_bytes": 5_000_000, "log_bytes": None}
        finished = container.run()
        assert finished.code == 128 + signal.SIGKILL
        assert finished.manifest["reason"].startswith("the script used more than its disk allowance of 5000000 bytes")

    def test_temporary_files_beside_the_container_count(self, container: Container) -> None:
        scratch = container.root.parent / "tmp"
        scratch.mkdir()
        container.environ["TMPDIR"] = str(scratch)
        container.script = """
import tempfile, time
files = [tempfile.NamedTemporaryFile() for _ in range(10)]
for file in files: file.write(b"x" * 1_000_000); file.flush()
time.sleep(600)
"""
        container.spec["limits"] = {"disk_bytes": 5_000_000, "log_bytes": None}
        assert "disk allowance" in container.run().manifest["reason"]

    def test_a_catastrophic_metric_definition_is_switched_off(self, container: Container) -> None:
        container.script = "print('a' * 60 + '!')\nprint('loss=1.5')\n"
        container.spec["metric_definitions"] = [
            {"name": "bomb", "regex": r"((a+)+)+$"},
            {"name": "loss", "regex": r"loss=([0-9.]+)"},
            {"name": "broken", "regex": r"loss=("},
        ]
        begun = time.monotonic()
        finished = container.run()
        assert finished.points() == [("loss", 1.5, 0)]
        assert time.monotonic() - begun < 10
        notes = "\n".join(finished.lines())
        assert "'bomb' took more than" in notes
        assert "'broken' is not a regular expression" in notes


@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1"])
def test_the_containers_locale_changes_nothing(container: Container, locale: str) -> None:
    container.script = "import sys\nprint(ascii(sys.argv[1:]))\n"
    container.spec |= {"arguments": "script_mode", "parameters": {"name": "漢é"}}
    container.environ["LC_ALL"] = locale
    assert "--name" in container.run().lines()[0]
