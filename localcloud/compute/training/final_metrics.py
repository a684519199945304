"""FinalMetricDataList: the last value of each metric definition in what a job printed.

A user's regular expression can take exponential time, so it never runs inside the emulator: the search is a process of
its own (`metric_search.py`), with a time limit.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from localcloud.compute.training import metric_search

logger = logging.getLogger(__name__)

SEARCH_SECONDS = 20.0


async def final_metrics(
    definitions: Sequence[Mapping[str, str]], output: Path, now: datetime, seconds: float = SEARCH_SECONDS
) -> list[dict[str, Any]]:
    """One entry per metric that was found; none when the search takes longer than `seconds`."""
    if not definitions:
        return []
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", metric_search.__file__, str(output)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    request = json.dumps({definition["Name"]: definition["Regex"] for definition in definitions}).encode()
    try:
        found, _ = await asyncio.wait_for(process.communicate(request), seconds)
    except TimeoutError:
        logger.warning("metric definitions took too long", extra={"output": str(output)})
        return []
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    values: dict[str, float] = json.loads(found) if found else {}
    return [{"MetricName": name, "Value": value, "Timestamp": now} for name, value in values.items()]
