"""One build of the real project for all tests here; downloaded libraries are shared with `python -m infra.build`."""

from __future__ import annotations

import json

import pytest

from infra import build
from infra.build import Build
from infra.names import Json

CACHE = build.PROJECT / "build" / "cache"


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return build.build(tmp_path_factory.mktemp("build"), cache=CACHE)


@pytest.fixture(scope="session")
def template(built: Build) -> Json:
    """The built template. Tests that change it take a copy."""
    loaded: Json = json.loads(built.template.read_text(encoding="utf-8"))
    return loaded
