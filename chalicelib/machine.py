"""State machines: how executions are started, under names that make a second start harmless; what they caught, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chalicelib.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient


class MachineGone(Unavailable):
    """The state machine was deleted, or is about to be: nothing can be started any more."""


@dataclass(frozen=True)
class StateMachine:
    """A state machine of Step Functions, whose executions are named after what they drive."""

    client: SFNClient
    arn: str

    def start(self, name: str, document: Mapping[str, Any]) -> None:
        """Start an execution; one of this name that runs or ran already is left alone.

        Raises:
            MachineGone: there is no such machine.
        """
        text = json.dumps(document, separators=(",", ":"))
        refused = self.client.exceptions
        try:
            self.client.start_execution(stateMachineArn=self.arn, name=name, input=text)
        except refused.ExecutionAlreadyExists:
            return
        except (refused.StateMachineDoesNotExist, refused.StateMachineDeleting) as error:
            raise MachineGone(
                "The state machine behind this was deleted: what it would do waits until the service is deployed again."
            ) from error


def error_text(error: Any, timed_out: str) -> str | None:
    """What a machine caught, in words: of a failed function its own message, else `name: cause`; None for nothing.

    Args:
        error: what Step Functions gives a `Catch`: `{"Error": name, "Cause": text}`; or words already.
        timed_out: what to say where a state ran into its time limit.
    """
    if not error:
        return None
    if not isinstance(error, Mapping):
        return str(error)
    name, cause = str(error.get("Error") or ""), str(error.get("Cause") or "")
    try:
        message = json.loads(cause)["errorMessage"]
    except (ValueError, KeyError, TypeError):
        if name == "States.Timeout":
            return timed_out
        return ": ".join(part for part in (name, cause) if part) or "unknown error"
    return str(message)
