"""Which change of an item is which event, and that the same change is always the same event."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, ClassVar

import pytest

from chalicelib.clock import to_text
from chalicelib.deployments.deployment import Variant
from chalicelib.events.changes import AT_ONCE, IMPORTED, Change, events_of
from chalicelib.events.shapes import CheckpointsOverdue as Overdue
from chalicelib.events.shapes import (
    DeploymentStatusChanged,
    Event,
    JobStatusChanged,
    JobSubmitted,
    MetricsRecorded,
    ModelReady,
    QuotaExceeded,
    RolloutStatusChanged,
    TransformStatusChanged,
    WebhookDisabled,
)
from chalicelib.events.subject import subject_of
from chalicelib.jobs.items import job_item
from chalicelib.jobs.job import Job, JobStatus
from chalicelib.jobs.life import (
    AttemptPlanned,
    CancelRequested,
    CheckpointsOverdue,
    CheckpointsResumed,
    Ended,
    Entered,
    Observed,
    Started,
    Submitted,
    apply,
)
from chalicelib.jobs.life import Event as LifeEvent
from chalicelib.metrics.chunk import Chunk
from chalicelib.metrics.point import MetricPoint
from chalicelib.rollouts.items import item_of
from chalicelib.rollouts.rollout import Rollout, RolloutStatus, Step
from chalicelib.table import Item, decode, encode
from tests.unit.jobs.test_life import JOB, NOW, USED


def image(job: Job, event: LifeEvent) -> Item:
    """A record as the stream shows it."""
    return decode(encode({**job_item(job), "event": json.dumps(event.to_dict())}))


def life(*events: LifeEvent) -> list[Change]:
    """The stream's records of a job's life."""
    job, before = JOB, image(JOB, Submitted())
    changes = [Change("jobs", "1", None, before)]
    for number, event in enumerate(events, start=2):
        job = replace(apply(job, event), version=number)
        after = image(job, event)
        changes.append(Change("jobs", str(number), before, after))
        before = after
    return changes


def seen(changes: list[Change]) -> list[Event]:
    return list(events_of(changes))


class TestJobs:
    def test_tell_their_life_in_order(self) -> None:
        found = seen(
            life(
                Entered("sagemaker/t4", "Waits."),
                AttemptPlanned(1),
                Observed("Downloading"),
                Started(NOW, "Training"),
                CancelRequested(NOW),
                Ended(JobStatus.CANCELLED, NOW, USED),
            )
        )
        assert isinstance(found[0], JobSubmitted)
        changed = [event for event in found if isinstance(event, JobStatusChanged)]
        assert [(event.previous_state, event.state) for event in changed] == [
            ("pending", "queued"),
            ("queued", "pending"),
            ("pending", "running"),
            ("running", "stopping"),
            ("stopping", "cancelled"),
        ]
        assert [event.record_version for event in found] == [1, 2, 3, 5, 6, 7]

    def test_tell_once_that_checkpoints_stay_away_and_again_when_they_stopped_again(self) -> None:
        later = NOW + timedelta(minutes=5)
        overdue = CheckpointsOverdue(NOW), CheckpointsOverdue(later)
        found = seen(life(Started(NOW), *overdue, CheckpointsResumed(), CheckpointsOverdue(later)))
        told = [event for event in found if isinstance(event, Overdue)]
        assert [(event.overdue_since, event.record_version) for event in told] == [
            (to_text(NOW), 3),
            (to_text(later), 6),
        ]

    def test_say_why_they_failed(self) -> None:
        (_, failed) = seen(life(Ended(JobStatus.FAILED, NOW, USED, "ValueError: no")))
        assert isinstance(failed, JobStatusChanged)
        assert (failed.status, failed.failure_reason) == ("failed", "ValueError: no")

    def test_give_the_same_change_the_same_id_and_no_two_changes_one(self) -> None:
        changes = life(Started(NOW), Ended(JobStatus.COMPLETED, NOW, USED))
        once, again = seen(changes), seen(changes)
        assert [event.event_id for event in once] == [event.event_id for event in again]
        assert len({event.event_id for event in once}) == len(once) == 3

    @pytest.mark.parametrize(
        "change",
        [
            Change("jobs", "1", None, {"pk": "acme#j", "sk": "attempt#0001"}),
            Change("jobs", "1", image(JOB, Submitted()), None),
            Change("jobs", "1", image(JOB, Submitted()), {"pk": "acme#j", "sk": "job", "status": "deleted"}),
            Change("quotas", "1", None, {"pk": "x", "sk": "job"}),
        ],
    )
    def test_are_silent_about_everything_else(self, change: Change) -> None:
        assert seen([change]) == []


MODEL: Item = {
    "pk": "acme#m",
    "sk": "model",
    "tenant": "acme",
    "model_id": "m",
    "user": "alice",
    "name": "churn",
    "version": "3",
    "framework": "sklearn",
    "servable": True,
    "status": "ready",
    "record_version": 2,
    "updated_at": "2026-03-01T12:00:00.000Z",
    "training_job_id": "j",
}
DEPLOYMENT: Item = {
    "pk": "acme#d",
    "sk": "deployment",
    "tenant": "acme",
    "deployment_id": "d",
    "user": "alice",
    "name": "churn",
    "environment": "staging",
    "status": "active",
    "record_version": 4,
    "updated_at": "2026-03-01T12:00:00.000Z",
    "target": {"model_id": "m", "model_version": "3"},
}


class TestModels:
    def test_are_ready_once(self) -> None:
        training = {**MODEL, "status": "training", "record_version": 1}
        found = seen([Change("models", "1", None, training), Change("models", "2", training, MODEL)])
        assert [type(event) for event in found] == [ModelReady]
        assert seen([Change("models", "3", MODEL, {**MODEL, "record_version": 3})]) == []


class TestDeployments:
    def test_tell_where_they_come_from(self) -> None:
        before = {**DEPLOYMENT, "status": "deploying", "record_version": 3}
        (event,) = seen([Change("deployments", "1", before, DEPLOYMENT)])
        assert isinstance(event, DeploymentStatusChanged)
        assert (event.previous_status, event.status, event.model_version) == ("deploying", "active", "3")


class TestRollouts:
    def rollout(self, **changes: Any) -> Item:
        at = datetime(2026, 3, 1, tzinfo=UTC)
        values: dict[str, Any] = {
            "tenant": "acme",
            "deployment_id": "d",
            "number": 2,
            "user": "dora",
            "stable": (Variant("v1", "m1", "1"),),
            "candidate": Variant("v2", "m2", "2"),
            "steps": (Step(10, 60, 0), Step(100, 60, 0)),
            "gates": (),
            "evaluation_seconds": 60,
            "patience_seconds": 60,
            "created_at": at,
            "updated_at": at,
            **changes,
        }
        return decode(encode(item_of(Rollout(**values))))

    def test_tell_each_step_and_how_they_end(self) -> None:
        begun = self.rollout()
        looked_at = self.rollout(record_version=2, serving_since=NOW)
        further = self.rollout(record_version=3, step=1)
        back = self.rollout(record_version=4, step=1, status=RolloutStatus.ROLLING_BACK, reason="At 100 %: ...")
        images = [None, begun, looked_at, further, back]
        found = seen([Change("deployments", str(at), *pair) for at, pair in enumerate(pairwise(images))])
        told = [event for event in found if isinstance(event, RolloutStatusChanged)]
        assert [(event.status, event.step, event.steps, event.reason) for event in told] == [
            ("running", 1, 2, None),
            ("running", 2, 2, None),
            ("rolling-back", 2, 2, "At 100 %: ..."),
        ]
        assert [event.previous_status for event in told] == [None, "running", "running"]
        assert (told[0].model_version, told[0].rollout_id) == ("2", "2")
        assert len({event.event_id for event in told}) == 3

    def test_are_subjects_of_their_own(self) -> None:
        change = Change("deployments", "1", None, self.rollout())
        (event,) = seen([change])
        detail = event.model_dump(by_alias=True)
        assert change.subject == subject_of(event.type, detail) == "rollouts/acme#d#2"
        # The same version of the deployment's record, or of another rollout, is another event.
        others = [Change("deployments", "1", None, image) for image in (DEPLOYMENT, self.rollout(number=3))]
        assert event.event_id not in {each.event_id for each in seen(others)}


class TestTransforms:
    TRANSFORM: ClassVar[Item] = {
        "pk": "acme#t",
        "sk": "transform",
        "tenant": "acme",
        "transform_id": "t",
        "user": "dora",
        "model_id": "m",
        "model_name": "churn",
        "model_version": "3",
        "status": "in-progress",
        "record_version": 1,
        "updated_at": "2026-03-01T12:00:00.000Z",
    }

    def test_tell_each_status_and_at_the_end_what_it_cost(self) -> None:
        done = {**self.TRANSFORM, "status": "completed", "record_version": 2, "cost_usd": "0.0042"}
        changes = [Change("deployments", "1", None, self.TRANSFORM), Change("deployments", "2", self.TRANSFORM, done)]
        found = seen(changes)
        told = [event for event in found if isinstance(event, TransformStatusChanged)]
        assert [(each.previous_status, each.status, each.cost_usd) for each in told] == [
            (None, "in-progress", None),
            ("in-progress", "completed", 0.0042),
        ]
        subjects = {subject_of(each.type, each.model_dump(by_alias=True)) for each in told}
        assert subjects == {change.subject for change in changes} == {"transforms/acme#t"}


class TestRefusals:
    @pytest.mark.parametrize(("code", "count"), [("quota-exceeded", 1), ("forbidden", 0), (None, 0)])
    def test_for_a_quota_are_events(self, code: str | None, count: int) -> None:
        entry = {"id": "e", "at": "2026-03-01T12:00:00.000Z", "tenant": "acme", "user": "alice", "action": "submit_job"}
        row = {"pk": "inbox#acme", "sk": "x", "entry": json.dumps({**entry, **({"code": code} if code else {})})}
        found = seen([Change("audit", "1", None, row)])
        assert [type(event) for event in found] == [QuotaExceeded] * count


class TestMetrics:
    def point(self, step: int, value: float = 0.5) -> MetricPoint:
        return MetricPoint("loss", value, step, None, datetime(2026, 3, 1, tzinfo=UTC))

    def changes(self, job_id: str, count: int, value: float = 0.5) -> list[Change]:
        """Points that came one at a time."""
        return [self.change(job_id, [self.point(step, value)]) for step in range(count)]

    def change(self, job_id: str, points: list[MetricPoint]) -> Change:
        chunk = Chunk.of(points)
        item = {"name": "loss", "pk": f"acme#{job_id}#loss", "sk": f"tail#{chunk.key}", "body": chunk.body}
        return Change("metrics", chunk.key, None, decode(encode({**item, "count": chunk.count})))

    def test_of_one_job_that_come_together_are_one_event(self) -> None:
        found = seen([*self.changes("a", 3), *self.changes("b", 2)])
        assert all(isinstance(event, MetricsRecorded) for event in found)
        shown: list[Any] = [event.model_dump(by_alias=True) for event in found]
        assert [(event["jobId"], len(event["metrics"])) for event in shown] == [("a", 3), ("b", 2)]

    def test_are_split_where_they_are_many(self) -> None:
        assert len(seen(self.changes("a", AT_ONCE + 1))) == 2
        many = self.change("a", [self.point(step) for step in range(2 * AT_ONCE + 1)])
        first, second, third = seen([many])
        assert isinstance(third, MetricsRecorded)
        assert [point.step for point in third.metrics] == [2 * AT_ONCE]
        assert len({first.event_id, second.event_id, third.event_id}) == 3

    def test_that_come_again_have_the_same_ids(self) -> None:
        (once,), (again,) = seen(self.changes("a", 1)), seen([replace(self.changes("a", 1)[0], sequence="later")])
        assert once.event_id == again.event_id

    def test_keep_what_json_has_no_number_for(self) -> None:
        (event,) = seen(self.changes("a", 1, float("nan")))
        assert json.loads(event.model_dump_json(by_alias=True))["metrics"][0]["value"] == "NaN"


class TestAnImport:
    def test_is_no_news_and_what_follows_it_is(self) -> None:
        submitted, ended = life(Ended(JobStatus.COMPLETED, NOW, USED))
        imported = {**(submitted.after or {}), IMPORTED: "export-1"}
        assert seen([replace(submitted, after=imported)]) == []
        assert len(seen([replace(ended, before=imported)])) == 1

    def test_of_points_stands_between_no_others(self) -> None:
        changes = TestMetrics().changes("j-1", 3)
        changes[1] = replace(changes[1], after={**(changes[1].after or {}), IMPORTED: "export-1"})
        (told,) = seen(changes)
        assert isinstance(told, MetricsRecorded)
        assert len(told.metrics) == 2


class TestPoison:
    def test_is_told_and_blocks_nobody(self) -> None:
        good = Change("models", "1", None, MODEL)
        bad = Change("models", "2", None, {"pk": "acme#x", "sk": "model", "status": "ready"})
        told: list[tuple[Change, str]] = []
        found = list(events_of([good, bad, good], lambda change, error: told.append((change, repr(error)))))
        assert [type(event) for event in found] == [ModelReady, ModelReady]
        assert [change for change, _ in told] == [bad]

    def test_among_points_of_one_job_takes_none_with_it(self) -> None:
        points = TestMetrics().changes("a", 3)
        bad = replace(points[1], after={"pk": points[1].after["pk"], "sk": "x"})  # type: ignore[index]
        told: list[Change] = []
        found = list(events_of([points[0], bad, points[2]], lambda change, _: told.append(change)))
        assert (len(found), told) == (2, [bad])

    def test_is_raised_where_nobody_wants_to_be_told(self) -> None:
        with pytest.raises(KeyError):
            seen([Change("models", "1", None, {"pk": "acme#x", "sk": "model", "status": "ready"})])


WEBHOOK: Item = {
    "pk": "hook#acme#w",
    "sk": "webhook",
    "tenant": "acme",
    "webhook_id": "w",
    "user": "alice",
    "url": "https://hooks.example.com/secret?token=1",
    "status": "disabled",
    "reason": "Nothing has come through for 3 days.",
    "version": 2,
    "updated_at": "2026-03-01T12:00:00.000Z",
}


class TestWebhooks:
    def test_that_the_service_disables_are_told_without_their_path(self) -> None:
        before = {**WEBHOOK, "status": "active", "version": 1}
        (event,) = seen([Change("webhooks", "1", before, WEBHOOK)])
        assert isinstance(event, WebhookDisabled)
        assert (event.host, event.reason) == ("hooks.example.com", "Nothing has come through for 3 days.")

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (WEBHOOK, WEBHOOK),
            ({**WEBHOOK, "status": "active"}, {name: value for name, value in WEBHOOK.items() if name != "reason"}),
            (WEBHOOK, {**WEBHOOK, "status": "active"}),
            (None, {"pk": "hook#acme#w", "sk": "delivery#e", "status": "disabled", "reason": "x"}),
        ],
        ids=["as before", "by its owner", "active again", "another item"],
    )
    def test_are_silent_about_everything_else(self, before: Item | None, after: Item) -> None:
        assert seen([Change("webhooks", "1", before, after)]) == []
