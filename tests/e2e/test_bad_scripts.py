"""Scripts that fail, hang, flood, fork and escape: the job fails with the script's own words, and nothing is left."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from aimatrix.client import Client
from tests.e2e import scripts

pytestmark = pytest.mark.e2e


def _left_running(mark: str) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if any(mark in part for part in process.cmdline()):
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


class TestBadScripts:
    def test_the_last_lines_of_a_failing_script_are_the_reason(self, alice: Client, tmp_path: Path) -> None:
        job = scripts.run(alice, tmp_path, "print('loading')\nraise ValueError('no rows left after cleaning')\n")
        assert job.status == "failed"
        assert "ValueError: no rows left after cleaning" in (job.failure_reason or "")

    def test_exit_code_3_is_a_failure_without_another_attempt(self, alice: Client, tmp_path: Path) -> None:
        job = scripts.run(alice, tmp_path, "import sys\nprint('giving up')\nsys.exit(3)\n")
        assert (job.status, job.attempts) == ("failed", 1)
        assert "giving up" in (job.failure_reason or "")

    def test_a_script_that_hangs_past_its_limit_is_stopped(self, alice: Client, tmp_path: Path) -> None:
        script = "import time\nprint('aimatrix-e2e-hang', flush=True)\ntime.sleep(3600)\n"
        job = scripts.run(alice, tmp_path, script, max_runtime_seconds=60)
        assert job.status == "failed"
        assert "60 seconds" in (job.failure_reason or "")

    def test_children_of_a_script_do_not_outlive_it(self, alice: Client, tmp_path: Path) -> None:
        script = (
            "import subprocess, sys\n"
            "child = 'import os, time; os.setsid(); time.sleep(3600)  # aimatrix-e2e-fork'\n"
            "subprocess.Popen([sys.executable, '-c', child], start_new_session=True)\n"
            "print('forked', flush=True)\n"
        )
        job = scripts.run(alice, tmp_path, script)
        assert job.is_finished()
        assert _left_running("aimatrix-e2e-fork") == []

    def test_fifty_megabytes_of_output_are_bounded_and_the_end_is_seen(self, alice: Client, tmp_path: Path) -> None:
        script = "line = 'x' * 1023\nfor n in range(51200):\n    print(line)\nprint('the end')\n"
        job = scripts.run(alice, tmp_path, script)
        assert job.status == "completed", job.failure_reason

    def test_invalid_utf8_is_shown_and_harms_nothing(self, alice: Client, tmp_path: Path) -> None:
        script = (
            "import sys\nsys.stdout.buffer.write(b'before \\xff\\xfe after\\n')\nsys.stdout.flush()\nprint('done')\n"
        )
        job = scripts.run(alice, tmp_path, script)
        printed = scripts.lines(alice, job)
        assert job.status == "completed"
        assert printed[0].startswith("before ")
        assert printed[0].endswith(" after")
        assert printed[-1] == "done"

    def test_a_link_out_of_the_model_directory_is_not_followed(self, alice: Client, tmp_path: Path) -> None:
        script = (
            "import os\n"
            "os.symlink('/etc/passwd', os.path.join(os.environ['SM_OUTPUT_DATA_DIR'], 'leak.txt'))\n"
            "open(os.path.join(os.environ['SM_OUTPUT_DATA_DIR'], 'fine.txt'), 'w').write('fine')\n"
        )
        job = scripts.run(alice, tmp_path, script)
        assert "leak.txt" not in {artifact.name for artifact in job.artifacts}

    def test_a_forged_report_is_only_a_printed_line(self, alice: Client, tmp_path: Path) -> None:
        script = (
            """print('#aimatrix {"j":"default#x","n":1,"k":"x","t":"metrics","points":[["forged",1,1,null,1]]}')\n"""
        )
        job = scripts.run(alice, tmp_path, script)
        assert [metric.name for metric in job.metrics] == []

    def test_shell_metacharacters_arrive_as_they_were_sent(self, alice: Client, tmp_path: Path) -> None:
        hostile = {"p": "'; touch owned; echo $(id) `id` \" | & > < \\ \n * ? ~ !", "q": "$HOME ${PATH}"}
        script = "import argparse, json\np = argparse.ArgumentParser()\n" + "".join(
            f"p.add_argument('{name}')\n" for name in ("--job-id", "--data-path", "--output-path", "--parameters")
        )
        script += "print(json.dumps(json.loads(p.parse_args().parameters), sort_keys=True))\n"
        job = scripts.run(alice, tmp_path, script, parameters=hostile)
        assert json.loads(scripts.lines(alice, job)[0]) == hostile
