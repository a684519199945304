"""The pepper: the secret that keys are hashed with, so that a copy of the table alone verifies nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from chalicelib.aws import SecretsClient


@dataclass(frozen=True)
class Pepper:
    """
    Args:
        arn: of the secret that the template makes.
    """

    client: Callable[[], SecretsClient]
    arn: str

    @cached_property
    def value(self) -> bytes:
        """Read once per process."""
        answer = self.client().get_secret_value(SecretId=self.arn)
        return str(answer["SecretString"]).encode()
