"""Values of secrets on their way to the log."""

from __future__ import annotations

import base64
import html
import json
import time
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.trainer.fakes import FakeConsole
from trainer.console import STDERR, STDOUT
from trainer.lines import LONGEST_LINE, Output
from trainer.mask import HIDDEN, Mask

SECRET = 'p4ss/word+"ü" & more'
PEM = "-----BEGIN KEY-----\n" + "\n".join("MIIEvQ" + letter * 58 for letter in "ABCD") + "\n-----END KEY-----\n"


def passed(chunks: list[bytes], *values: str) -> bytes:
    console = FakeConsole()
    console.mask = Mask(values)
    output = Output(console, limit=None, observe=lambda _: None, wants=lambda _: False)
    for chunk in chunks:
        output.feed(STDOUT, chunk)
    output.close()
    return console.written[STDOUT]


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


class TestForms:
    @pytest.mark.parametrize(
        "written",
        [
            SECRET,
            f"x{SECRET}y{SECRET}",
            json.dumps({"password": SECRET}),
            json.dumps({"password": SECRET}, ensure_ascii=False),
            repr({"password": SECRET}),
            repr(SECRET.encode()),
            str(KeyError(SECRET)),
            quote(SECRET),
            quote(SECRET, safe=""),
            quote_plus(SECRET),
            urlencode({"password": SECRET}),
            SECRET.encode().hex(),
            SECRET.encode().hex().upper(),
            base64.b64encode(SECRET.encode()).decode(),
            base64.urlsafe_b64encode(SECRET.encode()).decode(),
            SECRET.encode("ascii", "backslashreplace").decode(),
        ],
        ids=range(16),
    )
    def test_the_ways_in_which_programs_write_a_value_are_all_known(self, written: str) -> None:
        hidden = Mask([SECRET]).text(written)
        assert HIDDEN.decode() in hidden
        for part in ("p4ss", "more", "cDRzc", "70347373"):
            assert part not in hidden

    @pytest.mark.parametrize("user", ["", "a", "ab", "abc", "someone:"])
    @pytest.mark.parametrize("host", ["", "@", "@h", "@host"])
    def test_base64_of_something_longer_keeps_no_more_than_the_characters_at_the_borders(
        self, user: str, host: str
    ) -> None:
        encoded = base64.b64encode(f"{user}{SECRET}{host}".encode())
        hidden = Mask([SECRET]).data(encoded)
        assert HIDDEN in hidden
        assert len(hidden.replace(HIDDEN, b"")) <= len(base64.b64encode(f"{user}{host}".encode())) + 4

    def test_each_line_of_a_value_with_lines_is_hidden_also_alone_and_indented(self) -> None:
        mask = Mask([PEM])
        for line in PEM.splitlines():
            assert mask.text(f"    {line}  # here") == "    ***  # here"
        assert "MIIE" not in mask.text(json.dumps(PEM) + repr(PEM) + base64.encodebytes(PEM.encode()).decode())

    def test_short_lines_of_a_value_are_left_alone(self) -> None:
        assert Mask(["{\nkey:\nthe-long-part\n}"]).text("{ key: 1 }") == "{ key: 1 }"

    def test_the_longer_of_two_values_goes_first(self) -> None:
        assert Mask(["hunter2", "hunter2-and-more"]).text("hunter2-and-more hunter2") == "*** ***"

    def test_without_values_nothing_changes(self) -> None:
        assert Mask([]).text("anything") == "anything"

    @given(
        st.text(st.characters(exclude_characters="\0"), min_size=4, max_size=60),
        st.text(max_size=20),
        st.text(max_size=20),
    )
    def test_no_value_survives_whatever_is_around_it(self, value: str, before: str, after: str) -> None:
        assert value not in Mask([value]).text(before + value + after).replace("***", "\0")


class TestDocument:
    def test_names_and_texts_are_searched_and_identifiers_left(self) -> None:
        document = {
            "run_id": "ab1234cd",
            "artifact_uri": "mlflow-artifacts:/1234",
            "params": [{"key": "k1234", "value": "x 1234"}, {"key": "n", "value": 1234}],
            "1234": {"deep": ["1234", None, True]},
        }
        assert Mask(["1234"]).document(document) == {
            "run_id": "ab1234cd",
            "artifact_uri": "mlflow-artifacts:/1234",
            "params": [{"key": "k***", "value": "x ***"}, {"key": "n", "value": 1234}],
            "***": {"deep": ["***", None, True]},
        }


class TestOutput:
    @given(st.integers(1, 40), st.text(st.characters(categories=["L", "N"]), max_size=30))
    def test_a_value_is_hidden_however_the_output_is_cut(self, size: int, before: str) -> None:
        data = f"{before} {SECRET} after\nnext\n".encode()
        assert passed(in_pieces(data, size), SECRET) == f"{before} *** after\nnext\n".encode()

    @pytest.mark.parametrize("offset", range(-25, 26, 5))
    @pytest.mark.parametrize("size", [7, 1000, 10**6])
    def test_a_value_is_hidden_where_a_long_line_is_broken(self, offset: int, size: int) -> None:
        line = b"x" * (LONGEST_LINE + offset) + SECRET.encode() + b"y" * 100
        for data in (line, line + b"\n"):
            result = passed(in_pieces(data, size), SECRET)
            assert b"p4ss" not in result.replace(b"\n", b"")
            assert b"more" not in result.replace(b"\n", b"")

    def test_a_line_without_an_end_is_searched_too(self) -> None:
        assert passed([SECRET.encode()], SECRET) == b"***\n"

    def test_a_broken_line_is_still_short_enough_for_every_log_driver(self) -> None:
        result = passed(in_pieces(b"z" * 100_000, 9_999), SECRET, "q" * 4096)
        assert max(map(len, result.split(b"\n"))) <= LONGEST_LINE
        assert result.replace(b"\n", b"") == b"z" * 100_000

    def test_the_last_lines_hold_no_value(self) -> None:
        console = FakeConsole()
        console.mask = Mask([SECRET])
        output = Output(console, limit=None, observe=lambda _: None, wants=lambda _: False)
        output.feed(STDERR, f"ValueError: {SECRET}\n".encode())
        assert output.last_lines() == [(STDERR, "ValueError: ***")]

    def test_what_is_looked_at_for_metrics_holds_no_value(self) -> None:
        console, seen = FakeConsole(), list[str]()
        console.mask = Mask(["12345678"])
        output = Output(console, limit=None, observe=seen.append, wants=lambda _: True)
        output.feed(STDOUT, b"loss=12345678\n")
        assert seen == ["loss=***"]

    def test_the_agents_own_words_hold_no_value(self) -> None:
        console = FakeConsole()
        console.mask = Mask([SECRET])
        console.say(f"could not upload {SECRET}")
        assert console.written[STDOUT] == b"aimatrix: could not upload ***\n"

    def test_is_no_bottleneck(self) -> None:
        line = b"epoch 1 step 100 loss 0.12345 accuracy 0.98765 learning_rate 0.001\n" * 4000
        few, many = Mask([SECRET]), Mask([f"{html.escape(SECRET)}{number}" for number in range(32)])
        for mask, seconds in ((few, 0.5), (many, 5.0)):
            begun = time.process_time()
            for _ in range(4):
                mask.data(line)
            print(f"{len(line) * 4 / (time.process_time() - begun) / 1e6:.0f} MB/s with {len(mask._forms)} forms")
            assert time.process_time() - begun < seconds
