"""The seam fits the installed ministack, and says so when it does not."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from localcloud.seam import pins
from localcloud.seam.pins import Pin


class TestPins:
    def test_everything_the_seam_hooks_is_where_it_was(self) -> None:
        pins.check()

    def test_the_project_installs_the_version_the_seam_was_made_for(self) -> None:
        assert version("ministack") == pins.MINISTACK

    @pytest.mark.parametrize(
        ("pin", "problem"),
        [
            (Pin("ministack.services.stepfunctions", "_no_such_thing"), "is gone"),
            (Pin("ministack.services.stepfunctions", "_stop_execution", ("arn",)), "takes"),
            (
                Pin("ministack.services.stepfunctions", "_stop_execution", contains=("no such text",)),
                "no longer contains",
            ),
        ],
    )
    def test_a_thing_that_has_moved_is_noticed(self, pin: Pin, problem: str) -> None:
        assert problem in (pin.problem() or "")
