"""The sentence that says why a job failed."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.console import STDERR, STDOUT
from trainer.reason import LONGEST, compose, headline

TRACEBACK = [
    "Traceback (most recent call last):",
    '  File "train.py", line 3, in <module>',
    "    main()",
    '  File "train.py", line 2, in main',
    "    raise mypackage.errors.BadData('x')",
    "    ^^^^^^",
    "mypackage.errors.BadData: first line",
    "second line of the message",
]


def test_the_exception_leads_and_the_last_lines_follow() -> None:
    lines = [(STDOUT, "epoch 1"), *((STDERR, line) for line in TRACEBACK), (STDOUT, "cleanup")]
    first, *rest = compose("exit code 1", lines).split("\n")
    assert first == "mypackage.errors.BadData: first line (exit code 1)"
    assert rest == ["epoch 1", *TRACEBACK, "cleanup"]


def test_an_exception_on_the_last_line_is_not_repeated() -> None:
    lines = [(STDERR, line) for line in TRACEBACK[:-1]]
    assert compose("exit code 1", lines).count("BadData: first line") == 1


def test_without_a_traceback_the_headline_leads() -> None:
    assert compose("exit code 3", [(STDOUT, "Error: disk is full")]) == "exit code 3\nError: disk is full"


@given(
    st.text(max_size=2000), st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.text(max_size=1500)), max_size=9)
)
def test_it_never_exceeds_its_length(first: str, lines: list[tuple[int, str]]) -> None:
    assert len(compose(first, lines)) <= LONGEST


@pytest.mark.parametrize(
    ("code", "number", "stopped", "expected"),
    [
        (3, None, None, "exit code 3"),
        (139, signal.SIGSEGV, None, "the script was ended by SIGSEGV"),
        (137, signal.SIGKILL, None, "the script was ended by SIGKILL, possibly for lack of memory"),
        (143, signal.SIGTERM, "the job was stopped", "the job was stopped"),
        (128 + 64, 99, None, "the script was ended by signal 99"),
    ],
)
def test_how_it_ended_in_one_phrase(code: int, number: int | None, stopped: str | None, expected: str) -> None:
    assert headline(code, number, stopped) == expected
