"""The room `webhooks` on moto's DynamoDB, with receivers, a key and a queue that do as they are told."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from moto import mock_aws

from chalicelib.events.subject import subject_of
from chalicelib.identity.caller import Caller
from chalicelib.table import Table
from chalicelib.webhooks.addresses import Target
from chalicelib.webhooks.delivery import Delivery
from chalicelib.webhooks.gateways import WakeUps, lane_of
from chalicelib.webhooks.intake import Intake
from chalicelib.webhooks.post import Answer, NotSent
from chalicelib.webhooks.request import WebhookRequest
from chalicelib.webhooks.routes import rooms
from chalicelib.webhooks.sending import Sending
from chalicelib.webhooks.service import NewSecret, WebhookService
from chalicelib.webhooks.signature import verify
from chalicelib.webhooks.store import Lane, WebhookStore
from chalicelib.webhooks.tasks import deliver_webhooks
from chalicelib.webhooks.vault import Vault
from chalicelib.webhooks.webhook import Webhook
from tests.functional.audit_log import AuditLog
from tests.functional.rest import Gateway
from tests.functional.tables import create_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ALICE = Caller("acme", "alice", frozenset({"USER"}))
BOB = Caller("acme", "bob", frozenset({"USER"}))
ADMIN = Caller("acme", "root", frozenset({"ADMIN"}))
STRANGER = Caller("umbrella", "alice", frozenset({"ADMIN"}))
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
URL = "https://hooks.example.com/in"
TYPE = "training.job.status-changed"


class FakeKms:
    """Turns a text over, and only for whom it was turned over."""

    def encrypt(self, KeyId: str, Plaintext: bytes, EncryptionContext: Mapping[str, str]) -> dict[str, bytes]:  # noqa: N803
        return {"CiphertextBlob": json.dumps(dict(EncryptionContext)).encode() + b"|" + Plaintext[::-1]}

    def decrypt(self, CiphertextBlob: bytes, KeyId: str, EncryptionContext: Mapping[str, str]) -> dict[str, bytes]:  # noqa: N803
        bound, _, turned = CiphertextBlob.partition(b"|")
        assert json.loads(bound) == dict(EncryptionContext)
        return {"Plaintext": turned[::-1]}


class FakeQueue:
    def __init__(self) -> None:
        self.messages: list[tuple[Lane, int]] = []
        self.is_down = False

    def send_message(self, QueueUrl: str, MessageBody: str, DelaySeconds: int) -> None:  # noqa: N803
        if self.is_down:
            raise OSError("the queue is down")
        lane = lane_of(json.loads(MessageBody))
        assert lane
        self.messages.append((lane, DelaySeconds))


@dataclass
class Got:
    """A request that a receiver got."""

    host: str
    event_id: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def payload(self) -> Any:
        return json.loads(self.body)


class FakePoster:
    """Receivers by name, each with what it answers next; after that always 204."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.will: dict[str, list[int | str | Answer]] = {}
        self.always: dict[str, int | str] = {}
        self.meanwhile: list[Callable[[], object]] = []
        """What happens while a request is answered, one after the other."""

    def post(self, target: Target, body: bytes, headers: Mapping[str, str]) -> Answer:
        self.got.append(Got(target.host, headers["webhook-id"], headers, body))
        if self.meanwhile:
            self.meanwhile.pop(0)()
        scripted = self.will.get(target.host)
        answer = scripted.pop(0) if scripted else self.always.get(target.host, 204)
        if isinstance(answer, str):
            raise NotSent(answer)
        return answer if isinstance(answer, Answer) else Answer(answer)

    def ids(self) -> list[str]:
        return [got.event_id for got in self.got]


