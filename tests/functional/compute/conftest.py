"""What the tests of jobs share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.unit.compute.harness import Emulator, emulator


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Any]:
    """Runs a scenario against a fresh emulator."""

    def run(scenario: Callable[[Emulator], Coroutine[Any, Any, Any]], **options: Any) -> Any:
        async def started() -> Any:
            async with emulator(tmp_path, **options) as running:
                return await scenario(running)

        return asyncio.run(started())

    return run
