"""MLflow through the agent's proxy, against a fake server: run, metrics, outages."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.functional.trainer.fake_mlflow import FakeMlflow, serve_mlflow
from tests.functional.trainer.harness import PREFIX, Container, Finished

# A client as small as it gets; the real one has a test of its own.
CLIENT = """
import gzip, json, os, sys, time, urllib.error, urllib.request
RUN = os.environ["MLFLOW_RUN_ID"]
def call(method, path, document=None, headers=None, raw=None):
    body = raw if raw is not None else json.dumps(document).encode() if document is not None else None
    request = urllib.request.Request(os.environ["MLFLOW_TRACKING_URI"] + path, data=body, method=method)
    request.add_header("Authorization", "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"])
    request.add_header("Content-Type", "application/json")
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read()
def post(path, **document):
    return json.loads(call("POST", "/api/2.0/mlflow/" + path, document))
def get(name):
    return json.loads(call("GET", "/api/2.0/mlflow/" + name))
def metric(name, value, step=0, run=RUN):
    post("runs/log-metric", run_id=run, run_uuid=run, key=name, value=value, step=step, timestamp=int(time.time() * 1000))
"""


@pytest.fixture
def mlflow() -> Iterator[FakeMlflow]:
    with serve_mlflow() as fake:
        yield fake


@pytest.fixture
def tracked(container: Container, mlflow: FakeMlflow) -> Container:
    container.environ["AIMATRIX_MLFLOW_TRACKING_URI"] = mlflow.url
    return container


def ok(finished: Finished) -> Finished:
    assert finished.code == 0, (finished.stdout.decode(), finished.stderr.decode())
    return finished


class TestRun:
    def test_it_exists_before_the_script_starts(self, tracked: Container, mlflow: FakeMlflow) -> None:
        tracked.script = """
from os import environ
for part in ("NAME", "ID"): print(environ["MLFLOW_EXPERIMENT_" + part], environ["MLFLOW_RUN_" + part])
"""
        finished = ok(tracked.run())
        (run,) = mlflow.runs.values()
        assert finished.script_lines() == ["iris job-1", f"1 {run['info']['run_id']}"]
        (line,) = finished.structured("run")
        assert (line["experiment_id"], line["run_id"]) == ("1", run["info"]["run_id"])
        assert finished.stdout.index(b'"t":"run"') < finished.stdout.index(b'"t":"started"')
        assert finished.manifest["run"] == {"experiment_id": "1", "run_id": run["info"]["run_id"]}

    def test_it_carries_the_jobs_identity_and_parameters(self, tracked: Container, mlflow: FakeMlflow) -> None:
        tracked.spec["parameters"] = {"max_depth": 6, "name": "x" * 7000, "odd$name": True}
        ok(tracked.run())
        (run,) = mlflow.runs.values()
        tags = {tag["key"]: tag["value"] for tag in run["info"]["tags"]}
        assert tags["mlflow.user"] == "ann"
        assert tags["mlflow.source.name"] == "train.py"
        assert (tags["aimatrix.job_id"], tags["aimatrix.attempt"]) == ("job-1", "1")
        assert run["info"]["run_name"] == "job-1"
        assert run["params"] == {"max_depth": "6", "name": "x" * 6000, "odd_name": "True"}

    def test_another_tenants_experiment_has_the_tenant_in_front(self, tracked: Container, mlflow: FakeMlflow) -> None:
        tracked.spec["tenant"] = "acme"
        ok(tracked.run())
        assert list(mlflow.experiments) == ["acme/iris"]

    @pytest.mark.parametrize(
        ("script", "status"), [("pass", "FINISHED"), ("raise SystemExit(2)", "FAILED")], ids=["well", "badly"]
    )
    def test_it_ends_as_the_script_does(self, tracked: Container, mlflow: FakeMlflow, script: str, status: str) -> None:
        tracked.script = script
        tracked.run()
        (run,) = mlflow.runs.values()
        assert run["info"]["status"] == status
        assert run["info"]["end_time"] >= run["info"]["start_time"]

    def test_it_is_killed_with_the_job(self, tracked: Container, mlflow: FakeMlflow) -> None:
        tracked.script = "import time\nprint('ready')\ntime.sleep(600)\n"

        def stop(process: subprocess.Popen[bytes], line: bytes) -> None:
            if line == b"ready\n":
                process.terminate()

        tracked.run(when=stop)
        (run,) = mlflow.runs.values()
        assert run["info"]["status"] == "KILLED"

    def test_it_fails_when_the_script_never_started(self, tracked: Container, mlflow: FakeMlflow) -> None:
        tracked.spec["dataset"] = {"uri": "s3://artifacts/nothing/"}
        assert tracked.run().code == 1
        assert all(run["info"]["status"] == "FAILED" for run in mlflow.runs.values())


class TestMetrics:
    def test_they_are_reported_within_a_quarter_of_a_second(self, tracked: Container) -> None:
        tracked.script = CLIENT + "metric('loss', 0.5, 3)\nprint('LOGGED')\ntime.sleep(1.5)\n"
        times: dict[str, float] = {}

        def note(_: subprocess.Popen[bytes], line: bytes) -> None:
            times.setdefault("metrics" if b'"t":"metrics"' in line else line.strip().decode()[:6], time.monotonic())

        finished = ok(tracked.run(when=note))
        assert finished.points() == [("loss", 0.5, 3)]
        assert times["metrics"] - times["LOGGED"] < 0.25

    def test_every_form_of_the_call_counts(self, tracked: Container, mlflow: FakeMlflow) -> None:
        tracked.script = (
            CLIENT
            + """
