"""``aimatrix transforms``: one command, one answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.cli.harness import Terminal, document
from tests.unit.client.fake_service import API, Fault, model_document

TRANSFORM: dict[str, Any] = {
    "id": "t1",
    "model_id": "m1",
    "model": "wine:1",
    "status": "in-progress",
    "input": "s3://artifacts/rows/",
    "output": "s3://artifacts/answers/",
    "created_at": "2031-05-01T10:00:00.000Z",
}
DONE = {**TRANSFORM, "status": "completed", "cost_usd": 0.0042}
FAILED = {**TRANSFORM, "status": "failed", "failure_reason": "AlgorithmError: See job logs"}
OUTPUT = {"name": "more/a.csv.out", "uri": "s3://artifacts/answers/more/a.csv.out", "size": 4, "url": f"{API}/file"}


def answer(terminal: Terminal, method: str, path: str, body: dict[str, Any], status: int = 200) -> None:
    terminal.service.faults.append(Fault(method, path, httpx.Response(status, json=body)))


@pytest.fixture
def ready(terminal: Terminal) -> Terminal:
    terminal.service.models = [model_document()]
    return terminal


def start(terminal: Terminal, *words: str, ends: dict[str, Any] = DONE) -> Any:
    answer(terminal, "POST", "/transforms", TRANSFORM, 202)
    answer(terminal, "GET", "/transforms/t1", TRANSFORM)
    answer(terminal, "GET", "/transforms/t1", ends)
    return terminal.run("transforms", "start", "wine:1", "s3://artifacts/rows/", *words)


class TestStarting:
    def test_waits_for_the_end_and_says_what_it_cost(self, ready: Terminal) -> None:
        ended = start(ready, "--at-once", "4")
        assert ended.exit_code == 0
        assert "0.0042 USD" in ended.stdout
        (body,) = ready.service.bodies("POST", "/transforms")
        wanted = {"input": "s3://artifacts/rows/", "content_type": "text/csv", "max_concurrent_transforms": 4}
        assert body == wanted

    def test_ends_with_1_where_it_failed(self, ready: Terminal) -> None:
        ended = start(ready, ends=FAILED)
        assert (ended.exit_code, "See job logs" in ended.stdout) == (1, True)

    def test_of_nothing_is_wrong_usage(self, ready: Terminal, tmp_path: Path) -> None:
        ended = ready.run("transforms", "start", "wine:1", str(tmp_path))
        assert (ended.exit_code, "neither" in ended.stderr) == (2, True)


class TestOutputs:
    def test_are_listed_and_fetched(self, ready: Terminal, tmp_path: Path) -> None:
        for _ in range(2):
            answer(ready, "GET", "/outputs", {"outputs": [OUTPUT]})
        ready.service.faults.append(Fault("GET", "/file", httpx.Response(200, content=b"1\n2\n")))
        shown = ready.run("transforms", "outputs", "t1", "--download", str(tmp_path))
        assert "more/a.csv.out" in shown.stdout
        assert (tmp_path / "more" / "a.csv.out").read_bytes() == b"1\n2\n"

    def test_that_lead_elsewhere_are_refused(self, ready: Terminal, tmp_path: Path) -> None:
        for _ in range(2):
            answer(ready, "GET", "/outputs", {"outputs": [{**OUTPUT, "name": "../../a.csv.out"}]})
        ended = ready.run("transforms", "outputs", "t1", "--download", str(tmp_path / "here"))
        assert ended.exit_code != 0
        assert list(tmp_path.rglob("*.out")) == []


def test_are_listed_shown_and_cancelled(ready: Terminal) -> None:
    answer(ready, "GET", "/transforms", {"transforms": [DONE]})
    assert "completed" in ready.run("transforms", "list").stdout
    answer(ready, "GET", "/transforms/t1", FAILED)
    assert "See job logs" in ready.run("transforms", "get", "t1").stdout
    answer(ready, "DELETE", "/transforms/t1", {**TRANSFORM, "status": "cancelling"})
    assert document(ready.run("transforms", "cancel", "t1", "--json"))["status"] == "cancelling"
