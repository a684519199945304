"""Runs a Lambda function's handler, one invocation after the other; started by path with the workers' own interpreter.

Only the standard library: what the function needs must come from its zip or from what AWS Lambda itself provides (boto3).
The process that is started imports the libraries and then waits; each worker is a fork of it, which takes milliseconds and
shares the memory. The function's own modules are imported after the fork, with the function's environment, as on AWS.

A worker reads lines of JSON on standard input: first {"code_dir", "module", "handler", ...}, then {"event", "ctx"} for
each invocation. It answers with lines of JSON on what was standard output; what the function prints goes to standard error,
which is its log. After each invocation a mark follows the log's last line, so that nobody has to wait and guess whether more
comes. A handler that raises is answered like one that returns, with a mark: as on AWS, that does not end the process.
"""

import contextlib
import importlib
import json
import os
import random
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

# A line no handler prints by accident.
END_OF_LOG = "\x1e end of log \x1e"
# A name no handler returns by accident.
RAISED = "\x1e raised \x1e"
MAX_REQUEST_BYTES = 128 * 1024

# What every function with a client uses, beside the packages of its zip. Importing these reads no environment.
_PROVIDED = (
    "boto3.session",
    "botocore.auth",
    "botocore.client",
    "botocore.endpoint",
    "botocore.httpsession",
    "botocore.parsers",
    "botocore.retries.standard",
    "botocore.serialize",
)


class Context:
    """The context object of one invocation."""

    def __init__(self, init: dict[str, Any], invocation: dict[str, Any]) -> None:
        name = init["function_name"]
        self.function_name = name
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        self.memory_limit_in_mb = init["memory"]
        self.invoked_function_arn = invocation.get("invoked_function_arn") or init["arn"]
        self.aws_request_id = invocation.get("request_id", "")
        self.log_group_name = "/aws/lambda/" + name
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", "")
        self.identity = None
        self.client_context = None
        self._deadline = time.time() + invocation.get("timeout_ms", 3000) / 1000

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._deadline - time.time()) * 1000))


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr
    init = json.loads(sys.stdin.readline())
    sys.path[0] = init["code_dir"]
    try:
        module = importlib.import_module(init["module"])
        handler = getattr(module, init["handler"])
    except BaseException as error:  # noqa: BLE001  (whatever an import raises is the answer)
        answer(answers, {"status": "error", "error": describe(error)})
        return
    answer(answers, {"status": "ready", "cold": True})
    for line in sys.stdin:
        message = json.loads(line)
        answer(answers, invoke(handler, message["event"], Context(init, message.get("ctx") or {})))


def invoke(handler: Any, event: Any, context: Context) -> dict[str, Any]:
    result: dict[str, Any]
    try:
        result = {"status": "ok", "result": handler(event, context)}
        json.dumps(result)
    except Exception as error:  # noqa: BLE001  (whatever a handler raises is its answer)
        traceback.print_exc()
        result = {"status": "ok", "result": {RAISED: describe(error)}}
    sys.stderr.write(END_OF_LOG + "\n")
    sys.stderr.flush()
    return result


def describe(error: BaseException) -> str:
    """The error document AWS Lambda answers with."""
    own = error.__traceback__
    # The first frame is this module's.
    frames = traceback.format_tb(own.tb_next if own else None)
    return json.dumps({"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": frames})


def answer(stream: TextIO, document: dict[str, Any]) -> None:
    stream.write(json.dumps(document) + "\n")
    stream.flush()


def breed(control: socket.socket, code_dir: str) -> None:
    """Fork a worker for each request on the control socket: its environment, and three descriptors for its streams."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    sys.path[0] = code_dir
    for name in (*_PROVIDED, *libraries(Path(code_dir))):
        # A library that cannot be imported alone will say so to the function that wants it.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    while True:
        message, descriptors, _flags, _address = socket.recv_fds(control, MAX_REQUEST_BYTES, 3)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            control.close()
            become_worker(json.loads(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(str(pid).encode())


def become_worker(request: dict[str, Any], descriptors: list[int]) -> None:
    """Be a process as if it had been started afresh; never returns."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["directory"])
        time.tzset()
        random.seed()
        main()
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)


def libraries(code_dir: Path) -> list[str]:
    """The packages that were installed into the zip, by what their installer wrote down."""
    names: set[str] = set()
    for record in code_dir.glob("*.dist-info/RECORD"):
        for line in record.read_text(encoding="utf-8").splitlines():
            top, _, rest = line.partition(",")[0].partition("/")
            if top.isidentifier() and rest == "__init__.py":
                names.add(top)
    # Importing it makes what the package itself would load at its first use.
    return sorted(names) + (["pydantic.main"] if "pydantic" in names else [])


if __name__ == "__main__":
    breed(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
