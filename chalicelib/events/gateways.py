"""The stack's bus, its archive, and the tables' streams as they can be read again."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from chalicelib.aws import AwsError, error_code
from chalicelib.errors import Conflict, FieldProblem, NotFound, RefusedValue

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

    from chalicelib.events.shapes import Event

SOURCE = "aimatrix"
# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
MAX_ENTRIES, MAX_BYTES = 10, 256 * 1024
_TRIES = 4
_FIRST_PAUSE = 0.2
# What trying again does not help against, of the codes of
# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsResultEntry.html
_NEVER = frozenset(
    {
        "InvalidAccountIdException",
        "InvalidArgument",
        "MalformedDetail",
        "NotAuthorizedForDetailTypeException",
        "NotAuthorizedForSourceException",
        "RedactionFailure",
    }
)
# What one GetRecords answers at most: 1,000 records, 1 MB. A batch of ours has 100.
_READINGS = 20


class NotTaken(Exception):
    """The bus did not take some events. The stream repeats its call, and what was taken comes again with the same ids."""


@dataclass(frozen=True)
class Message:
    """An event as it travels: its detail-type, and its detail as JSON text."""

    kind: str
    detail: str

    @classmethod
    def of(cls, event: Event) -> Message:
        detail = event.model_dump(mode="json", by_alias=True, exclude_none=True)
        return cls(event.type, json.dumps(detail, separators=(",", ":"), ensure_ascii=False))


@dataclass(frozen=True)
class Refusal:
    """An event that the bus will never take, and its words."""

    message: Message
    reason: str


@dataclass(frozen=True)
class Sent:
    """How many events were taken, and which never will be."""

    count: int
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True)
class Bus:
    """
    Args:
        sleep: pauses between tries, in seconds.
    """

    client: EventBridgeClient
    name: str
    sleep: Callable[[float], None]

    def put(self, events: Iterable[Event]) -> Sent:
        """Put events on the bus in their order: see `send`."""
        return self.send(Message.of(event) for event in events)

    def send(self, messages: Iterable[Message]) -> Sent:
        """
        Raises:
            NotTaken: some were refused again and again, though the bus may take them later.
        """
        count, refusals = 0, list[Refusal]()
        for batch in _batches(messages):
            refused = self._send(batch)
            refusals += refused
            count += len(batch) - len(refused)
        return Sent(count, tuple(refusals))

    def _send(self, messages: list[Message]) -> list[Refusal]:
        refusals: list[Refusal] = []
        for attempt in range(_TRIES):
            answer = self.client.put_events(Entries=[self._entry(message) for message in messages])
            if not answer["FailedEntryCount"]:
                return refusals
            later: list[Message] = []
            for message, said in zip(messages, answer["Entries"], strict=True):
                code = said.get("ErrorCode", "")
                if code in _NEVER:
                    refusals.append(Refusal(message, f"{code}: {said.get('ErrorMessage', '')}"))
                elif code or later:
                    # From the first that was refused on: a later one that was taken comes twice, but never before its
                    # elder.
                    later.append(message)
            if not later:
                return refusals
            messages = later
            if attempt < _TRIES - 1:
                self.sleep(_FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1))  # noqa: S311  spreads, guards nothing
        raise NotTaken(f"{len(messages)} events")

    def _entry(self, message: Message) -> Any:
        return {"Source": SOURCE, "DetailType": message.kind, "Detail": message.detail, "EventBusName": self.name}


def _batches(messages: Iterable[Message]) -> Iterable[list[Message]]:
    batch: list[Message] = []
    size = 0
    for message in messages:
        own = len(SOURCE) + len(message.kind) + len(message.detail.encode())
        if batch and (len(batch) == MAX_ENTRIES or size + own > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += own
    if batch:
        yield batch


class StreamsClient(Protocol):
    """What we use of boto3's client of DynamoDB's streams."""

    def get_shard_iterator(
        self,
        *,
        StreamArn: str,  # noqa: N803  boto3 names it so
        ShardId: str,  # noqa: N803
        ShardIteratorType: str,  # noqa: N803
        SequenceNumber: str,  # noqa: N803
    ) -> Any: ...

    def get_records(self, *, ShardIterator: str, Limit: int) -> Any: ...  # noqa: N803


@dataclass(frozen=True)
class Streams:
    """What a stream still holds, 24 hours long, of what a function failed on."""

    client: Callable[[], StreamsClient]

    def read(self, batch: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
        """The records of a batch, as a function gets them; None when the stream no longer has them.

        Args:
            batch: `DDBStreamBatchInfo` of what Lambda says about a batch that it gave up:
                https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
        """
        arn, last = str(batch["streamArn"]), str(batch["endSequenceNumber"])
        client = self.client()
        try:
            iterator = client.get_shard_iterator(
                StreamArn=arn,
                ShardId=str(batch["shardId"]),
                ShardIteratorType="AT_SEQUENCE_NUMBER",
                SequenceNumber=str(batch["startSequenceNumber"]),
            )["ShardIterator"]
            records: list[Mapping[str, Any]] = []
            for _ in range(_READINGS):
                answer = client.get_records(ShardIterator=iterator, Limit=1000)
                for record in answer["Records"]:
                    if int(record["dynamodb"]["SequenceNumber"]) > int(last):
                        return records
                    records.append({**record, "eventSourceARN": arn})
                    if record["dynamodb"]["SequenceNumber"] == last:
                        return records
                iterator = answer.get("NextShardIterator")
                if not iterator:
                    break
        except AwsError as error:
            if error_code(error) in {"TrimmedDataAccessException", "ResourceNotFoundException"}:
                return None
            raise
        return records or None


@dataclass(frozen=True)
class Replay:
    """A replay as EventBridge describes it."""

    name: str
    state: str
    reason: str | None
    began_at: datetime | None
    ended_at: datetime | None
    last_event_at: datetime | None


@dataclass(frozen=True)
class Archive:
    """The bus's archive.

    Args:
        arn: of the archive.
        bus: name of the bus that it is of, and that it can be replayed to.
    """

    client: EventBridgeClient
    arn: str
    bus: str

    def start(self, name: str, since: datetime, until: datetime, rule: str | None) -> bool:
        """Begin a replay; False when there is one of this name already.

        Raises:
            RefusedValue: the bus has no such rule.
            Conflict: as many replays are under way as the account may have at once.
        """
        destination: Any = {"Arn": f"{self.arn.rpartition(':')[0]}:event-bus/{self.bus}"}
        if rule is not None:
            destination["FilterArns"] = [self._rule_arn(rule)]
        try:
            self.client.start_replay(
                ReplayName=name,
                EventSourceArn=self.arn,
                EventStartTime=since,
                EventEndTime=until,
                Destination=destination,
            )
        except AwsError as error:
            match error_code(error):
                case "ResourceAlreadyExistsException":
                    return False
                case "LimitExceededException":
                    raise Conflict("Ten replays are under way in this account: wait until one has ended.") from error
            raise
        return True

    def describe(self, name: str) -> Replay:
        """
        Raises:
            NotFound: there is none of this name.
        """
        try:
            found = self.client.describe_replay(ReplayName=name)
        except AwsError as error:
            if error_code(error) == "ResourceNotFoundException":
                raise NotFound("replay") from None
            raise
        return Replay(
            name=name,
            state=str(found["State"]).lower(),
            reason=found.get("StateReason"),
            began_at=found.get("ReplayStartTime"),
            ended_at=found.get("ReplayEndTime"),
            last_event_at=found.get("EventLastReplayedTime"),
        )

    def _rule_arn(self, rule: str) -> str:
        try:
            return str(self.client.describe_rule(Name=rule, EventBusName=self.bus)["Arn"])
        except AwsError as error:
            if error_code(error) == "ResourceNotFoundException":
                problem = FieldProblem("rule", "is not a rule of the stack's bus", "Use the name of a rule on it.")
                raise RefusedValue.about(problem) from None
            raise
