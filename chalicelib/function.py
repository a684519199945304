"""Functions of the template that are called without waiting for what they do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


@dataclass(frozen=True)
class Function:
    """Lambda keeps a call for hours and repeats it when it fails; so whoever is called must take it twice."""

    client: LambdaClient
    arn: str

    def call(self, event: Mapping[str, Any]) -> None:
        self.client.invoke(FunctionName=self.arn, InvocationType="Event", Payload=json.dumps(event).encode())
