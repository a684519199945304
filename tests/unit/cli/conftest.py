from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.harness import Terminal


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a script and its data."""
    folder = tmp_path / "churn"
    folder.mkdir()
    (folder / "train.py").write_text("print('hello')\n")
    (folder / "data.csv").write_text("a,b\n1,2\n")
    return folder
