"""Fixtures: the bundle, built once; an S3; a container that is ready to run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.trainer.fake_s3 import FakeS3, serve_s3
from tests.functional.trainer.harness import Container
from trainer.bundle import build


@pytest.fixture(scope="session")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "agent.zip"
    build(path)
    return path


@pytest.fixture
def s3() -> Iterator[FakeS3]:
    with serve_s3() as fake:
        yield fake


@pytest.fixture
def container(agent: Path, s3: FakeS3, tmp_path: Path) -> Container:
    return Container(agent, tmp_path / "ml", s3)
