"""Transitions from an execution's history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from chalicelib.costs.history import History


class Gone(Exception):
    pass


@dataclass
class FakeStepFunctions:
    pages: list[list[str]]
    asked: Any = None

    class exceptions:  # noqa: N801  botocore's name
        ExecutionDoesNotExist = Gone

    def get_paginator(self, _name: str) -> FakeStepFunctions:
        return self

    def paginate(self, **arguments: Any) -> Iterator[dict[str, Any]]:
        self.asked = arguments
        if not self.pages:
            raise Gone
        for page in self.pages:
            yield {"events": [{"type": kind} for kind in page]}


def history(*pages: list[str]) -> tuple[History, FakeStepFunctions]:
    client = FakeStepFunctions(list(pages))
    return History(cast("Any", client), "arn:aws:states:us-east-1:0:execution:train-job:"), client


class TestTransitions:
    def test_are_the_states_entered_over_all_pages_and_the_end(self) -> None:
        counted, client = history(
            ["ExecutionStarted", "PassStateEntered", "PassStateExited", "TaskStateEntered", "TaskScheduled"],
            ["TaskSucceeded", "TaskStateExited", "ChoiceStateEntered", "ChoiceStateExited"],
        )
        assert counted.transitions("j-1") == 3 + 1
        assert client.asked["executionArn"].endswith(":execution:train-job:j-1")

    def test_include_every_repetition_of_a_task(self) -> None:
        counted, _ = history(["TaskStateEntered", "TaskScheduled", "TaskFailed", "TaskScheduled", "TaskSucceeded"])
        assert counted.transitions("j-1") == 1 + 1 + 1

    def test_of_an_execution_that_is_gone_are_unknown(self) -> None:
        assert history()[0].transitions("j-1") is None