metrics = [{"key": f"m{i}", "value": i, "step": 1, "timestamp": 1} for i in range(3)]
post("runs/log-batch", run_id=RUN, metrics=metrics)
zipped = {"run_id": RUN, "metrics": [{"key": "zipped", "value": "NaN", "timestamp": "7"}]}
body = gzip.compress(json.dumps(zipped).encode())
call("POST", "/api/3.0/mlflow/runs/log-batch", raw=body, headers={"Content-Encoding": "gzip"})
restore = gzip.compress(json.dumps({"run_id": RUN}).encode())
call("POST", "/api/2.0/mlflow/runs/restore", raw=restore, headers={"Content-Encoding": "gzip"})
ajax = {"run_uuid": RUN, "run_id": RUN, "key": "ajax", "value": 1, "timestamp": 1}
call("POST", "/ajax-api/2.0/mlflow/runs/log-metric", ajax)
"""
        )
        finished = ok(tracked.run())
        assert finished.points() == [
            ("m0", 0.0, 1),
            ("m1", 1.0, 1),
            ("m2", 2.0, 1),
            ("zipped", "NaN", 0),
            ("ajax", 1.0, 0),
        ]
        (run,) = mlflow.runs.values()
        assert [name for name, _, _ in run["metrics"]] == ["m0", "m1", "m2", "zipped", "ajax"]
        # Also a call that is handed on at once, and not read, arrives with the real run's id, and not compressed.
        assert mlflow.calls("runs/restore") == [{"run_id": run["info"]["run_id"]}]

    def test_a_child_runs_metrics_are_its_own(self, tracked: Container, mlflow: FakeMlflow) -> None:
        tracked.script = (
            CLIENT
            + """
child = post("runs/create", tags=[{"key": "mlflow.parentRunId", "value": RUN}])["run"]["info"]["run_id"]
metric("inner", 1, run=child)
metric("outer", 2)
"""
        )
        finished = ok(tracked.run())
        assert finished.points() == [("outer", 2.0, 0)]
        assert [run["metrics"] for run in mlflow.runs.values()] == [[("outer", 2, 0)], [("inner", 1, 0)]]

    def test_what_the_server_refuses_is_not_reported(self, tracked: Container) -> None:
        tracked.script = (
            CLIENT
            + """
try: metric("x", 1, run="f" * 32)
except urllib.error.HTTPError as error: print(error.code)
"""
        )
        finished = ok(tracked.run())
        assert finished.script_lines() == ["404"]
        assert finished.points() == []

    def test_printed_metrics_are_logged_to_the_run(self, tracked: Container, mlflow: FakeMlflow) -> None:
        tracked.script = "print('loss=0.5')\nprint('loss=0.25')\n"
        tracked.spec["metric_definitions"] = [{"name": "loss", "regex": "loss=([0-9.]+)"}]
        finished = ok(tracked.run())
        (run,) = mlflow.runs.values()
        assert run["metrics"] == [("loss", 0.5, 0), ("loss", 0.25, 1)]
        assert finished.points() == [("loss", 0.5, 0), ("loss", 0.25, 1)]

    def test_a_metric_named_epoch_is_progress(self, tracked: Container) -> None:
        tracked.script = CLIENT + "metric('epoch', 5)\n"
        tracked.spec["parameters"] = {"epochs": 20}
        tracked.spec["arguments"] = "document"
        (line,) = ok(tracked.run()).structured("progress")
        assert (line["epoch"], line["epochs"], line["percent"]) == (5, 20, 25.0)


class TestGatewayRules:
    def test_an_experiment_by_any_name_is_the_jobs(self, tracked: Container, mlflow: FakeMlflow) -> None:
        tracked.script = (
            CLIENT
            + """
