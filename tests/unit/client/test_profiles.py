from __future__ import annotations

import sys
from pathlib import Path

import pytest

from aimatrix.client import ConfigurationError, Connection
from aimatrix.client.profiles import resolve

ENVIRON = {"AIMATRIX_API": "https://env.test/api/v1", "AIMATRIX_TOKEN": "env-token"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.touch(mode=0o600)
    path.write_text(
        '[profiles.default]\napi = "https://default.test/api/v1/"\ntoken = "default-token"\n'
        '[profiles.work]\napi = "https://work.test/api/v1"\n'
        f'token_command = ["{sys.executable}", "-c", "print(\'fresh\')"]\n'
        '[profiles.open]\napi = "https://open.test/api/v1"\n',
        encoding="utf-8",
    )
    return path


class TestResolve:
    def test_arguments_win(self, config: Path) -> None:
        found = resolve(ENVIRON, api="https://arg.test/api/v1", token="arg-token", config=config)

        assert (found.api, found.token()) == ("https://arg.test/api/v1", "arg-token")

    def test_a_named_profile_wins_over_the_environments_address(self, config: Path) -> None:
        found = resolve({"AIMATRIX_API": "https://env.test/api/v1"}, profile="work", config=config)

        assert (found.api, found.token()) == ("https://work.test/api/v1", "fresh")

    def test_the_environment_wins_over_the_default_profile(self, config: Path) -> None:
        found = resolve(ENVIRON, config=config)

        assert (found.api, found.token()) == ("https://env.test/api/v1", "env-token")

    def test_the_environment_can_name_a_profile(self, config: Path) -> None:
        assert resolve({"AIMATRIX_PROFILE": "work"}, config=config).api == "https://work.test/api/v1"

    def test_the_default_profile_serves_when_nothing_is_said(self, config: Path) -> None:
        found = resolve({}, config=config)

        assert (found.api, found.token()) == ("https://default.test/api/v1", "default-token")

    def test_a_profiles_token_never_goes_to_another_address(self, config: Path) -> None:
        assert resolve({"AIMATRIX_API": "https://env.test/api/v1"}, config=config).token() is None
        assert resolve({}, api="https://arg.test/api/v1", config=config).token() is None
        assert resolve({}, profile="open", config=config).token() is None

    def test_a_key_stands_for_a_token(self, config: Path) -> None:
        environ = {"AIMATRIX_API": "https://env.test/api/v1", "AIMATRIX_API_KEY": "env-key"}
        found = resolve(environ, config=config)

        assert (found.key, found.token()) == ("env-key", None)
        assert "env-key" not in repr(found)

    def test_a_key_takes_the_place_of_a_profiles_token(self, config: Path) -> None:
        found = resolve({"AIMATRIX_API_KEY": "env-key"}, config=config)

        assert (found.api, found.key, found.token()) == ("https://default.test/api/v1", "env-key", None)

    @pytest.mark.parametrize("given", [{"token": "arg"}, {"key": "arg"}])
    def test_an_argument_wins_over_the_environments_credential(self, config: Path, given: dict[str, str]) -> None:
        found = resolve({**ENVIRON, "AIMATRIX_API_KEY": "env-key"}, config=config, **given)  # type: ignore[arg-type]

        assert {"token": found.token(), "key": found.key} == {"token": None, "key": None, **given}

    def test_both_kinds_of_credential_are_one_too_many(self, config: Path) -> None:
        with pytest.raises(ConfigurationError, match="one of them"):
            resolve({**ENVIRON, "AIMATRIX_API_KEY": "env-key"}, config=config)

    def test_a_token_command_is_asked_each_time(self, config: Path, tmp_path: Path) -> None:
        counter = tmp_path / "counter.py"
        counter.write_text(
            "from pathlib import Path\nn = Path(__file__).with_name('n')\n"
            "n.write_text((n.read_text() if n.exists() else '') + 'x')\nprint(n.read_text())\n"
        )
        config.write_text(f'[profiles.p]\napi = "https://p.test"\ntoken_command = ["{sys.executable}", "{counter}"]\n')
        found = resolve({}, profile="p", config=config)

        assert [found.token(), found.token()] == ["x", "xx"]

    def test_the_embedded_cloud_is_the_last_resort(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="AIMATRIX_API"):
            resolve({}, state=tmp_path / "none", config=tmp_path / "none.toml")


class TestConfigurationErrors:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("profiles = 3", "not a table"),
            ("[profiles.p]\ntoken = 'x'", "needs api"),
            ("[profiles.p]\napi = 'ftp://x'", "not an http"),
            ("[profiles.p]\napi = 'http://example.test/api'", "unencrypted"),
            ("[profiles.p]\napi = 'https://x.test'\ntoken_command = 'sso token'", "list of words"),
            ("[profiles.p]\napi = 'https://x.test'\ntoken = 3", "must be a string"),
            ("[profiles.q]\napi = 'https://x.test'", "no profile 'p' .it has: q"),
            ("not toml", "config.toml"),
        ],
    )
    def test_say_what_is_wrong_with_the_file(self, tmp_path: Path, text: str, said: str) -> None:
        path = tmp_path / "config.toml"
        path.touch(mode=0o600)
        path.write_text(text)

        with pytest.raises(ConfigurationError, match=said):
            resolve({}, profile="p", config=path)

    def test_a_token_that_others_can_read_is_refused(self, config: Path) -> None:
        config.chmod(0o644)

        with pytest.raises(ConfigurationError, match="chmod 600"):
            resolve({}, config=config)

    @pytest.mark.parametrize("command", [["/nonexistent/sso"], [sys.executable, "-c", "raise SystemExit(3)"]])
    def test_a_token_command_that_fails_is_told(self, tmp_path: Path, command: list[str]) -> None:
        path = tmp_path / "config.toml"
        path.write_text(f"[profiles.p]\napi = 'https://x.test'\ntoken_command = {command!r}\n")

        with pytest.raises(ConfigurationError, match="token_command"):
            resolve({}, profile="p", config=path).token()

    def test_a_token_command_that_prints_nothing_is_told(self, tmp_path: Path) -> None:
        path = tmp_path / "config.toml"
        path.write_text(f"[profiles.p]\napi = 'https://x.test'\ntoken_command = ['{sys.executable}', '-c', 'pass']\n")

        with pytest.raises(ConfigurationError, match="printed nothing"):
            resolve({}, profile="p", config=path).token()


class TestConnection:
    @pytest.mark.parametrize("api", ["http://127.0.0.1:8000/api/v1", "http://localhost:8000", "https://x.test"])
    def test_takes_https_and_loopback(self, api: str) -> None:
        assert Connection(api, lambda: None, "a test").api == api

    @pytest.mark.parametrize("api", ["http://10.0.0.1/api", "service.test", "https://", "http://127.0.0.1.evil.test"])
    def test_refuses_what_would_leak_the_token(self, api: str) -> None:
        with pytest.raises(ConfigurationError):
            Connection(api, lambda: None, "a test")
