"""The seam's rules that need no running cloud."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from localcloud.seam import batch_shapes, functions, interpreter, worker
from localcloud.seam.executions import StartClock
from localcloud.seam.machines import error_name
from localcloud.seam.pool import Pool
from localcloud.seam.quiet import LONGEST_SECONDS, QUIET_SECONDS, Quiet
from localcloud.seam.stores import Adopting

CONFIG = {
    "FunctionName": "f",
    "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:f",
    "Runtime": "provided.al2",
    "Version": "$LATEST",
}


class TestStartClock:
    def test_replaces_the_pause_before_an_execution_and_no_other(self) -> None:
        slept: list[float] = []
        begun: list[bool] = []
        clock = StartClock(lambda: begun.append(True), slept.append)
        for seconds in (0.15, 1, 0.1, 60):
            clock.sleep(seconds)
        assert slept == [1, 0.1, 60]
        assert begun == [True]
        assert clock.monotonic() > 0


class TestQuiet:
    """A clock that moves only when somebody sleeps."""

    def test_is_at_once_when_nothing_was_asked(self) -> None:
        assert self.waited(lambda _quiet: None) == 0

    def test_comes_a_moment_after_the_last_answer(self) -> None:
        def one_request(quiet: Quiet) -> None:
            quiet.begin()
            quiet.end()

        assert self.waited(one_request) == pytest.approx(QUIET_SECONDS)

    def test_is_not_awaited_for_ever(self) -> None:
        assert self.waited(Quiet.begin) == pytest.approx(LONGEST_SECONDS, abs=QUIET_SECONDS)

    def test_is_watched_for_by_one_of_all_that_wait(self) -> None:
        looking, go_on = threading.Event(), threading.Event()
        looks: list[int] = []

        def sleep(_seconds: float) -> None:
            looks.append(threading.get_ident())
            looking.set()
            if len(looks) == 1:
                go_on.wait(timeout=10)
                quiet.end()

        quiet = Quiet(lambda: float(len(looks)) / 50, sleep)
        quiet.begin()
        waiting = [threading.Thread(target=quiet.wait) for _ in range(8)]
        for each in waiting:
            each.start()
        assert looking.wait(timeout=10)
        go_on.set()
        for each in waiting:
            each.join(timeout=10)
        assert not any(each.is_alive() for each in waiting)
        assert len(set(looks)) == 1

    def waited(self, prepare: Callable[[Quiet], None]) -> float:
        clock = [100.0]

        def sleep(seconds: float) -> None:
            clock[0] += seconds

        quiet = Quiet(lambda: clock[0], sleep)
        prepare(quiet)
        quiet.wait()
        return clock[0] - 100.0


class TestErrorName:
    SDK = "arn:aws:states:::aws-sdk:sagemaker:deleteEndpoint"
    OPTIMIZED = "arn:aws:states:::sagemaker:createTrainingJob.sync"

    @pytest.mark.parametrize(
        ("service", "resource", "code", "name"),
        [
            ("sagemaker", OPTIMIZED, "ResourceInUse", "SageMaker.ResourceInUseException"),
            ("sagemaker", OPTIMIZED, "ResourceLimitExceeded", "SageMaker.ResourceLimitExceededException"),
            ("sagemaker", OPTIMIZED, "ConflictException", "SageMaker.ConflictException"),
            ("sagemaker", OPTIMIZED, "ValidationException", "SageMaker.AmazonSageMakerException"),
            ("sagemaker", OPTIMIZED, "ThrottlingException", "SageMaker.AmazonSageMakerException"),
            ("sagemaker", SDK, "ResourceNotFound", "SageMaker.ResourceNotFoundException"),
            ("sagemaker", SDK, "ValidationException", "SageMaker.SageMakerException"),
            ("batch", "arn:aws:states:::batch:submitJob.sync", "ClientException", "Batch.ClientException"),
            ("batch", "arn:aws:states:::batch:submitJob.sync", "AccessDeniedException", "Batch.AWSBatchException"),
        ],
    )
    def test_is_the_one_step_functions_gives(self, service: str, resource: str, code: str, name: str) -> None:
        assert error_name(service, resource, code) == name


class TestBatchShapes:
    def test_spell_members_and_leave_the_users_words(self) -> None:
        arguments = {
            "JobName": "j",
            "ContainerOverrides": {"Environment": [{"Name": "WHO", "Value": "me"}], "Vcpus": 2},
            "Tags": {"Some:Tag": "Value"},
            "Parameters": {"KeptAsItIs": "x"},
        }
        assert batch_shapes.from_machine("SubmitJob", arguments) == {
            "jobName": "j",
            "containerOverrides": {"environment": [{"name": "WHO", "value": "me"}], "vcpus": 2},
            "tags": {"Some:Tag": "Value"},
            "parameters": {"KeptAsItIs": "x"},
        }

    def test_keep_a_machines_unknown_member_for_the_api_to_refuse(self) -> None:
        assert batch_shapes.from_machine("SubmitJob", {"NoSuchMember": 1}) == {"NoSuchMember": 1}

    def test_leave_out_what_a_type_has_for_its_update_only(self) -> None:
        properties = {"ComputeEnvironmentName": "e", "UpdatePolicy": {}, "ReplaceComputeEnvironment": True}
        assert batch_shapes.from_template("CreateComputeEnvironment", properties) == {"computeEnvironmentName": "e"}

    def test_give_a_templates_strings_the_type_of_the_property(self) -> None:
        properties = {"ComputeResources": {"MaxvCpus": "16", "MinvCpus": "0", "Type": "EC2", "Subnets": ["1"]}}
        assert batch_shapes.from_template("CreateComputeEnvironment", properties) == {
            "computeResources": {"maxvCpus": 16, "minvCpus": 0, "type": "EC2", "subnets": ["1"]}
        }

    def test_answer_in_the_spelling_of_a_state_machine(self) -> None:
        job = {"jobId": "1", "container": {"exitCode": 0}, "tags": {"a:b": "c"}, "attempts": [{"startedAt": 1}]}
        assert batch_shapes.from_job(job) == {
            "JobId": "1",
            "Container": {"ExitCode": 0},
            "Tags": {"a:b": "c"},
            "Attempts": [{"StartedAt": 1}],
        }


class EndlessQueue(queue.Queue[str]):
    """Fails the test when somebody waits for more than there is."""

    def get(self, block: bool = True, timeout: float | None = None) -> str:
        return super().get(block=False)


class TestLogOfAnInvocation:
    def drained(self, *lines: str) -> tuple[str, int]:
        one = functions.Worker("f", CONFIG, b"")
        one._stderr_queue = EndlessQueue()
        for line in lines:
            one._stderr_queue.put(line)
        return one._drain_stderr_bounded(), one._stderr_queue.qsize()

    def test_ends_with_its_mark(self) -> None:
        log, left = self.drained("one", "two", worker.END_OF_LOG, "of the next invocation")
        assert log == "one\ntwo"
        assert left == 1

    def test_may_be_empty(self) -> None:
        assert self.drained(worker.END_OF_LOG) == ("", 0)

    def test_without_a_mark_is_what_there_is(self) -> None:
        assert self.drained("killed in the middle") == ("killed in the middle", 0)


def _raising(_event: object, _context: object) -> None:
    raise LookupError("nothing there")


class TestErrorTypes:
    def fail(self, message: str) -> dict[str, Any]:
        body = {"errorMessage": message, "errorType": "Runtime.HandlerError"}
        return functions.with_error_types(lambda: {"body": body, "error": True})()["body"]  # type: ignore[no-any-return]

    def test_are_those_of_the_exception(self) -> None:
        try:
            raise LookupError("nothing there")
        except LookupError as error:
            described = worker.describe(error)
        assert self.fail(described)["errorType"] == "LookupError"
        assert self.fail(described)["errorMessage"] == "nothing there"

    def test_come_back_from_a_worker_that_lives_on(self) -> None:
        answered = worker.invoke(_raising, {}, cast("Any", None))
        assert answered["status"] == "ok"
        result = functions.with_error_types(lambda: {"body": answered["result"], "log": "said"})()
        assert (result["error"], result["log"]) == (True, "said")
        assert (result["body"]["errorType"], result["body"]["errorMessage"]) == ("LookupError", "nothing there")

    def test_stay_when_there_was_no_exception(self) -> None:
        assert self.fail("Task timed out after 3.00 seconds")["errorType"] == "Runtime.HandlerError"


class TestWorkerEnvironment:
    def test_is_what_the_function_and_lambda_say(self) -> None:
        environ = {
            "PATH": "/bin",
            "SECRET": "x",
            "GATEWAY_PORT": "1",
            "AWS_ENDPOINT_URL_BATCH": "http://c",
            "AUTH": "1",
        }
        config = {**CONFIG, "Environment": {"Variables": {"OWN": "1", "AWS_REGION": "mars-1"}}, "Role": "r/x"}
        variables = functions.environment(config, Path("/code"), environ)
        assert variables["OWN"] == "1"
        assert variables["AWS_REGION"] == "us-east-1"
        assert variables["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
        assert variables["AWS_ENDPOINT_URL_BATCH"] == "http://c"
        assert variables["LAMBDA_TASK_ROOT"] == "/code"
        assert not {"SECRET", "AUTH", "GATEWAY_PORT"} & set(variables)


class TestInterpreter:
    def test_links_what_lambda_provides_and_nothing_else(self, tmp_path: Path) -> None:
        python = interpreter.build(tmp_path)
        assert python.is_symlink()
        packages = {path.stem for path in tmp_path.glob("lib/*/site-packages/*")}
        assert packages == set(interpreter.PROVIDED)
        assert interpreter.build(tmp_path) == python


class TestPool:
    """Three invocations of one function that has one worker."""

    @pytest.fixture
    def acquire(self) -> Callable[[Pool], Any]:
        name = f"pool-{time.monotonic_ns()}"
        return lambda pool: pool.acquire(name, {**CONFIG, "FunctionName": name}, b"")

    def test_lends_a_free_worker_again(self, acquire: Callable[[Pool], Any]) -> None:
        pool = Pool()
        first, how = acquire(pool)
        assert how == "spawn"
        pool.release(first)
        assert acquire(pool) == (first, "reused")

    def test_waits_a_moment_for_a_busy_worker(self, acquire: Callable[[Pool], Any]) -> None:
        pool = Pool(patience=30)
        first, _ = acquire(pool)
        timer = threading.Timer(0.05, pool.release, [first])
        timer.start()
        assert acquire(pool) == (first, "reused")
        timer.join()

    def test_starts_another_when_patience_is_over(self, acquire: Callable[[Pool], Any]) -> None:
        pool = Pool(patience=0)
        first, _ = acquire(pool)
        second, how = acquire(pool)
        assert how == "spawn"
        assert second is not first

    def test_lets_only_a_few_start_at_once(self, acquire: Callable[[Pool], Any]) -> None:
        pool = Pool(starting=1, patience=0)
        acquire(pool)
        pool.begin_start()
        timer = threading.Timer(0.05, pool.end_start)
        timer.start()
        begin = time.monotonic()
        assert acquire(pool)[1] == "spawn"
        assert time.monotonic() - begin >= 0.04
        timer.join()


class TestAdopting:
    def test_gives_a_new_container_what_the_old_one_held(self) -> None:
        held = {"a": [1, 2]}
        store = Adopting(lambda key, container: container.update(items=held.pop(key, [])))
        store["a"] = {}
        assert store.setdefault("a", {}) == {"items": [1, 2]}
        assert store.setdefault("b", {}) == {"items": []}

    def test_notices_each_way_to_drop(self) -> None:
        dropped: list[Any] = []
        store = Adopting(lambda key, container: None, dropped.append)
        for key in "abc":
            store[key] = {}
        store.pop("a")
        del store["b"]
        store.pop("none", None)
        assert dropped == ["a", "b"]
        assert list(store) == ["c"]

    def test_does_not_adopt_twice(self) -> None:
        adopted: list[Any] = []
        store = Adopting(lambda key, container: adopted.append(key))
        store["a"] = {}
        store["a"] = {"changed": True}
        store.update({"a": {}, "b": {}})
        assert adopted == ["a", "b"]


class TestWorkerLibraries:
    def test_are_what_was_installed_into_the_zip(self, tmp_path: Path) -> None:
        info = tmp_path / "thing-1.0.dist-info"
        info.mkdir()
        (info / "RECORD").write_text(
            "thing/__init__.py,sha256=x,1\nthing/part.py,,\nthing-1.0.dist-info/RECORD,,\n../bin/x,,\n"
        )
        assert worker.libraries(tmp_path) == ["thing"]

    def test_describe_an_error_as_lambda_does(self) -> None:
        described = json.loads(worker.describe(ValueError("no")))
        assert described == {"errorMessage": "no", "errorType": "ValueError", "stackTrace": []}