print(get("experiments/get-by-name?experiment_name=secret")["experiment"]["experiment_id"])
print(post("experiments/create", name="mine")["experiment_id"])
"""
        )
        assert ok(tracked.run()).script_lines() == ["1", "1"]
        assert list(mlflow.experiments) == ["iris"]

    def test_the_first_run_that_a_script_creates_is_the_jobs(self, tracked: Container, mlflow: FakeMlflow) -> None:
        tracked.script = (
            CLIENT
            + """
ids = [post("runs/create", run_name=n, tags=[{"key": "who", "value": n}])["run"]["info"]["run_id"] for n in "ab"]
print(ids[0] == RUN, ids[1] == RUN)
"""
        )
        assert ok(tracked.run()).script_lines() == ["True False"]
        job, child = mlflow.runs.values()
        assert job["tags"]["who"] == "a"
        assert {"key": "mlflow.parentRunId", "value": job["info"]["run_id"]} in child["info"]["tags"]

    def test_the_run_keeps_its_name(self, tracked: Container, mlflow: FakeMlflow) -> None:
        tracked.script = CLIENT + "post('runs/update', run_id=RUN, run_name='mine', status='RUNNING')\n"
        ok(tracked.run())
        assert next(iter(mlflow.runs.values()))["info"]["run_name"] == "job-1"

    def test_another_spelling_of_a_parameter_is_kept_beside_it(self, tracked: Container, mlflow: FakeMlflow) -> None:
        tracked.spec |= {"parameters": {"depth": 6, "rate": 0.1}, "arguments": "document"}
        tracked.script = (
            CLIENT
            + """
post("runs/log-parameter", run_id=RUN, key="depth", value="6.0")
post("runs/log-batch", run_id=RUN, params=[{"key": "rate", "value": "0.1"}, {"key": "new", "value": "1"}])
"""
        )
        ok(tracked.run())
        (run,) = mlflow.runs.values()
        assert run["params"] == {"depth": "6", "rate": "0.1", "script.depth": "6.0", "new": "1"}

    def test_nobody_without_the_token_is_answered(self, tracked: Container, mlflow: FakeMlflow) -> None:
        tracked.script = (
            CLIENT
            + """
for token in ("", "wrong"):
    os.environ["MLFLOW_TRACKING_TOKEN"] = token
    try: get("runs/get?run_id=" + RUN)
    except urllib.error.HTTPError as error: print(error.code)
"""
        )
        assert ok(tracked.run()).script_lines() == ["401", "401"]
        assert not [request for request in mlflow.requests if "runs/get" in request.path]

    def test_the_token_is_not_passed_on(self, tracked: Container, mlflow: FakeMlflow) -> None:
        tracked.script = CLIENT + "metric('x', 1)\ncall('PUT', '/api/2.0/mlflow-artifacts/artifacts/a', raw=b'1')\n"
        ok(tracked.run())
        assert not [request for request in mlflow.requests if "authorization" in request.headers]

    def test_artifacts_stream_both_ways(self, tracked: Container, mlflow: FakeMlflow) -> None:
        tracked.script = (
            CLIENT
            + """
import hashlib
body = os.urandom(30_000_000)
path = "/api/2.0/mlflow-artifacts/artifacts/1/x/artifacts/big"
call("PUT", path, raw=body)
print(hashlib.sha256(body).hexdigest())
print(hashlib.sha256(call("GET", path)).hexdigest())
def pieces():
    for _ in range(10): yield b"y" * 1000
import http.client
from urllib.parse import urlsplit
connection = http.client.HTTPConnection(urlsplit(os.environ["MLFLOW_TRACKING_URI"]).netloc)
connection.request("PUT", path + "2", body=pieces(), encode_chunked=True, headers={
    "Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"], "Transfer-Encoding": "chunked"})