@dataclass
class Hooks:
    service: WebhookService
    store: WebhookStore
    intake: Intake
    sending: Sending
    receivers: FakePoster
    queue: FakeQueue
    log: AuditLog
    client: DynamoDBClient
    moment: list[datetime]
    api: Gateway = field(init=False)

    def __post_init__(self) -> None:
        authorizer: Any = None
        self.api = Gateway.of(rooms(self.platform, authorizer))

    @property
    def platform(self) -> Any:
        return SimpleNamespace(
            webhooks=self.service,
            webhook_intake=self.intake,
            webhook_sending=self.sending,
            now=lambda: self.moment[0],
        )

    def make(self, *types: str, caller: Caller = ALICE, url: str = URL) -> NewSecret:
        return self.service.create(caller, WebhookRequest(url=url, event_types=list(types)))

    def wait(self, **time: float) -> None:
        self.moment[0] += timedelta(**time)

    def tell(self, *events: dict[str, Any]) -> dict[str, Any]:
        """Events as the queue hands them over; what could not be taken in."""
        records = [{"messageId": f"m{number}", "body": json.dumps(each)} for number, each in enumerate(events)]
        return deliver_webhooks(self.platform, {"Records": records})

    def tick(self) -> Counter[str]:
        """What the clock does each minute."""
        return self.sending.run_due()

    def read(self, webhook: Webhook) -> Webhook:
        found = self.store.get(webhook.tenant, webhook.webhook_id)
        assert found
        return found

    def delivery(self, webhook: Webhook, event_id: str) -> Delivery:
        found = self.store.delivery(webhook.tenant, webhook.webhook_id, event_id)
        assert found
        return found

    def lanes(self) -> list[Any]:
        items = self.client.scan(TableName="webhooks")["Items"]
        return [item for item in items if item["sk"]["S"].startswith("lane#")]

    def verified(self, made: NewSecret, got: Got) -> bool:
        return verify(made.secret, got.headers, got.body, self.moment[0].timestamp()) == got.event_id


def event(event_id: str, version: int = 1, *, job_id: str = "j", kind: str = TYPE, **changes: Any) -> dict[str, Any]:
    detail = {
        "eventId": event_id,
        "schemaVersion": 1,
        "occurredAt": "2026-03-01T12:00:00.000Z",
        "tenantId": "acme",
        "recordVersion": version,
        "jobId": job_id,
        "userId": "alice",
        **changes,
    }
    return {"id": "aws", "source": "aimatrix", "detail-type": kind, "detail": detail}


def lane(webhook: Webhook, job_id: str = "j") -> Lane:
    subject = subject_of(TYPE, {"tenantId": "acme", "jobId": job_id})
    return Lane(webhook.tenant, webhook.webhook_id, subject)


@pytest.fixture(scope="session")
def dynamodb() -> DynamoDBClient:
    with mock_aws():
        return boto3.client("dynamodb", "us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")


@pytest.fixture
def hooks(dynamodb: DynamoDBClient) -> Iterator[Hooks]:
    with mock_aws():
        moment = [NOW]
        numbers = count(1)
        log = AuditLog.create(dynamodb, lambda: moment[0])
        store = WebhookStore(Table(dynamodb, create_table(dynamodb, "webhooks")))
        vault = Vault(lambda: cast("Any", FakeKms()), "arn:key", lambda size: bytes([next(numbers)]) * size)
        queue, receivers = FakeQueue(), FakePoster()
        wake_ups = WakeUps(lambda: cast("Any", queue), "https://queue")
        ids = (f"id-{number:04d}" for number in count(1))
        service = WebhookService(
            store=store,
            vault=lambda: vault,
            wake_ups=lambda: wake_ups,
            loopback_ports=frozenset(),
            now=lambda: moment[0],
            new_id=lambda: next(ids),
            audit=log.recorder,
        )
        intake = Intake(store, lambda tenant, job_id: {"j": "alice"}.get(job_id), lambda: moment[0])
        sending = Sending(
            store=store,
            vault=vault,
            poster=cast("Any", receivers),
            wake_ups=wake_ups,
            loopback_ports=frozenset(),
            now=lambda: moment[0],
            uniform=lambda least, most: (least + most) / 2,
            at_once=1,  # moto is not thread-safe
        )
        yield Hooks(service, store, intake, sending, receivers, queue, log, dynamodb, moment)
