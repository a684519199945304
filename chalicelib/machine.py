"""Starting executions of state machines, by names that make a second start harmless."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chalicelib.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient


class MachineGone(Unavailable):
    """The state machine was deleted, or is about to be: nothing can be started any more."""


def start_execution(client: SFNClient, arn: str, name: str, document: Mapping[str, Any]) -> None:
    """Start an execution; one of this name that runs or ran already is left alone.

    Raises:
        MachineGone: there is no such machine.
    """
    text = json.dumps(document, separators=(",", ":"))
    refused = client.exceptions
    try:
        client.start_execution(stateMachineArn=arn, name=name, input=text)
    except refused.ExecutionAlreadyExists:
        return
    except (refused.StateMachineDoesNotExist, refused.StateMachineDeleting) as error:
        raise MachineGone(
            "The state machine behind this was deleted: what it would do waits until the service is deployed again."
        ) from error
