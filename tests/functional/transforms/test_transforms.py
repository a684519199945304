"""A transform from its request to every end, each step of the machine as a call."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from chalicelib.errors import Conflict, Forbidden, InvalidRequest, NotFound, RefusedValue
from chalicelib.models import views as model_views
from chalicelib.models.model import Model, ModelStatus
from chalicelib.models.service import require_unused
from chalicelib.reconciler.gateways import Driving, Execution
from chalicelib.reconciler.repair import Kind
from chalicelib.transforms.finishing import TransformBusy
from chalicelib.transforms.routes import rooms
from chalicelib.transforms.transform import Transform, TransformStatus
from tests.functional.deployments.conftest import ADMIN, DEPLOYER, STRANGER, USER
from tests.functional.rest import Gateway
from tests.functional.transforms.conftest import DATA, Transforms


@pytest.fixture
def model(transforms: Transforms) -> Model:
    return transforms.room.model()


@pytest.fixture
def begun(transforms: Transforms, model: Model) -> Transform:
    """Its job is in progress."""
    transform = transforms.start(model)
    transforms.begin(transform)
    return transform


class TestStarting:
    def test_records_what_is_asked_for_and_starts_the_machine(self, transforms: Transforms, model: Model) -> None:
        transform = transforms.start(model)
        assert transforms.get(transform) == transform
        document = {"tenant": "acme", "transform_id": transform.transform_id}
        assert transforms.machine.started == {transform.transform_id: document}
        assert transform.transform_id in transforms.room.again(model).uses

    def test_under_a_key_is_one_transform_whose_machine_runs(self, transforms: Transforms, model: Model) -> None:
        transforms.machine.lost = 1
        with pytest.raises(ConnectionError):
            transforms.start(model, key="nightly")
        again = transforms.start(model, key="nightly")
        assert list(transforms.machine.started) == [again.transform_id]
        with pytest.raises(Conflict, match="another transform"):
            transforms.start(model, key="nightly", instance_count=2)
        others = transforms.service.search(DEPLOYER, None, 10, 0, None).transforms
        assert [each.transform_id for each in others] == [again.transform_id]

    def test_under_the_key_of_one_that_has_ended_is_that_one_whatever_became_of_its_model(
        self, transforms: Transforms, model: Model
    ) -> None:
        transform = transforms.start(model, key="nightly")
        transforms.begin(transform)
        transforms.jobs.become(transform.resource, "Completed")
        done = transforms.finish(transform)
        again = transforms.room.again(model)
        gone = replace(again, status=ModelStatus.DEPRECATED)
        transforms.room.models.update(again, gone, transforms.room.clock())
        assert transforms.start(model, key="nightly") == done
        with pytest.raises(Conflict, match="deprecated"):
            transforms.start(model, key="another")

    @pytest.mark.parametrize(
        ("asked", "field"),
        [
            ({"content_type": "application/json", "batch_strategy": "single-record"}, "batch_strategy"),
            ({"max_payload_mb": 60, "max_concurrent_transforms": 2}, "max_concurrent_transforms"),
            ({"resource_limits": {"gpu_count": 1, "gpu_type": "a100", "memory_gb": 8}}, "resource_limits.gpu_type"),
            ({"resource_limits": {"gpu_count": -1}}, "resource_limits.gpu_count"),
        ],
    )
    def test_refuses_what_sagemaker_would_not_take(
        self, transforms: Transforms, model: Model, asked: dict[str, Any], field: str
    ) -> None:
        with pytest.raises(InvalidRequest) as refusal:
            transforms.start(model, **asked)
        assert field in {problem.field for problem in refusal.value.problems}
        assert "Batch" not in str(refusal.value)

    @pytest.mark.parametrize(
        "uri",
        [
            "s3://artifacts/tenants/umbrella/users/dora/rows/",
            "s3://elsewhere/rows/",
            f"{DATA}../../bob/rows/",
            f"{DATA}nothing/",
        ],
    )
    def test_reads_only_what_is_there_and_the_callers(self, transforms: Transforms, model: Model, uri: str) -> None:
        with pytest.raises(RefusedValue, match="input"):
            transforms.start(model, input=uri)

    def test_needs_the_permission_and_a_model_that_can_be_served(self, transforms: Transforms, model: Model) -> None:
        with pytest.raises(Forbidden):
            transforms.start(model, USER)
        with pytest.raises(NotFound):
            transforms.start(model, STRANGER)
        with pytest.raises(Conflict, match="can't be served"):
            transforms.start(transforms.room.model("2", servable=False, servable_reason="No."))

    def test_keeps_anybody_from_deprecating_the_model(self, transforms: Transforms, begun: Transform) -> None:
        model = transforms.room.models.get("acme", begun.model_id)
        assert model is not None
        shown = model_views.document(model)
        assert (shown["transforms"], shown["deployments"]) == ([begun.transform_id], [])
        with pytest.raises(Conflict, match=f"1 transform\\(s\\): {begun.transform_id}"):
            require_unused(model)


class TestThePlan:
    @pytest.mark.parametrize(
        ("asked", "split", "strategy"),
        [
            ({}, "Line", "MultiRecord"),
            ({"batch_strategy": "single-record"}, "Line", "SingleRecord"),
            ({"content_type": "application/json"}, "None", "MultiRecord"),
            ({"content_type": "application/jsonlines", "split": "line"}, "Line", "MultiRecord"),
        ],
    )
    def test_asks_as_the_request_says(
        self, transforms: Transforms, model: Model, asked: dict[str, Any], split: str, strategy: str
    ) -> None:
        transform = transforms.start(model, **asked)
        job = transforms.begin(transform)["job"]
        assert job["BatchStrategy"] == strategy
        assert job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] == DATA
        assert (job["TransformInput"]["SplitType"], job["TransformOutput"]["AssembleWith"]) == (split, split)
        assert job["TransformOutput"]["S3OutputPath"] == f"s3://artifacts/{transform.output_prefix}"
        assert job["TransformResources"] == {"InstanceType": "ml.m5.large", "InstanceCount": 1}

    def test_of_one_that_is_not_wanted_any_more_is_to_finish(self, transforms: Transforms, model: Model) -> None:
        transform = transforms.start(model)
        transforms.service.cancel(DEPLOYER, transform.transform_id)
        assert transforms.begin(transform) == {"next": "finish"}


class TestTheEnd:
    def test_of_a_completed_job_says_what_it_cost_and_leaves_nothing_but_answers(
        self, transforms: Transforms, begun: Transform, model: Model
    ) -> None:
        transforms.jobs.become(begun.resource, "Completed", seconds=1800)
        done = transforms.finish(begun)
        assert (done.status, done.failure_reason) == (TransformStatus.COMPLETED, None)
        assert done.cost_usd == (begun.usd_per_hour / 2).quantize(Decimal("0.0001"))
        assert transforms.jobs.models == set()
        assert transforms.room.again(model).uses == {}
        assert transforms.finish(begun) == transforms.get(begun)

    def test_of_a_failed_job_has_sagemakers_reason(self, transforms: Transforms, begun: Transform) -> None:
        transforms.jobs.become(begun.resource, "Failed", "AlgorithmError: See job logs", seconds=36)
        failed = transforms.finish(begun, {"Error": "States.TaskFailed", "Cause": "{}"})
        assert (failed.status, failed.failure_reason) == (TransformStatus.FAILED, "AlgorithmError: See job logs")
        assert failed.cost_usd is not None

    def test_of_one_whose_job_was_never_made_has_the_machines_reason(
        self, transforms: Transforms, model: Model
    ) -> None:
        transform = transforms.start(model)
        failed = transforms.finish(transform, {"Error": "SageMaker.AmazonSageMakerException", "Cause": "no capacity"})
        assert failed.failure_reason == "SageMaker.AmazonSageMakerException: no capacity"
        assert failed.cost_usd == 0

    def test_waits_for_a_job_that_runs_on_and_stops_it(self, transforms: Transforms, begun: Transform) -> None:
        with pytest.raises(TransformBusy):
            transforms.finish(begun, {"Error": "States.Timeout", "Cause": ""})
        assert transforms.jobs.stopped == [begun.resource]
        transforms.jobs.become(begun.resource, "Stopped")
        failed = transforms.finish(begun, {"Error": "States.Timeout", "Cause": ""})
        assert (failed.status, failed.failure_reason) == (TransformStatus.FAILED, "The transform did not end in time.")

    def test_of_one_that_someone_stopped_in_sagemaker_says_so(self, transforms: Transforms, begun: Transform) -> None:
        transforms.jobs.become(begun.resource, "Stopped")
        assert transforms.finish(begun).failure_reason == "It was stopped in SageMaker."

    def test_of_one_that_serves_too_leaves_the_model_deployed(self, transforms: Transforms, model: Model) -> None:
        transforms.room.active(model)
        transform = transforms.start(model)
        transforms.begin(transform)
        transforms.jobs.become(transform.resource, "Completed")
        transforms.finish(transform)
        assert transforms.room.again(model).status is ModelStatus.DEPLOYED


class TestCancelling:
    def test_stops_the_job_and_is_recorded_when_it_has_stopped(self, transforms: Transforms, begun: Transform) -> None:
        assert transforms.service.cancel(DEPLOYER, begun.transform_id).status is TransformStatus.CANCELLING
        assert transforms.service.cancel(DEPLOYER, begun.transform_id).status is TransformStatus.CANCELLING
        assert transforms.jobs.stopped == [begun.resource] * 2
        transforms.jobs.become(begun.resource, "Stopped")
        assert transforms.finish(begun, {"Error": "States.TaskFailed", "Cause": ""}).status is TransformStatus.CANCELLED
        assert transforms.service.cancel(DEPLOYER, begun.transform_id).status is TransformStatus.CANCELLED

    def test_comes_too_late_for_one_that_has_completed_meanwhile(
        self, transforms: Transforms, begun: Transform
    ) -> None:
        transforms.service.cancel(DEPLOYER, begun.transform_id)
        transforms.jobs.become(begun.resource, "Completed")
        assert transforms.finish(begun).status is TransformStatus.COMPLETED

    def test_before_the_job_is_made_makes_none(self, transforms: Transforms, model: Model) -> None:
        transform = transforms.start(model)
        transforms.service.cancel(DEPLOYER, transform.transform_id)
        transforms.begin(transform)
        assert transforms.finish(transform).status is TransformStatus.CANCELLED
        assert transforms.jobs.jobs == {}

    def test_needs_the_permission(self, transforms: Transforms, begun: Transform) -> None:
        with pytest.raises(Forbidden):
            transforms.service.cancel(USER, begun.transform_id)
        with pytest.raises(NotFound):
            transforms.service.cancel(STRANGER, begun.transform_id)


class TestRepairs:
    def look(self, transforms: Transforms) -> list[Kind]:
        transforms.room.clock.moment += timedelta(minutes=2)
        return [repair.kind for each in transforms.store.open() for repair in transforms.repairs.look_at(each)]

    def test_start_what_nobody_has_started(self, transforms: Transforms, model: Model) -> None:
        transform = transforms.start(model)
        transforms.machine.started.clear()
        assert self.look(transforms) == [Kind.STARTED]
        assert list(transforms.machine.started) == [transform.transform_id]

    def test_end_what_its_execution_did_not(self, transforms: Transforms, begun: Transform) -> None:
        transforms.machines.executions.found[begun.transform_id] = Execution(Driving.ABORTED)
        assert self.look(transforms) == [Kind.STOPPING]
        transforms.jobs.become(begun.resource, "Stopped")
        assert self.look(transforms) == [Kind.FINISHED]
        ended = transforms.get(begun)
        assert (ended.status, "aborted" in (ended.failure_reason or "")) == (TransformStatus.FAILED, True)
        assert self.look(transforms) == []

    def test_stop_again_what_is_cancelled_and_runs_on(self, transforms: Transforms, begun: Transform) -> None:
        transforms.machines.executions.found[begun.transform_id] = Execution(Driving.RUNNING)
        assert self.look(transforms) == []
        transforms.service.cancel(DEPLOYER, begun.transform_id)
        transforms.jobs.stopped.clear()
        assert self.look(transforms) == [Kind.STOPPED_AGAIN]
        assert transforms.jobs.stopped == [begun.resource]

    def test_end_what_lost_its_machine(self, transforms: Transforms, model: Model) -> None:
        transforms.start(model)
        transforms.machines.is_gone = True
        assert self.look(transforms) == [Kind.FINISHED]

    def test_leave_the_young_alone(self, transforms: Transforms, model: Model) -> None:
        transform = transforms.start(model)
        assert list(transforms.repairs.look_at(transform)) == []


class TestApi:
    @pytest.fixture
    def api(self, transforms: Transforms) -> Gateway:
        class Platform:
            pass

        platform: Any = Platform()
        platform.transforms = transforms.service
        authorizer: Any = None
        return Gateway.of(rooms(platform, authorizer))

    def test_starts_shows_lists_and_cancels(self, transforms: Transforms, model: Model, api: Gateway) -> None:
        path = f"/v1/models/{model.model_id}/transforms"
        made = api.send(DEPLOYER, "POST", path, {"input": DATA})
        assert made.status == 202
        one = made.headers["Location"].removeprefix("/api")
        shown = api.send(USER, "GET", one).json
        assert shown == made.json
        assert {"status": "in-progress", "model": "churn:1", "content_type": "text/csv", "split": "line"}.items() <= (
            shown.items()
        )
        for query in ("", f"?model_id={model.model_id}"):
            assert [each["id"] for each in api.send(USER, "GET", f"/v1/transforms{query}").json["transforms"]] == [
                shown["id"]
            ]
        assert api.send(USER, "GET", "/v1/transforms?model_id=other").json["transforms"] == []
        assert api.send(STRANGER, "GET", "/v1/transforms").json["transforms"] == []
        assert api.send(DEPLOYER, "DELETE", one).json["status"] == "cancelling"
        actions = [row["action"] for row in transforms.room.log.entries()]
        assert sorted(actions) == ["cancel_transform", "start_transform"]

    def test_lists_outputs_page_by_page(self, transforms: Transforms, begun: Transform, api: Gateway) -> None:
        for name in ("a.csv.out", "b/c.csv.out"):
            transforms.objects.stored[f"{begun.output_prefix}{name}"] = 7
        path = f"/v1/transforms/{begun.transform_id}/outputs?limit=1"
        assert api.send(USER, "GET", path).status == 403
        first = api.send(DEPLOYER, "GET", path).json
        second = api.send(DEPLOYER, "GET", f"{path}&cursor={first['next_cursor']}").json
        assert [each["name"] for each in (*first["outputs"], *second["outputs"])] == ["a.csv.out", "b/c.csv.out"]
        assert first["outputs"][0]["url"].startswith(f"https://artifacts/{begun.output_prefix}a.csv.out?")
        assert api.send(STRANGER, "GET", path).status == 404

    @pytest.mark.parametrize(
        ("body", "status", "field"),
        [
            ({}, 400, "input"),
            ({"input": DATA, "max_payload_mb": 0}, 400, "max_payload_mb"),
            ({"input": DATA, "content_type": "csv"}, 400, "content_type"),
            ({"input": DATA, "tenant": "umbrella"}, 400, "tenant"),
            ({"input": "s3://elsewhere/x"}, 422, "input"),
        ],
    )
    def test_says_what_is_wrong_by_field(
        self, model: Model, api: Gateway, body: dict[str, Any], status: int, field: str
    ) -> None:
        answer = api.send(ADMIN, "POST", f"/v1/models/{model.model_id}/transforms", body)
        assert answer.status == status
        assert field in {problem["field"] for problem in answer.json["errors"]}
