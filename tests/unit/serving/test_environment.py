from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

from trainer.serving.environment import interpreter_for, unsatisfied


class TestUnsatisfied:
    def test_what_is_installed_is_satisfied(self) -> None:
        version = metadata.version("pytest")
        text = f"# tests\npytest=={version}\nPyTest>=1  # any\n--index-url https://example.invalid\npip\n"
        assert list(unsatisfied(text)) == []

    def test_a_local_version_satisfies_its_public_one(self) -> None:
        torch = metadata.version("torch").split("+")[0]
        assert list(unsatisfied(f"torch=={torch}")) == []

    def test_other_versions_missing_packages_and_addresses_are_not(self) -> None:
        text = "pytest==0.0.1\nno-such-package-anywhere\npytest @ https://example.invalid/x.whl\n./local\n"
        assert list(unsatisfied(text)) == text.splitlines()

    def test_a_marker_for_another_platform_is_no_need(self) -> None:
        assert list(unsatisfied('no-such-package-anywhere; sys_platform == "amiga"')) == []

    def test_hashes_do_not_matter(self) -> None:
        version = metadata.version("pytest")
        assert list(unsatisfied(f"pytest=={version} \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n")) == []


class TestInterpreterFor:
    def test_this_one_when_nothing_is_missing(self, tmp_path: Path) -> None:
        assert interpreter_for(tmp_path / "none.txt", {}) == sys.executable
        (tmp_path / "requirements.txt").write_text("pytest\n")
        assert interpreter_for(tmp_path / "requirements.txt", {}) == sys.executable
