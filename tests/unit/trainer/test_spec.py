"""spec.json: what is accepted, and what a wrong one is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trainer.errors import AgentError
from trainer.spec import Spec
from trainer.variables import is_reserved

GOOD: dict[str, Any] = {
    "schema": 1, "tenant": "t", "user": "u", "job_id": "j", "attempt": 2, "token": "k", "name": "n", "framework": "custom",
    "script": {"uri": "s3://b/dir/train.py"}, "prefix": "s3://b/p/",
}  # fmt: skip


def test_what_may_be_missing_has_a_default() -> None:
    spec = Spec.parse(json.dumps(GOOD).encode())
    assert (spec.script_name, spec.arguments, spec.parameters, spec.dataset_uri) == ("train.py", "auto", {}, None)
    assert (spec.experiment_name, spec.run_name, spec.max_runtime_seconds) == ("n", "j", None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema 1"),
        ({"tenant": ""}, "tenant is missing"),
        ({"attempt": "1"}, "attempt is missing"),
        ({"script": {}}, "script.uri is missing"),
        ({"script": {"uri": "https://x/y"}}, "not an S3 address"),
        ({"script": {"uri": "s3://b/x.py", "name": "../x.py"}}, "not a file name"),
        ({"script": {"uri": "s3://b/dir/"}}, "not a file name"),
        ({"parameters": []}, "parameters is not an object"),
        ({"arguments": "shell"}, "not one of auto, document, script_mode"),
        ({"metric_definitions": [{"name": "x"}]}, "incomplete"),
        ({"prefix": "s3://"}, "not an S3 address"),
    ],
)
def test_a_wrong_one_names_the_field(change: dict[str, Any], message: str) -> None:
    with pytest.raises(AgentError, match=message):
        Spec.parse(json.dumps({**GOOD, **change}).encode())


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"null"])
def test_what_is_not_an_object_is_refused(body: bytes) -> None:
    with pytest.raises(AgentError):
        Spec.parse(body)


@pytest.mark.parametrize(
    "name",
    [
        "AWS_ACCESS_KEY_ID",
        "aws_region",
        "LD_PRELOAD",
        "PYTHONPATH",
        "PATH",
        "SM_HPS",
        "MLFLOW_RUN_ID",
        "AIMATRIX_X",
        "JOB_ID",
    ],
)
def test_reserved_variables(name: str) -> None:
    assert is_reserved(name)


@pytest.mark.parametrize(
    "name", ["OMP_NUM_THREADS", "WANDB_MODE", "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "SMILE", "MY_PATH"]
)
def test_variables_of_the_users_own(name: str) -> None:
    assert not is_reserved(name)
