from __future__ import annotations

import json
import math
from typing import Any

import numpy
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.serving.protocol import InputError, read_inputs, to_plain, write_predictions


def read(document: Any, content_type: str = "application/json") -> Any:
    body = document if isinstance(document, (str, bytes)) else json.dumps(document)
    return read_inputs(body, content_type)


def refusal(document: Any, content_type: str = "application/json") -> InputError:
    with pytest.raises(InputError) as caught:
        read(document, content_type)
    return caught.value


class TestJson:
    @pytest.mark.parametrize("form", ["inputs", "instances"])
    def test_rows_under_either_name(self, form: str) -> None:
        assert read({form: [[1, 2], [3, 4]]}).rows == [[1, 2], [3, 4]]

    def test_a_bare_list(self) -> None:
        assert read([[1, 2]]).rows == [[1, 2]]

    def test_split_and_records_have_columns(self) -> None:
        split = read({"dataframe_split": {"columns": ["a", "b"], "index": [0], "data": [[1, 2]]}})
        records = read({"dataframe_records": [{"a": 1, "b": 2}, {"b": 4, "a": 3}]})
        assert (split.columns, split.rows) == (["a", "b"], [[1, 2]])
        assert (records.columns, records.rows) == (["a", "b"], [[1, 2], [3, 4]])

    def test_named_inputs_become_a_table_of_columns(self) -> None:
        table = read({"inputs": {"a": [1, 2], "b": [3, 4]}}).as_table()
        assert (table.columns, table.rows) == (["a", "b"], [[1, 3], [2, 4]])

    def test_params_travel_along(self) -> None:
        assert read({"inputs": [1], "params": {"top_k": 3}}).params == {"top_k": 3}

    @pytest.mark.parametrize(
        ("document", "says"),
        [
            ("{", "the body is not JSON"),
            ("[" * 100_000, "nested too deeply"),
            (3, "send a list, or an object with one of inputs, instances, dataframe_split, dataframe_records"),
            ({"data": [1]}, "the object has none of inputs"),
            ({"inputs": [1], "instances": [1]}, "the object has inputs and instances of"),
            ({"inputs": [1], "colour": 1}, "unknown member 'colour' beside 'inputs'"),
            ({"inputs": 3}, "inputs must be a list or an object of named inputs"),
            ({"instances": {"a": [1]}}, "instances must be a list"),
            ({"inputs": []}, "no instance to predict"),
            ({"inputs": [1], "params": 3}, "params must be an object"),
            ({"dataframe_split": [1]}, "dataframe_split must be an object like"),
            ({"dataframe_split": {"columns": ["a"], "data": [[1], [1, 2]]}}, "row 1 has 2 cells for 1 columns"),
            ({"dataframe_split": {"columns": 3, "data": []}}, "columns must be a list"),
            ({"dataframe_records": [1]}, "must be a list of objects"),
            ({"dataframe_records": [{"a": 1}, {"b": 1}]}, "row 1 lacks 'a'"),
            ({"dataframe_records": [{"a": 1}, {"a": 1, "b": 1}]}, "row 1 alone has 'b'"),
            ({"dataframe_records": [{"a": 1}, 3]}, "row 1 is no object"),
        ],
    )
    def test_malformed_requests_are_named(self, document: Any, says: str) -> None:
        error = refusal(document)
        assert says in str(error)
        assert error.status_code == 400

    def test_inputs_of_different_lengths_are_named(self) -> None:
        with pytest.raises(InputError, match=r"differ in length \(a: 1, b: 2\)"):
            read({"inputs": {"a": [1], "b": [1, 2]}}).as_table()

    def test_bytes_with_and_without_a_mark_are_text(self) -> None:
        assert read(b"\xef\xbb\xbf[1]").rows == [1]
        assert "not UTF-8" in str(refusal(b"\xff\xfe"))

    def test_a_content_type_may_carry_parameters_and_an_unknown_one_is_415(self) -> None:
        assert read("[1]", "Application/JSON; charset=utf-8").rows == [1]
        assert refusal("x", "image/png").status_code == 415

    @given(st.text(max_size=200))
    def test_no_text_does_anything_but_parse_or_be_refused(self, text: str) -> None:
        for content_type in ("application/json", "text/csv", "application/jsonlines"):
            try:
                read_inputs(text, content_type)
            except InputError as error:
                assert error.status_code == 400  # noqa: PT017 - either outcome is right


class TestCsv:
    def test_a_first_line_without_numbers_is_a_header(self) -> None:
        inputs = read("a, b\n1,x\n2.5,\n", "text/csv")
        assert (inputs.columns, inputs.rows) == (["a", "b"], [[1.0, "x"], [2.5, None]])

    def test_a_first_line_with_a_number_is_data(self) -> None:
        inputs = read("1,x\r\n2,y\r\n", "text/csv")
        assert (inputs.columns, inputs.rows) == (None, [[1.0, "x"], [2.0, "y"]])

    def test_a_single_line_is_data(self) -> None:
        assert read("red,blue", "text/csv").rows == [["red", "blue"]]

    def test_rows_of_different_lengths_are_named(self) -> None:
        assert str(refusal("1,2\n3", "text/csv")) == "row 1 has 1 cells, the first line has 2"

    def test_an_open_quote_is_named(self) -> None:
        assert "not CSV" in str(refusal('1,"2', "text/csv"))

    def test_no_line_is_no_instance(self) -> None:
        assert "no instance" in str(refusal("\n", "text/csv"))


class TestJsonLines:
    def test_each_line_is_an_instance(self) -> None:
        assert read("[1, 2]\n\n[3, 4]\n", "application/jsonlines").rows == [[1, 2], [3, 4]]
        assert "line 1 is not JSON" in str(refusal("[1]\nx", "application/jsonlines"))


class TestWritePredictions:
    def test_json_by_default(self) -> None:
        for accept in (None, "", "*/*", "application/json", "text/html, application/json;q=0.8"):
            body, kind = write_predictions(numpy.array([1.5, 2.0]), accept)
            assert (json.loads(body), kind) == ({"predictions": [1.5, 2.0]}, "application/json")

    def test_csv_has_a_line_for_each_instance(self) -> None:
        assert write_predictions(numpy.array([[1, 2], [3, 4]]), "text/csv") == ("1,2\n3,4\n", "text/csv")
        assert write_predictions(["a,b", "c"], "text/csv")[0] == '"a,b"\nc\n'

    def test_json_lines(self) -> None:
        assert write_predictions([1, 2], "application/jsonlines")[0] == "1\n2\n"

    def test_what_nobody_can_write_is_406(self) -> None:
        with pytest.raises(InputError) as caught:
            write_predictions([1], "application/x-npy")
        assert caught.value.status_code == 406

    def test_a_document_with_predictions_stays_as_it_is(self) -> None:
        assert json.loads(write_predictions({"predictions": [1], "model": "a"}, None)[0]) == {
            "predictions": [1],
            "model": "a",
        }

    def test_what_json_does_not_have_is_null(self) -> None:
        body, _ = write_predictions([math.nan, math.inf, 1.0], None)
        assert json.loads(body) == {"predictions": [None, None, 1.0]}

    def test_frames_become_records_and_scalars_plain(self) -> None:
        assert to_plain(pandas.DataFrame({"a": [1], "b": ["x"]})) == [{"a": 1, "b": "x"}]
        assert to_plain(pandas.Series([1, 2])) == [1, 2]
        assert to_plain((numpy.int64(1), numpy.float32(0.5), b"x", {"k": numpy.bool_(True)})) == [
            1,
            0.5,
            "x",
            {"k": True},
        ]
