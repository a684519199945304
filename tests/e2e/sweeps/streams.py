"""What the tables' streams call: the ledger, the audit log's chain, the bus."""

from __future__ import annotations

import json
import uuid
from typing import Any

from chalicelib.audit import tasks as audit_tasks
from chalicelib.audit.chain import START
from chalicelib.audit.entry import Action, subject
from chalicelib.events import tasks as event_tasks
from chalicelib.events.request import RedriveRequest, ReplayRequest
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import DEFAULT_TENANT
from chalicelib.jobs import tasks
from tests.e2e.conftest import Cloud
from tests.e2e.sweeps.faulty import Handler
from tests.e2e.sweeps.services import Services, World

# Events belong to the installation.
OPERATOR = Caller(DEFAULT_TENANT, "root", frozenset({"ADMIN"}))


def handlers(on: Services, cloud: Cloud) -> list[Handler]:
    inbox = _Inbox(cloud, on.platform.settings.event_bus)

    def record(world: World) -> dict[str, Any]:
        """The stream's record of a job's first version."""
        settings = on.platform.settings
        key = {"pk": {"S": f"{world.caller.tenant}#{world.job_id}"}, "sk": {"S": "job"}}
        image = on.clients.dynamodb.get_item(TableName=settings.jobs_table, Key=key)["Item"]
        arn = f"arn:aws:dynamodb:us-east-1:000000000000:table/{settings.jobs_table}/stream/1"
        change = {"NewImage": image, "Keys": key, "SequenceNumber": "1"}
        return {"Records": [{"eventSourceARN": arn, "dynamodb": change}]}

    def recorded_once(world: World) -> None:
        changes = on.platform.ledger.changes(world.caller.tenant, world.job_id)
        assert [change.version for change in changes] == [1]

    def published(world: World) -> None:
        """At least once, always with the same id."""
        assert len(inbox.ids_of(world.job_id)) == 1

    def noted() -> World:
        world = on.world()
        on.platform.audit.record(world.caller, Action.CREATE_UPLOAD, subject("upload", "u"))
        return world

    def inbox_record(world: World) -> dict[str, Any]:
        return {"Records": [{"dynamodb": {"Keys": {"pk": {"S": f"inbox#{world.caller.tenant}"}}}}]}

    def chained_once(world: World) -> None:
        found = on.platform.audit_log.verify(world.admin, START, 10)
        assert (found.walk.broken, found.head.seq, found.waiting) == (None, 1, 0)

    def died(world: World) -> dict[str, Any]:
        """A message of the dead-letter queue: the event of a job's submission, as a rule could not deliver it."""
        detail = {
            "eventId": f"event-{world.job_id}",
            "schemaVersion": 1,
            "occurredAt": "2026-03-01T12:00:00.000Z",
            "tenantId": world.caller.tenant,
            "recordVersion": 1,
            "jobId": world.job_id,
        }
        body = json.dumps({"detail-type": "training.job.submitted", "detail": detail})
        return {"Records": [{"messageId": "m", "body": body}]}

    def note(world: World) -> None:
        answer = event_tasks.note_dead_letters(on.platform, died(world))
        # What was not kept comes again.
        assert answer == {"batchItemFailures": []}, answer

    def letters(world: World) -> list[str]:
        return [letter.letter_id for letter in on.platform.events.store.of_subject(subject_of(world))]

    def subject_of(world: World) -> str:
        return f"jobs/{world.caller.tenant}#{world.job_id}"

    def noted_once(world: World) -> None:
        assert letters(world) == [f"event-{world.job_id}"]

    def with_letter() -> World:
        world = on.submitted()
        note(world)
        return world

    def redrive(world: World) -> None:
        on.platform.events.redrive(OPERATOR, RedriveRequest(subject=subject_of(world)))

    def redriven(world: World) -> None:
        """Sent at least once, with its own id, and gone from the list. The function of the template tells of the job too."""
        assert letters(world) == []
        assert f"event-{world.job_id}" in inbox.ids_of(world.job_id, f"event-{world.job_id}")

    def replay(world: World) -> None:
        request = ReplayRequest(since="2026-03-01T12:00:00Z", until="2026-03-01T12:00:01Z", name=world.caller.tenant)
        world.things["replay"] = on.platform.events.start_replay(OPERATOR, request)

    def replayed_once(world: World) -> None:
        name = world.things["replay"].name
        assert on.platform.events.replay(OPERATOR, name).state in {"starting", "running", "completed"}

    return [
        Handler("note_dead_letters", on.submitted, note, noted_once),
        Handler("redriveEvents", with_letter, redrive, redriven),
        Handler("replayEvents", on.world, replay, replayed_once),
        Handler("record_history", on.submitted, on.function(tasks.record_history, record), recorded_once),
        Handler("publish_events", on.submitted, on.function(event_tasks.publish_events, record), published),
        Handler("chain_audit", noted, on.function(audit_tasks.chain_audit, inbox_record), chained_once),
    ]


class _Inbox:
    """A queue that every event of the bus goes to."""

    def __init__(self, cloud: Cloud, bus: str) -> None:
        self._sqs = cloud.boto("sqs")
        name = f"sweep-{uuid.uuid4().hex[:8]}"
        self._url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        events = cloud.boto("events")
        pattern = json.dumps({"detail-type": ["training.job.submitted"]})
        events.put_rule(Name=name, EventBusName=bus, EventPattern=pattern)
        events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "inbox", "Arn": arn}])
        self._seen: dict[str, set[str]] = {}

    def ids_of(self, job_id: str, wanted: str | None = None) -> set[str]:
        """The ids of the events about a job that have come; waits for the wanted one, or the first."""
        silent = 0
        while not self._has(job_id, wanted) and silent < 10:
            answer = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            silent = 0 if answer.get("Messages") else silent + 1
            for message in answer.get("Messages", []):
                detail = json.loads(message["Body"])["detail"]
                self._seen.setdefault(detail["jobId"], set()).add(detail["eventId"])
        return self._seen.get(job_id, set())

    def _has(self, job_id: str, wanted: str | None) -> bool:
        seen = self._seen.get(job_id, set())
        return wanted in seen if wanted else bool(seen)
