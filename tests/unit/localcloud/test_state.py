"""State directories: private, with credentials of their own, and the same ports from start to start."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import ClassVar

import pytest

from localcloud import commands, locks
from localcloud.processes import inherited, inherited_by_lambda
from localcloud.state import HOST, StateDir, default_root, is_free


class TestPrepare:
    def test_keeps_everything_from_start_to_start(self, tmp_path: Path) -> None:
        state = StateDir(tmp_path / "state")
        assert state.prepare(None) == state.prepare(None)

    def test_makes_credentials_of_its_own(self, tmp_path: Path) -> None:
        first, second = (StateDir(tmp_path / name).prepare(None) for name in ("a", "b"))
        assert first.secret_access_key != second.secret_access_key
        assert first.access_key_id != second.access_key_id
        assert first.control_secret != second.control_secret

    def test_is_readable_by_its_owner_only(self, tmp_path: Path) -> None:
        state = StateDir(tmp_path / "state")
        state.prepare(None)
        assert oct(state.root.stat().st_mode & 0o777) == "0o700"
        assert oct(state.settings_file.stat().st_mode & 0o777) == "0o600"

    def test_takes_another_port_for_one_that_is_taken(self, tmp_path: Path) -> None:
        state = StateDir(tmp_path / "state")
        before = state.prepare(None)
        with socket.socket() as other:
            other.bind((HOST, before.mlflow_port))
            other.listen()
            after = state.prepare(None)
        assert after.mlflow_port != before.mlflow_port
        assert (after.aws_port, after.compute_port) == (before.aws_port, before.compute_port)

    def test_gives_different_ports_to_every_part(self, tmp_path: Path) -> None:
        settings = StateDir(tmp_path / "state").prepare(None)
        assert len({settings.port, settings.aws_port, settings.compute_port, settings.mlflow_port}) == 4

    def test_changes_the_front_door_when_asked(self, tmp_path: Path) -> None:
        state = StateDir(tmp_path / "state")
        state.prepare(8001)
        assert state.prepare(None).port == 8001
        assert state.prepare(8002).api_url == "http://127.0.0.1:8002/api/v1"


class TestDefaultRoot:
    def test_is_what_the_environment_says(self) -> None:
        assert default_root({"AIMATRIX_STATE": "/somewhere"}) == Path("/somewhere")

    def test_is_the_users_own_otherwise(self) -> None:
        assert default_root({}).name == "aimatrix"


class TestEnvironment:
    ENVIRON: ClassVar = {
        "PATH": "/bin",
        "HOME": "/home/u",
        "HTTPS_PROXY": "http://proxy",
        "AWS_PROFILE": "production",
        "AWS_SECRET_ACCESS_KEY": "theirs",
        "AIMATRIX_TOKEN": "theirs",
        "MLFLOW_TRACKING_URI": "https://theirs",
        "PYTHONPATH": "/theirs",
    }

    def test_of_a_child_has_no_credentials_of_the_user(self) -> None:
        assert set(inherited(self.ENVIRON)) == {"PATH", "HOME", "HTTPS_PROXY"}

    def test_of_a_lambda_worker_has_only_what_is_named(self) -> None:
        assert set(inherited_by_lambda(self.ENVIRON)) == {"PATH", "HOME"}


class TestLocks:
    def test_are_held_by_one(self, tmp_path: Path) -> None:
        with locks.hold(tmp_path / "lock"):
            assert locks.is_held(tmp_path / "lock")
            with pytest.raises(locks.HeldError):
                locks.hold(tmp_path / "lock")
        assert not locks.is_held(tmp_path / "lock")


class TestCommandsWithoutACloud:
    def test_status_is_empty(self, tmp_path: Path) -> None:
        assert commands.status(tmp_path / "none") == []

    def test_down_says_that_there_was_none(self, tmp_path: Path) -> None:
        assert commands.down(tmp_path / "none") is False

    def test_addresses_names_the_cure(self, tmp_path: Path) -> None:
        with pytest.raises(commands.NotRunningError, match="aimatrix up"):
            commands.addresses(tmp_path / "none")

    def test_token_needs_a_cloud_that_was_started_once(self, tmp_path: Path) -> None:
        with pytest.raises(commands.NotRunningError, match="aimatrix up"):
            commands.token(tmp_path / "none", user="alice")

    def test_up_refuses_a_taken_port_and_names_the_cure(self, tmp_path: Path) -> None:
        with socket.socket() as other:
            other.bind((HOST, 0))
            other.listen()
            port = other.getsockname()[1]
            assert not is_free(port)
            with pytest.raises(commands.CloudError, match="--port"):
                commands.up(tmp_path / "state", port, detach=True)
