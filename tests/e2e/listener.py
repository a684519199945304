"""What the stack's bus tells of one tenant."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.e2e.conftest import Cloud


class Listener:
    """A queue behind a rule for all events of one tenant."""

    def __init__(self, cloud: Cloud, tenant: str) -> None:
        name = f"listening-to-{tenant}"
        self._sqs, events = cloud.boto("sqs"), cloud.boto("events")
        bus = next(each["Name"] for each in events.list_event_buses()["EventBuses"] if each["Name"] != "default")
        self._queue = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])["Attributes"]
        pattern = {"source": ["aimatrix"], "detail": {"tenantId": [tenant]}}
        events.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps(pattern))
        target = {"Id": "queue", "Arn": attributes["QueueArn"]}
        events.put_targets(Rule=name, EventBusName=bus, Targets=[target])
        self.seen: list[dict[str, Any]] = []

    def until(self, kind: str, **detail: Any) -> dict[str, Any]:
        """Wait for an event; what came before it is seen too."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            answer = self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            for message in answer.get("Messages", []):
                self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
                self.seen.append(json.loads(message["Body"]))
            for event in self.seen:
                if event["detail-type"] == kind and detail.items() <= event["detail"].items():
                    return event
        raise AssertionError(f"no {kind} among {[event['detail-type'] for event in self.seen]}")

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event["detail"] for event in self.seen if event["detail-type"] == kind]
