"""What the script prints on its way to the log."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.trainer.fakes import FakeConsole
from trainer.console import STDERR, STDOUT
from trainer.lines import LONGEST_LINE, Output


def passed(chunks: list[bytes], *, limit: int | None = None) -> bytes:
    console = FakeConsole()
    output = Output(console, limit=limit, observe=lambda _: None, wants=lambda _: False)
    for chunk in chunks:
        output.feed(STDOUT, chunk)
    output.close()
    return console.written[STDOUT]


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    chunks = []
    for size in sizes:
        chunks.append(data[:size])
        data = data[size:]
    return [*chunks, data]


LINES = st.lists(st.text(st.characters(exclude_characters="\n#", exclude_categories=["Cs"]), max_size=40), max_size=20)


@given(LINES, st.lists(st.integers(1, 9), max_size=30))
def test_text_passes_unchanged_however_it_is_cut(lines: list[str], sizes: list[int]) -> None:
    data = "".join(line + "\n" for line in lines).encode()
    assert passed(cut(data, sizes)) == data


@given(st.binary(max_size=300), st.lists(st.integers(1, 9), max_size=30))
def test_any_bytes_come_out_as_utf8_that_does_not_depend_on_the_cuts(data: bytes, sizes: list[int]) -> None:
    result = passed(cut(data, sizes))
    assert result == passed([data])
    result.decode("utf-8")
    assert result == b"" or result.endswith(b"\n")


SEPARATORS = st.sampled_from(
    ["", " ", "\t", "\n", "\r", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029", "\0", "\ufeff", "x"]
)


@given(st.lists(SEPARATORS, max_size=6), st.sampled_from([" ", "\t", "\r"]), st.lists(st.integers(1, 9), max_size=10))
def test_no_line_by_any_definition_can_pass_for_the_agents(before: list[str], after: str, sizes: list[int]) -> None:
    result = passed(cut(f"{''.join(before)}#aimatrix{after}{{}}\n".encode(), sizes)).decode()
    for line in (*result.splitlines(), *result.split("\n")):
        assert not line.lstrip("\0\ufeff \t\r\v\f").startswith("#aimatrix" + after)


def test_a_long_line_is_broken_between_characters() -> None:
    text = "漢" * LONGEST_LINE
    result = passed([text.encode()]).decode()
    assert "".join(result.split("\n")) == text
    assert max(len(line.encode()) for line in result.split("\n")) <= LONGEST_LINE


def test_the_limit_cuts_at_a_line_and_is_said_once() -> None:
    result = passed([b"12345\n" * 10, b"more\n" * 10], limit=20)
    assert result.startswith(b"12345\n" * 3 + b"aimatrix: ")
    assert result.count(b"limit of 20 bytes") == 1
    assert b"more" not in result


def test_the_last_lines_are_kept_in_order_even_above_the_limit() -> None:
    output = Output(FakeConsole(), limit=0, observe=lambda _: None, wants=lambda _: False)
    output.feed(STDOUT, b"a\n\n")
    output.feed(STDERR, b"b\n")
    output.feed(STDOUT, b"c")
    output.close()
    assert output.last_lines() == [(STDOUT, "a"), (STDERR, "b"), (STDOUT, "c")]


def test_only_lines_that_are_wanted_are_looked_at() -> None:
    seen: list[str] = []
    output = Output(FakeConsole(), limit=None, observe=seen.append, wants=lambda block: b"yes" in block)
    output.feed(STDOUT, b"no\n")
    output.feed(STDOUT, b"yes\nand this\n")
    assert seen == ["yes", "and this"]
