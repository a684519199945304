"""What all tests share: the table of faults that they end with; see `faults.py`."""

from __future__ import annotations

import pytest

from tests import faults
from tests.faults import Shows


@pytest.fixture
def shows(request: pytest.FixtureRequest) -> Shows:
    """Say what was counted for a row of the table of faults."""
    return lambda row, figure: request.node.user_properties.append(faults.told(row, figure))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "shows" in getattr(item, "fixturenames", ()):
            item.add_marker("faults")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = terminalreporter.stats.get("passed", [])
    lines = faults.table(found for report in reports for found in report.user_properties)
    if lines:
        terminalreporter.section("faults: what must hold, and what was found")
        for line in lines:
            terminalreporter.write_line(line)
