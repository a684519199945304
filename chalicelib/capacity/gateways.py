"""What capacity asks of Step Functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chalicelib.aws import error_code

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

_NOBODY_WAITS = frozenset({"TaskDoesNotExist", "TaskTimedOut", "InvalidToken"})


@dataclass(frozen=True)
class Waiters:
    """State machines that wait with a task token."""

    client_of: Callable[[], SFNClient]

    def succeed(self, token: str) -> None:
        """Let the machine go on; nothing happens when it has done so already, or has ended."""
        client = self.client_of()
        try:
            client.send_task_success(taskToken=token, output="{}")
        except client.exceptions.ClientError as error:
            if error_code(error) not in _NOBODY_WAITS:
                raise
