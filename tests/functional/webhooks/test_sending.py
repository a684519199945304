"""Events on their way to receivers that take them, or not yet, or never."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.webhooks.delivery import PAUSES, DeliveryStatus
from chalicelib.webhooks.post import Answer
from chalicelib.webhooks.request import RotationRequest, WebhookChange
from chalicelib.webhooks.sending import DISABLED_AFTER
from chalicelib.webhooks.store import Waiting
from chalicelib.webhooks.webhook import WebhookStatus
from tests.faults import Shows
from tests.functional.webhooks.conftest import ALICE, BOB, NOW, STRANGER, Hooks, event, lane

HOST = "hooks.example.com"


class TestAnEvent:
    def test_is_sent_signed_and_noted(self, hooks: Hooks) -> None:
        made = hooks.make()
        assert hooks.tell(event("e1", status="completed")) == {"batchItemFailures": []}
        (got,) = hooks.receivers.got
        assert hooks.verified(made, got)
        assert (got.payload["type"], got.payload["timestamp"]) == (
            "training.job.status-changed",
            "2026-03-01T12:00:00.000Z",
        )
        assert got.payload["data"]["status"] == "completed"
        delivery = hooks.delivery(made.webhook, "e1")
        assert (delivery.status, delivery.count, delivery.attempts[0].status) == (DeliveryStatus.DELIVERED, 1, 204)
        assert hooks.lanes() == []

    def test_goes_to_whose_it_is_and_to_nobody_else(self, hooks: Hooks) -> None:
        hooks.make(caller=ALICE, url="https://alice.example.com/")
        hooks.make(caller=BOB, url="https://bob.example.com/")
        hooks.make(caller=STRANGER, url="https://stranger.example.com/")
        hooks.tell(event("e1"), event("e2", userId="bob"), event("e3", userId="carol"))
        assert [(got.host, got.event_id) for got in hooks.receivers.got] == [
            ("alice.example.com", "e1"),
            ("bob.example.com", "e2"),
        ]

    def test_goes_where_it_is_wanted(self, hooks: Hooks) -> None:
        hooks.make("training.model.ready", url="https://models.example.com/")
        hooks.make("training.metrics.recorded", "training.model.ready", url="https://both.example.com/")
        hooks.make(url="https://all.example.com/")
        metrics = event("e1", kind="training.metrics.recorded")
        # Metrics name no user: the job's owner is asked for.
        del metrics["detail"]["userId"]
        hooks.tell(metrics, event("e2", kind="training.model.ready"))
        told = sorted((got.host.partition(".")[0], got.event_id) for got in hooks.receivers.got)
        assert told == [("all", "e2"), ("both", "e1"), ("both", "e2"), ("models", "e2")]

    def test_of_a_job_that_is_gone_is_nobodys(self, hooks: Hooks) -> None:
        hooks.make("training.metrics.recorded")
        metrics = event("e1", kind="training.metrics.recorded", job_id="gone", userId=None)
        assert hooks.tell(metrics) == {"batchItemFailures": []}
        assert hooks.receivers.got == []

    def test_that_comes_again_is_sent_once(self, hooks: Hooks, shows: Shows) -> None:
        made = hooks.make()
        originals = [event(f"e{number}", number, job_id=f"j{number % 5}") for number in range(20)]
        replayed = [{**each, "replay-name": "aimatrix-replay"} for each in originals]
        for each in (*originals, *originals[::-1], *replayed):
            hooks.tell(each)
        hooks.wait(days=20)
        hooks.tell(*replayed)
        ids = hooks.receivers.ids()
        doubled = len(ids) - len(set(ids))
        shows(5, f"{len(originals)} events to a webhook, each 4 times, doubled and replayed: {doubled} differences")
        assert sorted(ids) == sorted(each["detail"]["eventId"] for each in originals)
        assert hooks.delivery(made.webhook, "e0").count == 1

    def test_that_died_between_its_record_and_its_lane_is_taken_up_by_its_repetition(self, hooks: Hooks) -> None:
        made = hooks.make()
        hooks.intake.take(event("e1"))
        hooks.store.forget(lane(made.webhook))
        hooks.tell(event("e1"))
        assert hooks.receivers.ids() == ["e1"]

    @pytest.mark.parametrize(
        "body", [{}, {"detail-type": "x"}, {"detail-type": "x", "detail": {"eventId": 1}}, [], 1, "x"]
    )
    def test_that_is_none_comes_again_and_holds_up_nobody(self, hooks: Hooks, body: Any) -> None:
        hooks.make()
        assert hooks.tell(body, event("e1")) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
        assert hooks.receivers.ids() == ["e1"]


class TestALane:
    def test_is_sent_in_the_order_of_the_record(self, hooks: Hooks) -> None:
        hooks.make()
        hooks.intake.take(event("e3", 3))
        hooks.intake.take(event("e10", 10))
        hooks.tell(event("e2", 2))
        assert hooks.receivers.ids() == ["e2", "e3", "e10"]

    def test_waits_for_its_first_and_others_do_not(self, hooks: Hooks) -> None:
        made = hooks.make()
        hooks.receivers.will[HOST] = [500]
        hooks.tell(event("a1", 1, job_id="a"), event("a2", 2, job_id="a"), event("b1", 1, job_id="b"))
        assert hooks.receivers.ids() == ["a1", "b1"]
        assert hooks.delivery(made.webhook, "a2").count == 0
        hooks.wait(seconds=PAUSES[0])
        hooks.tick()
        assert hooks.receivers.ids() == ["a1", "b1", "a1", "a2"]
        assert hooks.lanes() == []

    def test_is_not_touched_before_its_time(self, hooks: Hooks) -> None:
        hooks.make()
        hooks.receivers.will[HOST] = [500]
        hooks.tell(event("e1"))
        hooks.wait(seconds=PAUSES[0] - 1)
        assert not hooks.tick()
        # An event more does not hurry it either.
        hooks.tell(event("e2", 2))
        assert hooks.receivers.ids() == ["e1"]

    def test_is_taken_by_one(self, hooks: Hooks) -> None:
        made = hooks.make()
        hooks.intake.take(event("e1"))
        until = NOW + timedelta(seconds=90)
        assert hooks.store.take(lane(made.webhook), NOW, until) == [Waiting.of(hooks.delivery(made.webhook, "e1"))]
        assert hooks.store.take(lane(made.webhook), NOW + timedelta(seconds=1), until) is None
        assert not hooks.tick()
        # Who took it is dead.
        hooks.wait(seconds=90)
        assert hooks.tick() == {"delivered": 1}

    def test_gets_an_event_while_somebody_works_on_it(self, hooks: Hooks) -> None:
        made = hooks.make()
        hooks.intake.take(event("e1"))
        assert hooks.store.take(lane(made.webhook), NOW, NOW + timedelta(seconds=90))
        hooks.intake.take(event("e2", 2))
        hooks.store.drop(lane(made.webhook), Waiting.of(hooks.delivery(made.webhook, "e1")))
        assert hooks.store.give_back(lane(made.webhook), NOW) is True
        assert hooks.tick() == {"delivered": 1}
        assert hooks.receivers.ids() == ["e2"]

    @pytest.mark.parametrize("answer", [204, 500])
    def test_keeps_a_wish_that_comes_while_the_delivery_is_attempted(self, hooks: Hooks, answer: int) -> None:
        made = hooks.make()
        hooks.receivers.will[HOST] = [answer]
        hooks.receivers.meanwhile = [lambda: hooks.service.redeliver(ALICE, made.webhook.webhook_id, "e1")]
        hooks.tell(event("e1"))
        assert hooks.delivery(made.webhook, "e1").is_pending
        assert hooks.tick() == {"delivered": 1}
        done = hooks.delivery(made.webhook, "e1")
        assert (done.status, [attempt.status for attempt in done.attempts]) == (DeliveryStatus.DELIVERED, [answer, 204])
        assert hooks.lanes() == []

    def test_keeps_a_second_wish_that_comes_while_the_first_is_met(self, hooks: Hooks) -> None:
        made = hooks.make()

        def wish() -> None:
            hooks.service.redeliver(ALICE, made.webhook.webhook_id, "e1")

        hooks.tell(event("e1"))
        wish()
        hooks.receivers.meanwhile = [wish]
        hooks.tick()
        hooks.tick()
        assert hooks.receivers.ids() == ["e1", "e1", "e1"]
        assert hooks.delivery(made.webhook, "e1").status is DeliveryStatus.DELIVERED
        assert hooks.lanes() == []

    def test_goes_on_past_a_delivery_whose_record_has_gone(self, hooks: Hooks) -> None:
        made = hooks.make()
        hooks.intake.take(event("e1"))
        hooks.intake.take(event("e2", 2))
        hooks.client.delete_item(
            TableName="webhooks",
            Key={"pk": {"S": f"hook#acme#{made.webhook.webhook_id}"}, "sk": {"S": "delivery#e1"}},
        )
        hooks.tick()
        assert hooks.receivers.ids() == ["e2"]
        assert hooks.lanes() == []


class TestAFailure:
    def test_is_tried_again_until_it_is_taken(self, hooks: Hooks) -> None:
        made = hooks.make()
        hooks.receivers.will[HOST] = [500, "it refuses connections", 404]
        hooks.tell(event("e1"))
        for pause in PAUSES[:3]:
            hooks.wait(seconds=pause)
            hooks.tick()
        delivery = hooks.delivery(made.webhook, "e1")
        assert delivery.status is DeliveryStatus.DELIVERED
        assert [(attempt.status, attempt.error) for attempt in delivery.attempts] == [
            (500, None),
            (None, "it refuses connections"),
            (404, None),
            (204, None),
        ]
        assert len({got.body for got in hooks.receivers.got}) == 1
        assert all(hooks.receivers.ids()[0] == event_id for event_id in hooks.receivers.ids())

    def test_sends_for_itself_when_its_pause_is_short(self, hooks: Hooks) -> None:
        made = hooks.make()
        hooks.receivers.always[HOST] = 500
        hooks.tell(event("e1"))
        assert hooks.queue.messages == [(lane(made.webhook), PAUSES[0])]
        for pause in PAUSES:
            hooks.wait(seconds=pause)
            hooks.tick()
        # Longer ones are the clock's affair, but for the rest before it is given up.
        assert [delay for _, delay in hooks.queue.messages[:-1]] == [pause for pause in PAUSES if pause <= 900]

    def test_is_given_up_after_a_day_and_the_next_one_gets_its_turn(self, hooks: Hooks) -> None:
        made = hooks.make()
        hooks.receivers.always[HOST] = "no answer within 10 seconds"
        hooks.tell(event("e1"))
        hooks.wait(hours=23)
        hooks.tell(event("e2", 2))
        hooks.wait(hours=1)
        hooks.tick()
        assert hooks.delivery(made.webhook, "e1").status is DeliveryStatus.FAILED
        second = hooks.delivery(made.webhook, "e2")
        assert (second.status, second.count) == (DeliveryStatus.PENDING, 1)

    def test_of_one_receiver_leaves_time_for_the_others(self, hooks: Hooks) -> None:
        hooks.make(url="https://dead.example.com/")
        hooks.make(url="https://alive.example.com/")
        hooks.receivers.always["dead.example.com"] = "no answer within 10 seconds"
        hooks.tell(*(event(f"e{number}", job_id=f"j{number}") for number in range(10)))
        asked = [got.host for got in hooks.receivers.got]
        assert asked.count("dead.example.com") == 3
        assert asked.count("alive.example.com") == 10

    def test_of_ours_leaves_the_neighbours_alone(self, hooks: Hooks) -> None:
        hooks.make()
        hooks.receivers.will[HOST] = [500]
        hooks.queue.is_down = True
        hooks.tell(event("a1", job_id="a"), event("b1", job_id="b"))
        hooks.queue.is_down = False
        assert hooks.receivers.ids() == ["a1", "b1"]
        hooks.wait(minutes=2)
        assert hooks.tick() == {"delivered": 1}

    def test_waits_as_long_as_the_receiver_wishes(self, hooks: Hooks) -> None:
        hooks.make()
        hooks.receivers.will[HOST] = [Answer(429, timedelta(minutes=10))]
        hooks.tell(event("e1"))
        hooks.wait(minutes=9)
        assert not hooks.tick()
        hooks.wait(minutes=1)
        assert hooks.tick() == {"delivered": 1}

    def test_says_that_redirects_are_not_followed(self, hooks: Hooks) -> None:
        made = hooks.make()
        hooks.receivers.will[HOST] = [302]
        hooks.tell(event("e1"))
        assert hooks.delivery(made.webhook, "e1").attempts[0].error == "redirects are not followed"

    def test_stops_when_the_functions_time_is_over(self, hooks: Hooks) -> None:
        hooks.make()
        for number in range(3):
            hooks.intake.take(event(f"e{number}", job_id=f"j{number}"))
        ticks = iter([0.0, 0.0, 0.0, 0.0, 0.0])
        object.__setattr__(hooks.sending, "monotonic", lambda: next(ticks, 1000.0))
        hooks.tick()
        assert len(hooks.receivers.got) == 1
        object.__setattr__(hooks.sending, "monotonic", lambda: 0.0)
        hooks.wait(seconds=91)
        assert hooks.tick() == {"delivered": 2}


class TestAWebhook:
    def fail_for(self, hooks: Hooks, days: int) -> None:
        """An event a day, none of which comes through."""
        for _ in range(days):
            day = (hooks.moment[0] - NOW).days
            hooks.tell(event(f"day-{day}", job_id=f"j{day}"))
            hooks.wait(hours=24)
            hooks.tick()

    def test_is_disabled_when_nothing_has_come_through_for_days(self, hooks: Hooks) -> None:
        made = hooks.make()
        hooks.receivers.always[HOST] = 500
        self.fail_for(hooks, 2)
        assert hooks.read(made.webhook).is_active
        self.fail_for(hooks, 1)
        disabled = hooks.read(made.webhook)
        assert (disabled.status, disabled.reason) == (WebhookStatus.DISABLED, "Nothing has come through for 3 days.")
        assert disabled.version == 2
        assert timedelta(days=3) == DISABLED_AFTER

    def test_that_took_one_in_between_is_not(self, hooks: Hooks) -> None:
        made = hooks.make()
        hooks.receivers.always[HOST] = 500
        self.fail_for(hooks, 2)
        hooks.receivers.always[HOST] = 200
        hooks.tell(event("good", job_id="good"))
        assert hooks.read(made.webhook).failing_since is None
        hooks.receivers.always[HOST] = 500
        self.fail_for(hooks, 2)
        assert hooks.read(made.webhook).is_active

    def test_whose_receiver_is_gone_is_disabled_at_once(self, hooks: Hooks) -> None:
        made = hooks.make()
        hooks.receivers.will[HOST] = [410]
        hooks.tell(event("e1"), event("e2", 2))
        disabled = hooks.read(made.webhook)
        assert disabled.reason == "The receiver answered 410: it is gone."
        assert hooks.receivers.ids() == ["e1"]
        assert hooks.delivery(made.webhook, "e1").status is DeliveryStatus.FAILED
        assert hooks.delivery(made.webhook, "e2").status is DeliveryStatus.CANCELLED

    def test_that_is_disabled_gets_nothing_and_what_waited_is_cancelled(self, hooks: Hooks) -> None:
        made = hooks.make()
        hooks.receivers.will[HOST] = [500]
        hooks.tell(event("e1"))
        hooks.service.change(ALICE, made.webhook.webhook_id, WebhookChange(status="disabled"))
        hooks.wait(seconds=PAUSES[0])
        hooks.tick()
        hooks.tell(event("e2", 2))
        assert hooks.receivers.ids() == ["e1"]
        assert hooks.delivery(made.webhook, "e1").status is DeliveryStatus.CANCELLED
        assert hooks.lanes() == []

    def test_that_is_deleted_gets_nothing_more(self, hooks: Hooks) -> None:
        made = hooks.make()
        hooks.receivers.will[HOST] = [500]
        hooks.tell(event("e1"))
        hooks.service.delete(ALICE, made.webhook.webhook_id)
        hooks.wait(days=1)
        hooks.tick()
        assert hooks.receivers.ids() == ["e1"]
        assert hooks.lanes() == []

    def test_that_was_mended_starts_anew(self, hooks: Hooks) -> None:
        made = hooks.make()
        hooks.receivers.always[HOST] = 500
        self.fail_for(hooks, 3)
        hooks.receivers.always[HOST] = 200
        mended = hooks.service.change(ALICE, made.webhook.webhook_id, WebhookChange(status="active"))
        assert (mended.is_active, mended.reason, mended.failing_since) == (True, None, None)
        again = hooks.service.redeliver(ALICE, made.webhook.webhook_id, "day-0")
        assert again.is_pending
        assert hooks.tick() == {"delivered": 1}
        assert hooks.receivers.ids()[-1] == "day-0"

    def test_signs_with_both_secrets_until_the_overlap_is_over(self, hooks: Hooks) -> None:
        old = hooks.make()
        new = hooks.service.rotate(ALICE, old.webhook.webhook_id, RotationRequest(overlap_hours=48))
        hooks.tell(event("e1"))
        assert hooks.verified(old, hooks.receivers.got[0])
        assert hooks.verified(new, hooks.receivers.got[0])
        hooks.wait(hours=48)
        hooks.tell(event("e2", 2))
        assert hooks.verified(new, hooks.receivers.got[1])
        assert len(hooks.receivers.got[1].headers["webhook-signature"].split(" ")) == 1

    def test_keeps_no_secret_in_the_table(self, hooks: Hooks) -> None:
        made = hooks.make()
        hooks.tell(event("e1"))
        text = json.dumps(hooks.client.scan(TableName="webhooks")["Items"], default=str)
        assert made.secret.removeprefix("whsec_") not in text

    def test_whose_url_would_be_refused_today_is_not_called(self, hooks: Hooks) -> None:
        made = hooks.make()
        hooks.client.update_item(
            TableName="webhooks",
            Key={"pk": {"S": f"hook#acme#{made.webhook.webhook_id}"}, "sk": {"S": "webhook"}},
            UpdateExpression="SET #url = :url",
            ExpressionAttributeNames={"#url": "url"},
            ExpressionAttributeValues={":url": {"S": "http://127.0.0.1:9000/"}},
        )
        hooks.tell(event("e1"))
        assert hooks.receivers.got == []
        assert "https" in str(hooks.delivery(made.webhook, "e1").attempts[0].error)


def test_events_in_any_order_reach_an_unsteady_receiver_in_the_order_of_their_records(hooks: Hooks) -> None:
    hooks.make()
    draw = random.Random(7)  # noqa: S311
    told = [(f"{job}-{version}", version, job) for job in "abc" for version in range(1, 11)]
    waiting = [event(event_id, version, job_id=job) for event_id, version, job in told]
    draw.shuffle(waiting)
    for each in waiting:
        hooks.intake.take(each)
    hooks.receivers.will[HOST] = [draw.choice([204, 204, 500]) for _ in range(15)]
    while hooks.lanes():
        hooks.tick()
        hooks.wait(minutes=20)
    taken: dict[str, list[int]] = {}
    for got in hooks.receivers.got:
        job, _, version = got.event_id.partition("-")
        if not taken.setdefault(job, []) or taken[job][-1] != int(version):
            taken[job].append(int(version))
    assert taken == {job: list(range(1, 11)) for job in "abc"}
