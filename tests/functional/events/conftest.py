"""The room `events` on moto's DynamoDB, with a bus and a stream that do as they are told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from chalicelib.events.changes import events_of
from chalicelib.events.gateways import Archive, Bus, Message, Streams
from chalicelib.events.routes import rooms
from chalicelib.events.service import EventService
from chalicelib.events.shapes import JobStatusChanged
from chalicelib.events.store import DeadLetterStore
from chalicelib.events.tasks import change_of
from chalicelib.events.undelivered import Undelivered, change_from
from chalicelib.identity.caller import Caller
from chalicelib.table import Table
from tests.functional.audit_log import AuditLog
from tests.functional.rest import Gateway
from tests.functional.tables import create_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

OPERATOR = Caller("default", "root", frozenset({"ADMIN"}))
ELSEWHERE = Caller("acme", "root", frozenset({"ADMIN"}))
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ARCHIVE = "arn:aws:events:us-east-1:000000000000:archive/stack-EventArchive"


def aws_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, "Call")


class FakeEventBridge:
    """A bus that refuses the events it was told to, and an archive that notes what it is asked."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.refuses: dict[str, str] = {}
        self.replays: dict[str, dict[str, Any]] = {}
        self.is_full = False

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803  boto3 names it so
        answers = []
        for entry in Entries:
            detail = json.loads(entry["Detail"])
            if code := self.refuses.get(detail["eventId"]):
                answers.append({"ErrorCode": code, "ErrorMessage": "no"})
            else:
                self.taken.append(detail)
                answers.append({"EventId": "aws"})
        failed = sum("ErrorCode" in answer for answer in answers)
        return {"FailedEntryCount": failed, "Entries": answers}

    def start_replay(self, **arguments: Any) -> None:
        if self.is_full:
            raise aws_error("LimitExceededException")
        if arguments["ReplayName"] in self.replays:
            raise aws_error("ResourceAlreadyExistsException")
        self.replays[arguments["ReplayName"]] = arguments

    def describe_replay(self, ReplayName: str) -> dict[str, Any]:  # noqa: N803
        if ReplayName not in self.replays:
            raise aws_error("ResourceNotFoundException")
        return {"State": "STARTING", "ReplayStartTime": NOW}

    def describe_rule(self, Name: str, EventBusName: str) -> dict[str, Any]:  # noqa: N803
        if Name != "nightly":
            raise aws_error("ResourceNotFoundException")
        return {"Arn": f"arn:aws:events:us-east-1:000000000000:rule/{EventBusName}/{Name}"}

    @property
    def seen(self) -> list[str]:
        return [detail["eventId"] for detail in self.taken]


class FakeStream:
    """Holds records under their numbers until they are forgotten."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.is_trimmed = False

    def get_shard_iterator(self, **arguments: Any) -> dict[str, str]:
        if self.is_trimmed:
            raise aws_error("TrimmedDataAccessException")
        return {"ShardIterator": arguments["SequenceNumber"]}

    def get_records(self, ShardIterator: str, Limit: int) -> dict[str, Any]:  # noqa: N803
        left = [each for each in self.records if int(each["dynamodb"]["SequenceNumber"]) >= int(ShardIterator)]
        # Two at a time: a batch that does not fit into one answer.
        answer: dict[str, Any] = {"Records": left[:2]}
        if len(left) > 2:
            answer["NextShardIterator"] = left[2]["dynamodb"]["SequenceNumber"]
        return answer


@dataclass
class Events:
    service: EventService
    undelivered: Undelivered
    aws: FakeEventBridge
    stream: FakeStream
    log: AuditLog
    moment: list[datetime]
    api: Gateway = field(init=False)

    def __post_init__(self) -> None:
        platform: Any = SimpleNamespace(events=self.service)
        authorizer: Any = None
        self.api = Gateway.of(rooms(platform, authorizer))

    @property
    def platform(self) -> Any:
        """What the tasks use."""
        settings = SimpleNamespace(stack="stack")
        return SimpleNamespace(
            event_bus=self.service.bus(), undelivered=self.undelivered, settings=settings, events=self.service
        )

    def letters(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api.send(OPERATOR, "GET", "/v1/admin/events/dead-letters").json[
            "dead_letters"
        ]
        return found


def event(event_id: str, version: int = 2, job_id: str = "j") -> JobStatusChanged:
    return JobStatusChanged(
        event_id=event_id,
        occurred_at="2026-03-01T12:00:00.000Z",
        tenant_id="acme",
        record_version=version,
        job_id=job_id,
        user_id="alice",
        name="churn",
        status="running",
        previous_status="pending",
        state="running",
        previous_state="pending",
        attempts=1,
    )


def delivered(event_id: str, version: int = 2, job_id: str = "j", *, why: str | None = None) -> dict[str, Any]:
    """A message of the dead-letter queue: an event as EventBridge writes it."""
    message = Message.of(event(event_id, version, job_id))
    body = {"version": "0", "id": "aws", "source": "aimatrix", "detail-type": message.kind}
    attributes = {f"ERROR_{part}": {"stringValue": why} for part in ("CODE", "MESSAGE")} if why else {}
    return {
        "messageId": event_id,
        "body": json.dumps({**body, "detail": json.loads(message.detail)}),
        "messageAttributes": attributes,
    }


@pytest.fixture(scope="session")
def dynamodb() -> DynamoDBClient:
    with mock_aws():
        return boto3.client("dynamodb", "us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")


@pytest.fixture
def events(dynamodb: DynamoDBClient) -> Iterator[Events]:
    with mock_aws():
        moment = [NOW]
        aws, stream = FakeEventBridge(), FakeStream()
        store = DeadLetterStore(Table(dynamodb, create_table(dynamodb, "events")))
        log = AuditLog.create(dynamodb, lambda: moment[0])
        bus = Bus(cast("Any", aws), "stack", lambda _: None)
        service = EventService(
            store=store,
            bus=lambda: bus,
            archive=lambda: Archive(cast("Any", aws), ARCHIVE, "stack"),
            messages_of=lambda content: [Message.of(each) for each in events_of([change_from(content)])],
            now=lambda: moment[0],
            seconds=lambda: 0.0,
            stack="stack",
            audit=log.recorder,
        )
        undelivered = Undelivered(store, Streams(lambda: stream), change_of, lambda: moment[0])
        yield Events(service, undelivered, aws, stream, log, moment)
