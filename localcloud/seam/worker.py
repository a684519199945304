"""Runs a Lambda function's handler, one invocation after the other; started by path with the workers' own interpreter.

Only the standard library: what the function needs must come from its zip or from what AWS Lambda itself provides (boto3).
Lines of JSON in on standard input: first {"code_dir", "module", "handler", ...}, then {"event", "ctx"} for each invocation.
Lines of JSON out on what was standard output; what the function prints goes to standard error, which is its log. After each
invocation a mark follows the log's last line, so that nobody has to wait and guess whether more will come.
"""

import importlib
import json
import os
import sys
import time
import traceback
from typing import Any, TextIO

# A line no handler prints by accident.
END_OF_LOG = "\x1e end of log \x1e"


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
        result = {"status": "error", "error": describe(error), "trace": traceback.format_exc()}
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


if __name__ == "__main__":
    main()
