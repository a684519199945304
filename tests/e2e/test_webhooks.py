"""Events arrive at a server of the user's own, signed, each once, with what orders them; and nothing leads inside."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from aimatrix.client import Client
from aimatrix.client.errors import ApiError, NotFoundError
from tests.e2e import scripts
from tests.e2e.conftest import ROOT, Cloud, aimatrix, last_json
from tests.e2e.receiver import SECONDS, Got, Receiver, receiving

pytestmark = pytest.mark.e2e


@pytest.fixture
def receiver(cloud: Cloud) -> Iterator[Receiver]:
    with receiving(cloud.webhook_port) as here:
        yield here


@pytest.fixture
def ida(cloud: Cloud) -> Iterator[Client]:
    with cloud.client("ida") as client:
        yield client
        for webhook in list(client.webhooks.list()):
            client.webhooks.delete(webhook.webhook_id)


def documented_verify() -> Callable[[str, Mapping[str, str], bytes], bool]:
    """The function that docs/webhooks.md gives to receivers."""
    text = (ROOT / "docs" / "webhooks.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102  our own documentation
    verify: Callable[[str, Mapping[str, str], bytes], bool] = names["verify"]
    return verify


def test_a_jobs_events_arrive_signed_and_ordered_by_their_versions(
    ida: Client, receiver: Receiver, tmp_path: Path
) -> None:
    new = ida.webhooks.create(receiver.url)
    assert "secret" not in json.dumps(ida.webhooks.get(new.webhook.webhook_id).document.get("secret", ""))
    job = scripts.run(ida, tmp_path, "print('done')\n", name="told")
    assert job.status == "completed"

    def about(got: list[Got]) -> list[dict[str, Any]]:
        found = [each.payload for each in got]
        return [each for each in found if each["data"].get("jobId") == job.job_id]

    ends = {"training.job.submitted", "completed"}
    got = receiver.wait(lambda got: ends <= {name for e in about(got) for name in (e["type"], e["data"].get("status"))})
    verify = documented_verify()
    for each in got:
        assert verify(new.secret, each.headers, each.body)
        assert not verify(new.secret, each.headers, each.body + b" ")
        assert each.event_id == each.payload["data"].get("eventId", each.event_id)
    assert len({each.event_id for each in got}) == len(got)
    told = [each for each in about(got) if each["type"] in {"training.job.submitted", "training.job.status-changed"}]
    # The bus promises no order: the versions do.
    ordered = sorted(told, key=lambda each: each["data"]["recordVersion"])
    assert len({each["data"]["recordVersion"] for each in told}) == len(told)
    assert ordered[0]["type"] == "training.job.submitted"
    assert ordered[-1]["data"]["status"] == "completed"


def test_a_receiver_that_fails_is_asked_again_and_the_log_says_how_it_went(ida: Client, receiver: Receiver) -> None:
    webhook = ida.webhooks.create(receiver.url).webhook
    receiver.answers = [(500, "")]
    ping = ida.webhooks.ping(webhook.webhook_id)
    first = ida.webhooks.wait(webhook.webhook_id, ping, SECONDS)
    assert (first.status, first.last_status) == ("pending", 500)
    done = ida.webhooks.wait(webhook.webhook_id, first, SECONDS)
    assert (done.status, done.last_status) == ("delivered", 204)
    one, other = receiver.wait(lambda got: len(got) == 2)
    assert one.event_id == other.event_id == ping.event_id
    again = ida.webhooks.redeliver(webhook.webhook_id, ping.event_id)
    assert again.event_id == ping.event_id
    receiver.wait(lambda got: len(got) == 3)
    (logged,) = ida.webhooks.deliveries(webhook.webhook_id)
    assert logged.event_id == ping.event_id


def test_a_redirect_is_not_followed(ida: Client, receiver: Receiver) -> None:
    webhook = ida.webhooks.create(receiver.url).webhook
    receiver.answers = [(307, receiver.url.replace("/in", "/elsewhere"))]
    ping = ida.webhooks.ping(webhook.webhook_id)
    tried = ida.webhooks.wait(webhook.webhook_id, ping, SECONDS)
    assert tried.status == "pending"
    assert tried.last_error == "redirects are not followed"
    assert len(receiver.got) == 1


def test_after_a_rotation_both_secrets_fit_for_a_while(ida: Client, receiver: Receiver) -> None:
    old = ida.webhooks.create(receiver.url)
    new = ida.webhooks.rotate(old.webhook.webhook_id)
    ida.webhooks.ping(old.webhook.webhook_id)
    (got,) = receiver.wait(lambda got: len(got) == 1)
    verify = documented_verify()
    assert old.secret != new.secret
    assert verify(old.secret, got.headers, got.body)
    assert verify(new.secret, got.headers, got.body)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/",
        "https://[::ffff:10.0.0.1]/",
        "https://localhost/",
        "https://127.0.0.1:8443/",
        "http://127.0.0.1:1/",
        "https://user:pass@hooks.example.com/",
        "https://hooks.example.com:22/",
        "ftp://hooks.example.com/",
        "https://metadata.google.internal/",
    ],
)
def test_an_address_inside_is_refused(ida: Client, url: str) -> None:
    with pytest.raises(ApiError) as refused:
        ida.webhooks.create(url)
    assert refused.value.status == 422
    assert [error.field for error in refused.value.errors] == ["url"]


def test_nobody_else_sees_it(cloud: Cloud, ida: Client, receiver: Receiver) -> None:
    webhook = ida.webhooks.create(receiver.url).webhook
    for user, tenant in (("bob", "default"), ("ida", "another")):
        with cloud.client(user, tenant=tenant) as other, pytest.raises(NotFoundError):
            other.webhooks.get(webhook.webhook_id)


def test_the_command_line_makes_pings_and_deletes_one(cloud: Cloud, receiver: Receiver) -> None:
    environment = {"AIMATRIX_API": cloud.api, "AIMATRIX_TOKEN": cloud.token("jo", "USER")}
    made = aimatrix("webhooks", "create", receiver.url, "--json", environment=environment)
    assert made.returncode == 0, made.stderr
    webhook_id = last_json(made.stdout)["webhook_id"]
    pinged = aimatrix("webhooks", "ping", webhook_id, "--json", environment=environment)
    assert pinged.returncode == 0, pinged.stderr
    assert last_json(pinged.stdout)["status"] == "delivered"
    gone = aimatrix("webhooks", "delete", webhook_id, environment=environment)
    assert gone.returncode == 0, gone.stderr
