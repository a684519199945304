"""Deployments over HTTP, and the functions that the machines and events call."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.deployments import tasks
from chalicelib.deployments.invocations import Answer
from chalicelib.deployments.routes import rooms
from chalicelib.errors import InvalidRequest, ModelFailed, NotFound, Unavailable
from tests.functional.deployments.conftest import DEPLOYER, STRANGER, USER, Deployments
from tests.functional.rest import Gateway


@pytest.fixture
def platform(deployments: Deployments) -> Any:
    return SimpleNamespace(
        deployments=deployments.service,
        rolling_back=deployments.rolling_back,
        scaling_report=deployments.scaling_report,
        invocations=deployments.invocations,
        deployment_planning=deployments.planning,
        deployment_waiting=deployments.waiting,
        deployment_finishing=deployments.finishing,
        smoke_test=deployments.smoke,
    )


@pytest.fixture
def api(platform: Any) -> Gateway:
    authorizer: Any = None
    return Gateway.of(rooms(platform, authorizer))


class TestDeploy:
    def test_answers_202_with_the_deployment(self, deployments: Deployments, api: Gateway) -> None:
        model = deployments.model()
        answer = api.send(DEPLOYER, "POST", f"/v1/models/{model.model_id}/deploy", {"environment": "staging"})
        assert answer.status == 202
        assert answer.headers["Location"] == f"/api/v1/deployments/{answer.json['id']}"
        assert {
            "model_id": model.model_id,
            "name": "churn",
            "environment": "staging",
            "status": "deploying",
            "revision": 1,
            "model_version": "1",
            "instance_type": "ml.m5.large",
            "config": {"environment": "staging", "replicas": 2},
        }.items() <= answer.json.items()
        assert answer.json["endpoint"].startswith("aimatrix-churn-staging-")

    @pytest.mark.parametrize(
        ("body", "status", "field"),
        [
            ({}, 400, "environment"),
            ({"environment": "staging", "replicas": 0}, 400, "replicas"),
            ({"environment": "staging", "resource_limits": {"gpu_count": 9}}, 400, "resource_limits.gpu_count"),
            ({"environment": "staging", "replicas": 11, "scaling_policy": {}}, 400, "replicas"),
            ({"environment": "staging", "traffic_split": {"percentage": 10}}, 422, "traffic_split.target_models"),
        ],
    )
    def test_names_the_field_that_is_wrong(
        self, deployments: Deployments, api: Gateway, body: Any, status: int, field: str
    ) -> None:
        model = deployments.model()
        answer = api.send(DEPLOYER, "POST", f"/v1/models/{model.model_id}/deploy", body)
        assert (answer.status, [error["field"] for error in answer.json["errors"]]) == (status, [field])
        assert deployments.deploy_machine.started == {}

    def test_answers_403_409_and_404(self, deployments: Deployments, api: Gateway) -> None:
        model = deployments.model(servable=False, servable_reason="no inference.py")
        path, body = f"/v1/models/{model.model_id}/deploy", {"environment": "staging"}
        assert [api.send(caller, "POST", path, body).status for caller in (USER, DEPLOYER, STRANGER)] == [403, 409, 404]


class TestRead:
    def test_shows_a_failed_update_beside_what_goes_on(self, deployments: Deployments, api: Gateway) -> None:
        active = deployments.active(deployments.model("1"))
        deployments.sagemaker.broken.add(f"{active.endpoint}-2")
        deployments.active(deployments.model("2"))
        document = api.send(USER, "GET", f"/v1/deployments/{active.deployment_id}").json
        assert (document["status"], document["revision"], document["model_version"]) == ("active", 1, "1")
        assert (document["last_failure"]["revision"], document["last_failure"]["model_id"]) == (2, "model-churn-2")
        assert "2 prediction(s)" in document["evidence"]

    def test_never_shows_a_task_token(self, deployments: Deployments, api: Gateway) -> None:
        active = deployments.active(deployments.model())
        assert "token" not in api.send(USER, "GET", f"/v1/deployments/{active.deployment_id}").body

    def test_lists_with_filters_and_a_cursor(self, deployments: Deployments, api: Gateway) -> None:
        model = deployments.model()
        for environment in ("development", "staging", "production"):
            deployments.deploy(model, environment=environment)
        first = api.send(USER, "GET", "/v1/deployments?limit=2&status=deploying").json
        assert [each["environment"] for each in first["deployments"]] == ["production", "staging"]
        rest = api.send(USER, "GET", f"/v1/deployments?status=deploying&cursor={first['next_cursor']}").json
        assert [each["environment"] for each in rest["deployments"]] == ["development"]
        assert api.send(USER, "GET", f"/v1/deployments?model_id={model.model_id}&environment=staging").json[
            "deployments"
        ]

    @pytest.mark.parametrize("query", ["environment=laptop", "status=new", "limit=x", "cursor=abc", "name=churn"])
    def test_names_a_parameter_that_is_wrong(self, api: Gateway, query: str) -> None:
        answer = api.send(USER, "GET", f"/v1/deployments?{query}")
        assert (answer.status, answer.json["errors"][0]["field"]) == (400, query.partition("=")[0])

    @pytest.mark.parametrize(
        ("method", "suffix", "body"),
        [("GET", "", None), ("DELETE", "", None), ("POST", "/invocations", {"inputs": []})],
    )
    def test_is_the_same_404_for_a_stranger_and_for_nothing(
        self, deployments: Deployments, api: Gateway, method: str, suffix: str, body: Any
    ) -> None:
        active = deployments.active(deployments.model())
        theirs = api.send(STRANGER, method, f"/v1/deployments/{active.deployment_id}{suffix}", body)
        missing = api.send(STRANGER, method, f"/v1/deployments/none{suffix}", body)
        assert (theirs.status, theirs.body) == (404, missing.body)


class TestDelete:
    def test_answers_202_each_time(self, deployments: Deployments, api: Gateway) -> None:
        active = deployments.active(deployments.model())
        path = f"/v1/deployments/{active.deployment_id}"
        answers = [api.send(DEPLOYER, "DELETE", path) for _ in range(2)]
        assert [(answer.status, answer.json["status"]) for answer in answers] == [(202, "inactive")] * 2
        assert len(deployments.undeploy_machine.started) == 1


class TestInvoke:
    @pytest.fixture
    def path(self, deployments: Deployments) -> str:
        return f"/v1/deployments/{deployments.active(deployments.model()).deployment_id}/invocations"

    def test_passes_json_on_and_names_the_variant(self, deployments: Deployments, api: Gateway, path: str) -> None:
        answer = api.send(USER, "POST", path, '{"inputs": [[1]]}')
        assert (answer.status, answer.json, answer.headers["X-Variant"]) == (200, {"predictions": [0, 1]}, "v1")
        _, invocation = deployments.runtime.invocations[-1]
        assert (invocation.body, invocation.media_type, invocation.accept) == (
            b'{"inputs": [[1]]}',
            "application/json",
            "application/json",
        )

    def test_notes_the_exposure_of_an_experiment(self, deployments: Deployments, api: Gateway, path: str) -> None:
        headers = {"X-Experiment": "e-1", "X-Assignment-Key": "ada"}
        answer = api.send(USER, "POST", path, {"inputs": [[1]]}, headers)
        assert (answer.status, answer.headers["X-Exposure"]) == (200, "recorded")
        ((experiment, unit),) = deployments.exposures.taken
        assert (experiment, unit.variant, unit.key) == ("e-1", "v1", "ada")
        assert unit.request_id == answer.headers["X-Request-Id"]

    def test_answers_all_the_same_when_the_exposure_is_refused(
        self, deployments: Deployments, api: Gateway, path: str
    ) -> None:
        deployments.exposures.refusing = NotFound("experiment")
        answer = api.send(USER, "POST", path, {"inputs": [[1]]}, {"X-Experiment": "e-2"})
        assert (answer.status, answer.headers["X-Exposure"]) == (200, "not-found")
        assert "X-Exposure" not in api.send(USER, "POST", path, {"inputs": [[1]]}).headers

    def test_passes_csv_on_as_it_is(self, deployments: Deployments, api: Gateway, path: str) -> None:
        deployments.runtime.answers = [Answer(b"0\n1\n", "text/csv", "v1")]
        headers = {"content-type": "text/csv; charset=utf-8", "accept": "text/csv, */*;q=0.1"}
        answer = api.send(USER, "POST", path, "1,2\n3,4\n", headers)
        assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, "0\n1\n", "text/csv")
        _, invocation = deployments.runtime.invocations[-1]
        assert (invocation.body, invocation.media_type, invocation.accept) == (b"1,2\n3,4\n", "text/csv", "text/csv")

    @pytest.mark.parametrize(
        ("error", "status", "code"),
        [
            (InvalidRequest("The model refused the request: row 0 has 3 cells"), 400, "invalid-request"),
            (ModelFailed("The model failed: out of memory"), 502, "model-failed"),
            (Unavailable("Try again."), 503, "unavailable"),
        ],
    )
    def test_answers_with_a_problem_that_has_the_containers_words(
        self, deployments: Deployments, api: Gateway, path: str, error: Any, status: int, code: str
    ) -> None:
        deployments.runtime.answers = [error]
        answer = api.send(USER, "POST", path, "[[1]]")
        assert (answer.status, answer.json["code"], answer.json["detail"]) == (status, code, error.detail)

    def test_refuses_other_media_types(self, api: Gateway, path: str) -> None:
        assert api.send(USER, "POST", path, "x", {"content-type": "application/octet-stream"}).status == 415


class TestTasks:
    """The events as the machines' definitions write them."""

    def test_drive_a_deployment_up_and_down(self, deployments: Deployments, platform: Any) -> None:
        deployment = deployments.deploy(deployments.model())
        ids = {"tenant": "acme", "deployment_id": deployment.deployment_id}
        event = {**ids, "revision": 1}
        deployments.sagemaker.carry_out(tasks.plan_deployment(platform, event))
        assert tasks.await_endpoint(platform, {**event, "token": "t"}) == {"answered": False}
        deployments.sagemaker.settle(deployment.endpoint)
        tasks.on_endpoint_event(
            platform, {"detail": {"EndpointName": deployment.endpoint, "EndpointStatus": "IN_SERVICE"}}
        )
        assert deployments.waiters.answers == {"t": ("succeeded", "")}
        assert "2 prediction(s)" in tasks.smoke_test(platform, event)["evidence"]
        assert tasks.finish_deployment(platform, {**event, "error": None}) == {"status": "active"}

        deployments.service.undeploy(DEPLOYER, deployment.deployment_id)
        plan = tasks.plan_deployment(platform, {**ids, "action": "undeploy"})
        names = [f"{deployment.endpoint}-1"]
        assert plan == {
            "next": "delete",
            "endpoint_name": deployment.endpoint,
            "endpoint_config_names": names,
            "model_names": names,
        }
        deployments.sagemaker.delete(plan["endpoint_name"])
        assert tasks.finish_deployment(platform, {**ids, "action": "undeploy", "error": None}) == {
            "status": "terminated"
        }

    @pytest.mark.parametrize(
        ("error", "text"),
        [
            (None, None),
            ({}, None),
            ("plain", "plain"),
            (
                {"Error": "SmokeTestFailed", "Cause": '{"errorMessage": "no predictions", "errorType": "x"}'},
                "no predictions",
            ),
            ({"Error": "EndpointFailed", "Cause": "no ping"}, "no ping"),
            (
                {"Error": "SageMaker.ResourceLimitExceeded", "Cause": "0 instances"},
                "SageMaker.ResourceLimitExceeded: 0 instances",
            ),
            ({"Error": "States.Timeout"}, "The endpoint did not settle in time."),
            ({"Error": "Boom", "Cause": "[1]"}, "Boom: [1]"),
        ],
    )
    def test_say_what_a_machine_caught_in_words(self, error: Any, text: str | None) -> None:
        assert tasks.error_text(error) == text
