"""Which arguments a script gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.conventions import hyperparameter_arguments, style_of

DOCUMENT_SCRIPT = """
import argparse
parser = argparse.ArgumentParser()
for option in ("--job-id", "--data-path", "--output-path", "--parameters"):
    parser.add_argument(option)
"""
SAGEMAKER_SCRIPT = """
import argparse, os
parser = argparse.ArgumentParser()
parser.add_argument("--max_depth", type=int)
parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
parser.add_argument("--data-path", default=os.environ.get("SM_CHANNEL_TRAINING"))
parser.add_argument("--output-path", default=os.environ.get("SM_OUTPUT_DATA_DIR"))
"""


@pytest.mark.parametrize(
    ("source", "style"),
    [
        (DOCUMENT_SCRIPT, "document"),
        (SAGEMAKER_SCRIPT, "script_mode"),
        ("add('--job-id'); os.environ['SM_MODEL_DIR']", "document"),
        ("add('--data-path'); add('--output-path')", "document"),
        ("add('--data-path')", "script_mode"),
        ("import os; print(os.environ['SM_CHANNEL_TRAIN'])", "script_mode"),
        ("add('--epochs', default=5)", "script_mode"),
        ("import os; data = os.environ['DATASET_PATH']", "document"),
        ("print('------ done ------')", "document"),
        ("# --job-id is mentioned in a comment only\nadd('--epochs')", "script_mode"),
        ("def f():\n    class C:\n        x = [lambda: {'k': ('--job-id',)}]", "document"),
        ("f'--epochs {1}'", "script_mode"),
        ("this is not python", "document"),
        ("", "document"),
        ("'\\q'", "document"),
    ],
)
def test_the_scripts_own_words_decide(source: str, style: str) -> None:
    assert style_of(source.encode()) == style


@pytest.mark.parametrize("style", ["document", "script_mode"])
def test_a_request_overrides(style: str) -> None:
    assert style_of(DOCUMENT_SCRIPT.encode(), style) == style
    assert style_of(SAGEMAKER_SCRIPT.encode(), style) == style


@given(st.binary(max_size=200))
def test_any_bytes_get_an_answer(source: bytes) -> None:
    assert style_of(source) in {"document", "script_mode"}


def test_hyperparameters_are_sorted_and_written_as_the_toolkit_does() -> None:
    parameters = {"z": 1, "lr": 0.1, "flag": True, "none": None, "list": [1, "a"], "map": {"b": 2, "a": [1]}, "": "x"}
    assert hyperparameter_arguments(parameters) == [
        "", "x", "--flag", "True", "--list", "[1, 'a']", "--lr", "0.1", "--map", "a=[1],b=2", "--none", "", "-z", "1",
    ]  # fmt: skip
