from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from aimatrix.cli import files
from aimatrix.cli.output import facts, number, printable, size, table
from aimatrix.cli.parsing import json_or_text, pairs, seconds


class TestParameters:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("6", 6),
            ("0.001", 0.001),
            ("1e-3", 0.001),
            ("true", True),
            ("null", None),
            ("[64, 32]", [64, 32]),
            ('{"a": 1}', {"a": 1}),
            ('"6"', "6"),
            ("adam", "adam"),
            ("True", "True"),
            ("[64", "[64"),
            ("NaN", "NaN"),
            ("-Infinity", "-Infinity"),
            ("", ""),
            ("$(rm -rf /)", "$(rm -rf /)"),
        ],
    )
    def test_are_json_where_they_are_json_and_else_text(self, text: str, value: Any) -> None:
        assert json_or_text(text) == value

    @given(st.text())
    def test_always_become_something_that_json_can_carry(self, text: str) -> None:
        json.dumps(json_or_text(text), allow_nan=False)

    def test_a_nest_too_deep_to_read_is_text(self) -> None:
        assert json_or_text("[" * 100_000) == "[" * 100_000

    def test_keep_further_equals_signs(self) -> None:
        assert pairs(["a=b=c", "d="], "--env") == {"a": "b=c", "d": ""}


class TestDurations:
    @pytest.mark.parametrize(
        ("text", "value"), [("90", 90), ("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("1H1m1S", 3661)]
    )
    def test_are_read_with_their_units(self, text: str, value: int) -> None:
        assert seconds(text, "--max-runtime") == value

    @pytest.mark.parametrize("text", ["", "soon", "-5", "1.5h", "30m2h", "5 m", "٣"])
    def test_are_refused_when_they_are_none(self, text: str) -> None:
        with pytest.raises(typer.BadParameter, match="not a duration"):
            seconds(text, "--max-runtime")


class TestFiles:
    def test_links_are_not_followed_out_of_a_folder_of_data(self, tmp_path: Path) -> None:
        outside = tmp_path / "secret"
        outside.write_text("s")
        folder, script = tmp_path / "data", tmp_path / "train.py"
        folder.mkdir()
        script.touch()
        (folder / "a.csv").touch()
        (folder / "link.csv").symlink_to(outside)
        (folder / "loop").symlink_to(tmp_path)

        sources = files.gather(str(script), str(folder))

        assert [file.name for file in sources.files] == ["train.py", "data/a.csv"]

    def test_too_many_files_are_refused(self, tmp_path: Path) -> None:
        folder, script = tmp_path / "data", tmp_path / "train.py"
        folder.mkdir()
        script.touch()
        for n in range(files.MOST_FILES):
            (folder / str(n)).touch()

        with pytest.raises(typer.BadParameter, match="more than the 1000"):
            files.gather(str(script), str(folder))

    def test_too_large_a_file_is_refused(self, tmp_path: Path) -> None:
        script, data = tmp_path / "train.py", tmp_path / "big.csv"
        script.touch()
        with data.open("wb") as sparse:
            sparse.truncate(files.MOST_BYTES + 1)

        with pytest.raises(typer.BadParameter, match="s3://"):
            files.gather(str(script), str(data))

    def test_a_script_that_is_called_inference_goes_once(self, tmp_path: Path) -> None:
        script, data = tmp_path / "inference.py", tmp_path / "d.csv"
        script.touch()
        data.touch()

        assert [file.name for file in files.gather(str(script), str(data)).files] == ["inference.py", "data/d.csv"]


class TestWords:
    @pytest.mark.parametrize(
        ("count", "said"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 KB"), (2_500_000, "2.5 MB"), (5 * 10**12, "5.0 TB")]
    )
    def test_sizes_are_short(self, count: int, said: str) -> None:
        assert size(count) == said

    @pytest.mark.parametrize(
        ("value", "said"), [(0.97222222, "0.9722"), (1.0, "1"), (12345.678, "1.235e+04"), (float("nan"), "nan")]
    )
    def test_figures_are_short(self, value: float, said: str) -> None:
        assert number(value) == said

    @given(st.text())
    def test_no_text_of_somebody_elses_steers_the_terminal(self, text: str) -> None:
        assert not any((ord(letter) < 32 and letter != "\t") or 127 <= ord(letter) < 160 for letter in printable(text))

    def test_a_table_is_never_cut(self) -> None:
        long = "x" * 300

        assert long in table(("A", "B"), [(long, "y")])[1]

    def test_facts_without_a_value_are_left_out(self) -> None:
        assert len(facts({"a": "1", "b": None, "c": ""})) == 1
