"""The serving process by itself: SageMaker's container contract over HTTP."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.functional.endpoints.hosting_harness import ECHO
from tests.functional.endpoints.serving_process import SERVER, Served, serving, started


def model(root: Path, code: str = ECHO) -> Path:
    (root / "code").mkdir(parents=True)
    (root / "code" / "inference.py").write_text(code)
    (root / "name").write_text("iris")
    return root


@pytest.fixture
def served(tmp_path: Path) -> object:
    with serving(model(tmp_path)) as running:
        yield running


class TestContract:
    def test_ping_and_invocations(self, served: Served) -> None:
        assert served.request("/ping").status == 200
        answer = served.predict({})
        assert (answer.status, answer.content_type, answer.json()) == (
            200,
            "application/json",
            {"predictions": ["iris"]},
        )

    def test_other_paths_are_not_found(self, served: Served) -> None:
        assert served.request("/").status == 404
        assert served.request("/other", b"x").status == 404

    def test_ping_answers_503_while_the_model_loads(self, tmp_path: Path) -> None:
        with started(model(tmp_path, "import time\ndef model_fn(d):\n    time.sleep(60)\n")) as loading:
            assert loading.request("/ping").status == 503
            assert loading.request("/invocations", b"{}").status == 503
            loading.process.send_signal(signal.SIGTERM)
            assert loading.process.wait(5) == 0

    def test_a_model_that_does_not_load_ends_the_process(self, tmp_path: Path) -> None:
        with started(model(tmp_path, "1 / 0\n")) as broken:
            assert broken.process.wait(10) == 1

    def test_it_listens_on_loopback_only(self, served: Served) -> None:
        import psutil

        (connection,) = [c for c in psutil.Process(served.process.pid).net_connections() if c.status == "LISTEN"]
        assert connection.laddr.ip == "127.0.0.1"

    def test_the_port_is_written_whole(self, tmp_path: Path) -> None:
        place = tmp_path / "port"
        command = [str(SERVER), "--model", str(model(tmp_path / "m")), "--port-file", str(place)]
        import sys

        with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            first = process.stdout.readline().decode().strip()
            assert place.read_text() == first.rpartition(":")[2]
            process.kill()


class TestErrors:
    def test_an_exception_is_a_500_without_a_trace(self, served: Served) -> None:
        answer = served.predict({"raise": 1})
        assert answer.status == 500
        assert answer.json() == {"error": "prediction failed: KeyError: 'missing thing'"}

    def test_the_process_goes_on_after_an_exception(self, served: Served) -> None:
        served.predict({"raise": 1})
        assert served.predict({}).status == 200

    def test_a_body_without_length_and_one_too_large_are_refused(self, served: Served) -> None:
        host, _, port = served.url.removeprefix("http://").partition(":")
        for header, status in (
            (b"", b"411"),
            (b"Content-Length: 26214401\r\n", b"413"),
            (b"Content-Length: x\r\n", b"411"),
        ):
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                connection.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n")
                assert connection.recv(4096).split()[1] == status

    def test_a_body_of_the_largest_size_is_taken(self, served: Served) -> None:
        padded = json.dumps({"pad": "x" * (25 * 1024 * 1024 - 11)}).encode()
        assert len(padded) == 25 * 1024 * 1024
        assert served.request("/invocations", padded).status == 200


class TestTheEnd:
    def test_a_request_in_progress_is_answered_before_the_process_ends(self, served: Served) -> None:
        statuses: list[int] = []
        caller = threading.Thread(target=lambda: statuses.append(served.predict({"sleep": 0.6}).status))
        caller.start()
        time.sleep(0.2)
        served.process.send_signal(signal.SIGTERM)
        caller.join(10)
        assert statuses == [200]
        assert served.process.wait(10) == 0

    def test_an_idle_connection_does_not_hold_it_up(self, served: Served) -> None:
        host, _, port = served.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=10) as idle:
            idle.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
            assert idle.recv(4096).startswith(b"HTTP/1.1 200")
            served.process.send_signal(signal.SIGTERM)
            assert served.process.wait(5) == 0


class TestConcurrency:
    def test_requests_are_answered_side_by_side(self, served: Served) -> None:
        begun = time.monotonic()
        callers = [threading.Thread(target=served.predict, args=({"sleep": 0.3},)) for _ in range(4)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert time.monotonic() - begun < 1.1  # one after another they would take 1.2 s
