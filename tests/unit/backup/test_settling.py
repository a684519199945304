"""What was open when it was exported has ended where nothing runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from backup.settling import moved, open_kind, settled
from chalicelib.deployments import items as deployments
from chalicelib.deployments.deployment import Deployment, DeploymentStatus, Revision, Variant
from chalicelib.models.model import Archive, Model, ModelStatus, Use
from chalicelib.models.store import model_from, model_item
from chalicelib.retraining.items import run_item, run_of
from chalicelib.retraining.run import Run, RunStatus, Trigger
from chalicelib.rollouts import items as rollouts
from chalicelib.rollouts.rollout import Rollout, RolloutStatus, Step
from chalicelib.table import Item, decode, encode
from chalicelib.transforms.store import transform_from, transform_item
from chalicelib.transforms.transform import Settings, Transform, TransformStatus

THEN, AT = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
REVISION = Revision(1, (Variant("v1", "m-1", "1"),), {"environment": "staging"}, "ml.m5.large")
DEPLOYMENT = Deployment(
    "acme", "d-1", "dora", "churn", "staging", "aimatrix-d-1", REVISION, THEN, THEN, DeploymentStatus.ACTIVE,
    active=REVISION, resources=((1, 1),), rollouts=1, rollout=1,
)  # fmt: skip
ROLLOUT = Rollout(
    "acme",
    "d-1",
    1,
    "dora",
    REVISION.variants,
    Variant("v2", "m-2", "2"),
    (Step(10, 60, 100),),
    (),
    60,
    600,
    THEN,
    THEN,
)
TRANSFORM = Transform(
    "acme", "t-1", "dora", "m-1", "churn", "1", "s3://here/tenants/acme/shared/rows/",
    Settings("text/csv", "application/json", "line", "multi-record", 6, 1), "ml.m5.large", 1, Decimal("0.115"), THEN, THEN,
)  # fmt: skip
MODEL = Model(
    "acme", "m-1", "alice", "churn", "1", "sklearn", Archive("s3://here/tenants/acme/m.tar.gz", 9, "a" * 64), THEN, THEN,
    "sklearn", True, status=ModelStatus.DEPLOYED, uses={"d-1": Use.SERVED, "t-1": Use.TRANSFORMS},
)  # fmt: skip


def after(table: str, item: Item) -> Item:
    """The one item that it is in another installation."""
    (found,) = settled(table, encode(item), AT, "the old one")
    return decode(found)


class TestWhatWasOpen:
    @pytest.mark.parametrize("status", [each for each in DeploymentStatus if each is not DeploymentStatus.TERMINATED])
    def test_a_deployment_is_terminated_and_its_place_free(self, status: DeploymentStatus) -> None:
        item = after("deployments", deployments.item_of(replace(DEPLOYMENT, status=status)))
        ended = deployments.deployment_of(item)
        assert (ended.status, ended.rollout, ended.resources) == (DeploymentStatus.TERMINATED, None, ())
        assert (ended.active, ended.target, ended.record_version) == (REVISION, REVISION, 2)
        assert "stayed in the old one" in str(ended.failure_reason)
        assert "live_key" not in item

    @pytest.mark.parametrize("status", [each for each in RolloutStatus if each.is_open])
    def test_a_rollout_has_failed(self, status: RolloutStatus) -> None:
        ended = rollouts.rollout_of(after("deployments", rollouts.item_of(replace(ROLLOUT, status=status))))
        assert (ended.status, ended.ended_at, ended.record_version) == (RolloutStatus.FAILED, AT, 2)

    @pytest.mark.parametrize("status", [each for each in TransformStatus if each.is_open])
    def test_a_transform_has_failed_and_costs_nothing_here(self, status: TransformStatus) -> None:
        item = after("deployments", transform_item(replace(TRANSFORM, status=status)))
        ended = transform_from(item)
        assert (ended.status, ended.cost_usd, "live_key" in item) == (TransformStatus.FAILED, Decimal(0), False)

    def test_a_model_is_used_by_nothing_and_ready(self) -> None:
        freed = model_from(after("models", model_item(MODEL)))
        assert (freed.status, freed.uses, freed.record_version) == (ModelStatus.READY, {}, 2)
        assert freed.archive == MODEL.archive


class TestWhatHadEnded:
    @pytest.mark.parametrize(
        ("table", "item"),
        [
            ("deployments", deployments.item_of(replace(DEPLOYMENT, status=DeploymentStatus.TERMINATED))),
            ("deployments", rollouts.item_of(replace(ROLLOUT, status=RolloutStatus.SUCCEEDED))),
            ("deployments", transform_item(replace(TRANSFORM, status=TransformStatus.COMPLETED))),
            ("models", model_item(replace(MODEL, uses={}, status=ModelStatus.READY))),
            ("jobs", {"pk": "acme#1", "sk": "job", "status": "deleted"}),
            ("jobs", {"pk": "acme#1", "sk": "attempt#0001", "status": "running"}),
        ],
    )
    def test_is_left_as_it_is(self, table: str, item: Item) -> None:
        written = encode({**item, "of a later release": "kept"})
        assert open_kind(table, written) is None
        assert list(settled(table, written, AT, "the old one")) == [written]


class TestRetraining:
    def test_is_switched_off_and_at_rest(self) -> None:
        policy = encode({"pk": "acme#retraining", "sk": "p", "enabled": True, "name": "daily"})
        assert list(settled("retraining", policy, AT, "the old one")) == [{**policy, "enabled": {"BOOL": False}}]
        standing = encode({"pk": "acme#p", "sk": "standing", "gathering": 3, "training": 2, "last": 3})
        assert list(settled("retraining", standing, AT, "the old one")) == [
            encode({"pk": "acme#p", "sk": "standing", "last": 3})
        ]

    def test_a_run_that_was_open_has_failed(self) -> None:
        run = Run("acme", "p", 2, "alice", Trigger.UPLOAD, AT, AT, AT, RunStatus.TRAINING, job_id="j")
        assert open_kind("retraining", encode(run_item(run))) == "runs"
        (item,) = settled("retraining", encode(run_item(run)), AT, "the old one")
        after = run_of(decode(item))
        assert (after.status, after.record_version) == (RunStatus.FAILED, 2)
        assert after.reason == "It was open when it was exported from the old one."


class TestMoving:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ({"S": "s3://here/tenants/acme/x"}, {"S": "s3://there/tenants/acme/x"}),
            ({"S": '{"script_path":"s3://here/a","n":1}'}, {"S": '{"script_path":"s3://there/a","n":1}'}),
            ({"M": {"uri": {"S": "s3://here/a"}}}, {"M": {"uri": {"S": "s3://there/a"}}}),
            ({"L": [{"S": "s3://here/a"}]}, {"L": [{"S": "s3://there/a"}]}),
            ({"S": "s3://here-too/a"}, {"S": "s3://here-too/a"}),
            ({"S": "here"}, {"S": "here"}),
            ({"B": b"s3://here/"}, {"B": b"s3://here/"}),
        ],
    )
    def test_an_address_in_the_bucket_is_one_in_the_other(
        self, value: Mapping[str, Any], expected: Mapping[str, Any]
    ) -> None:
        assert moved(value, "here", "there") == expected
