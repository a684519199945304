"""The queue of the webhooks: events come into it from the bus, and the word that a lane may be looked at now."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from chalicelib.webhooks.store import Lane

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
LONGEST_DELAY = timedelta(seconds=900)
_WORD = "lane"


@dataclass(frozen=True)
class WakeUps:
    """A wake-up is only a hint: the clock finds a lane that is due within a minute, too."""

    client: Callable[[], SQSClient]
    url: str

    def send(self, lane: Lane, delay: timedelta = timedelta()) -> None:
        """Have a lane looked at after a while; later than `LONGEST_DELAY` is left to the clock."""
        if delay > LONGEST_DELAY:
            return
        # Rounded up: who comes early finds nothing due.
        seconds = max(0, -(-delay // timedelta(seconds=1)))
        self.client().send_message(
            QueueUrl=self.url, MessageBody=json.dumps({_WORD: vars(lane)}), DelaySeconds=min(900, seconds)
        )


def lane_of(document: Mapping[str, Any]) -> Lane | None:
    """The lane that a message is about; None for any other message."""
    match document.get(_WORD):
        case {"tenant": str(tenant), "webhook_id": str(webhook_id), "subject": str(subject)}:
            return Lane(tenant, webhook_id, subject)
    return None