print(connection.getresponse().status)
"""
        )
        finished = ok(tracked.run())
        sent, received, status = finished.script_lines()
        big, pieces = mlflow.artifacts.values()
        assert sent == received == hashlib.sha256(big).hexdigest()
        assert (status, pieces) == ("200", b"y" * 10_000)


class TestOutage:
    def test_a_job_runs_through_without_any_server(self, tracked: Container, mlflow: FakeMlflow) -> None:
        mlflow.go()
        # Nobody waits half a minute here: the stop makes the agent give up on the server soon.
        tracked.script = (
            CLIENT
            + """
assert get("runs/get?run_id=" + RUN)["run"]["info"]["run_id"] == RUN
assert get("experiments/get-by-name?experiment_name=x")["experiment"]["experiment_id"] == os.environ["MLFLOW_EXPERIMENT_ID"]
metric("loss", 0.5)
try: call("PUT", "/api/2.0/mlflow-artifacts/artifacts/a", raw=b"1")
except urllib.error.HTTPError as error: print(error.code, error.headers["Retry-After"])
print("ready", flush=True)
time.sleep(600)
"""
        )

        def stop(process: subprocess.Popen[bytes], line: bytes) -> None:
            if line == b"ready\n":
                process.terminate()

        tracked.environ["AIMATRIX_MLFLOW_PATIENCE_SECONDS"] = "0.2"
        finished = tracked.run(when=stop)
        assert finished.manifest["reason"].startswith("the job was stopped")
        assert "503 2" in finished.script_lines()
        assert finished.points() == [("loss", 0.5, 0)]
        assert finished.structured("run") == []
        assert finished.manifest["run"] is None
        rest = tracked.s3.objects[PREFIX + "mlflow-undelivered.jsonl"].decode().splitlines()
        assert any("loss" in line for line in rest)
        assert finished.manifest["artifacts"][-1]["name"] == "mlflow-undelivered.jsonl"

    def test_what_was_logged_while_it_was_away_arrives_in_order_once_it_is_back(
        self, tracked: Container, mlflow: FakeMlflow
    ) -> None:
        mlflow.go()
        tracked.script = (
            CLIENT
            + """
for step in range(20): metric("early", step, step)
print("come back")
while len(get("runs/get?run_id=" + RUN)["run"].get("metrics", [])) < 20: time.sleep(0.02)
for step in range(20): metric("late", step, step)
"""
        )

        def come(_: subprocess.Popen[bytes], line: bytes) -> None:
            if line == b"come back\n":
                mlflow.come()

        finished = ok(tracked.run(when=come))
        (run,) = mlflow.runs.values()
        assert run["metrics"] == [(name, step, step) for name in ("early", "late") for step in range(20)]
        assert run["info"]["status"] == "FINISHED"
        (line,) = finished.structured("run")
        assert finished.manifest["run"]["run_id"] == line["run_id"] == run["info"]["run_id"]
        assert len(finished.points()) == 40

    def test_a_server_that_goes_away_in_the_middle_costs_nothing(self, tracked: Container, mlflow: FakeMlflow) -> None:
        tracked.script = (
            CLIENT
            + """
metric("x", 0, 0)
print("go away", flush=True)
sys.stdin.read()
while True:
    try: get("experiments/search")
    except urllib.error.HTTPError as error:
        if error.code == 503: break
    time.sleep(0.02)
for step in range(1, 10): metric("x", step, step)
print("come back", flush=True)
metric("x", 10, 10)
"""
        )

        def react(_: subprocess.Popen[bytes], line: bytes) -> None:
            if line == b"go away\n":
                mlflow.go()
            if line == b"come back\n":
                mlflow.come()

        ok(tracked.run(when=react))
        (run,) = mlflow.runs.values()
        assert run["metrics"] == [("x", step, step) for step in range(11)]

    def test_a_server_that_refuses_does_not_fail_the_job(self, tracked: Container) -> None:
        tracked.environ["AIMATRIX_MLFLOW_TRACKING_URI"] = tracked.s3.url
        tracked.environ["AIMATRIX_MLFLOW_PATIENCE_SECONDS"] = "0.2"
        tracked.script = CLIENT + "metric('loss', 1)\n"
        finished = ok(tracked.run())
        assert finished.points() == [("loss", 1.0, 0)]
        assert any("MLflow is tried again" in line for line in finished.lines())


def test_an_address_that_is_none_fails_the_job_clearly(container: Container) -> None:
    container.environ["AIMATRIX_MLFLOW_TRACKING_URI"] = "ftp://somewhere"
    finished = container.run()
    assert finished.code == 1
    assert "neither an http(s) address nor an ARN" in json.loads(json.dumps(finished.manifest["reason"]))
