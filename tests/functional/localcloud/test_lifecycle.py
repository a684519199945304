"""Clouds come up, say where they are, go, and come back with what they held."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from localcloud import commands, locks
from localcloud.state import StateDir
from tests.functional.localcloud import tiny
from tests.functional.localcloud.conftest import GONE_SECONDS, Cloud, Start, all_gone, free_port, until


def get(address: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def put(cloud: Cloud, identifier: str) -> None:
    cloud.dynamodb.put_item(TableName=cloud.outputs["Table"], Item={"id": {"S": identifier}})


def has(cloud: Cloud, identifier: str) -> bool:
    return "Item" in cloud.dynamodb.get_item(TableName=cloud.outputs["Table"], Key={"id": {"S": identifier}})


class TestUp:
    def test_answers_where_everything_is(self, cloud: Cloud) -> None:
        settings = cloud.settings
        assert cloud.addresses.document() == {
            "api": f"http://127.0.0.1:{settings.port}/api/v1",
            "aws": f"http://127.0.0.1:{settings.aws_port}",
            "mlflow": f"http://127.0.0.1:{settings.mlflow_port}",
            "state": str(cloud.root),
        }
        assert get(settings.mlflow_url, "/version")[0] == 200
        assert get(f"http://127.0.0.1:{settings.port}", "/healthz")[0] == 200

    def test_on_a_running_state_finds_it(self, cloud: Cloud, build: Path) -> None:
        supervisor = cloud.run["pid"]
        again = commands.up(cloud.root, None, detach=True, build=build)
        assert again.already_running
        assert again.document() == cloud.addresses.document()
        assert cloud.run["pid"] == supervisor

    def test_that_fails_says_why_and_leaves_nothing(self, tmp_path: Path) -> None:
        broken = tmp_path / "broken"
        broken.mkdir()
        (broken / "deployment.zip").write_bytes(b"")
        (broken / "template.json").write_text(json.dumps({"Resources": {"It": {"Type": "AWS::No::Such"}}}))
        root = tmp_path / "state"
        with pytest.raises(commands.CloudError, match="AWS::No::Such"):
            commands.up(root, free_port(), detach=True, build=broken)
        assert commands.status(root) == []
        assert not locks.is_held(StateDir(root).lock_file)
        mine = [p for p in psutil.process_iter(["cmdline"]) if str(root) in " ".join(p.info["cmdline"] or [])]
        assert mine == []

    def test_of_an_api_that_does_not_answer_says_so_and_where_to_look(self, tmp_path: Path) -> None:
        build = tiny.write(tmp_path / "build", answering=False)
        root = tmp_path / "state"
        with pytest.raises(commands.CloudError, match=r"GET .*/api/v1/health: 502") as failed:
            commands.up(root, free_port(), detach=True, build=build)
        log = StateDir(root).logs / "deploy.log"
        assert str(log) in str(failed.value)
        assert not StateDir(root).deployment_file.exists()
        assert commands.status(root) == []


class TestStatus:
    def test_lists_every_part_with_its_process(self, cloud: Cloud) -> None:
        parts = commands.status(cloud.root)
        assert [part.name for part in parts] == ["supervisor", "front-door", "compute", "aws", "mlflow"]
        assert {part.health for part in parts} == {"healthy"}
        assert all(part.pid and psutil.pid_exists(part.pid) for part in parts)
        assert get(cloud.part("aws").address, "/_aimatrix/health")[0] == 200

    def test_counts_the_restarts_of_a_part(self, cloud: Cloud) -> None:
        before = cloud.part("front-door")
        psutil.Process(before.pid).kill()

        def restarted() -> bool:
            part = cloud.part("front-door")
            return part.health == "healthy" and part.restarts == before.restarts + 1

        until(restarted)
        assert cloud.part("front-door").pid != before.pid
        assert get(f"http://127.0.0.1:{cloud.settings.port}", "/healthz")[0] == 200


class TestServersListen:
    def test_on_loopback_only(self, cloud: Cloud) -> None:
        addresses = {
            connection.laddr.ip
            for process in cloud.processes()
            for connection in process.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert addresses == {"127.0.0.1"}


@pytest.fixture(scope="module")
def other(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    return start(tmp_path_factory.mktemp("other"))


class TestAnotherState:
    """One more cloud beside the first, through its whole life."""

    def test_runs_side_by_side_with_data_of_its_own(self, cloud: Cloud, other: Cloud) -> None:
        assert other.addresses.api != cloud.addresses.api
        put(other, "only-there")
        assert has(other, "only-there")
        assert not has(cloud, "only-there")

    def test_ends_with_a_killed_supervisor(self, other: Cloud, start: Start) -> None:
        processes = other.processes()
        put(other, "before-the-supervisor-died")
        processes[0].send_signal(signal.SIGKILL)
        assert all_gone(processes)
        assert commands.status(other.root) == []

    def test_comes_back_with_everything_on_the_same_ports(self, other: Cloud, start: Start) -> None:
        ports = other.addresses.document()
        again = start(other.root)
        assert again.addresses.document() == ports
        assert has(again, "only-there")
        assert has(again, "before-the-supervisor-died")

    def test_survives_a_kill_of_every_process(self, other: Cloud, start: Start) -> None:
        put(other, "before-everything-died")
        processes = other.processes()
        for process in processes:
            # Those of a supervisor that is gone end by themselves, some before they are told.
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        assert all_gone(processes)
        again = start(other.root)
        assert has(again, "before-everything-died")

    def test_is_gone_after_down(self, other: Cloud) -> None:
        processes = other.processes()
        assert len(processes) >= 5
        assert commands.down(other.root) is True
        assert all_gone(processes)
        assert commands.status(other.root) == []
        assert commands.down(other.root) is False


class TestForeground:
    def test_runs_until_it_is_interrupted(self, build: Path, tmp_path: Path) -> None:
        root = tmp_path / "state"
        program = (
            # Python keeps an interrupt ignored that was so at its start, as it is below a job in the background.
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
            "import sys; from pathlib import Path; from localcloud import commands;"
            "commands.up(Path(sys.argv[1]), int(sys.argv[2]), build=Path(sys.argv[3]),"
            "ready=lambda addresses: print(addresses.api, flush=True))"
        )
        command = [sys.executable, "-c", program, str(root), str(free_port()), str(build)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        try:
            with process.stdout:
                assert process.stdout.readline().startswith(b"http://127.0.0.1:")
                inside = psutil.Process(process.pid).children(recursive=True)
                process.send_signal(signal.SIGINT)
                assert process.wait(timeout=GONE_SECONDS) == 0
            assert all_gone(inside)
        finally:
            commands.down(root)
            process.kill()
            process.wait()
