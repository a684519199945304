"""`/models` over HTTP, and the task behind the state machine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.jobs.job import Job
from chalicelib.models import tasks
from chalicelib.models.routes import rooms
from tests.functional.models.conftest import ALICE, BOB, STRANGER, Models, job, manifest
from tests.functional.rest import Gateway

EVENT = {"tenant": "acme", "job_id": "j-1", "attempt": 1}


@pytest.fixture
def api(models: Models) -> Gateway:
    platform: Any = SimpleNamespace(models=models.service)
    authorizer: Any = None
    return Gateway.of(rooms(platform, authorizer))


class TestGet:
    def test_is_the_contracts_model(self, models: Models, api: Gateway) -> None:
        model = models.trained()
        document = api.send(BOB, "GET", f"/v1/models/{model.model_id}").json
        assert {
            "id": model.model_id,
            "name": "churn",
            "version": "1",
            "framework": "sklearn",
            "status": "ready",
            "training_job_id": "j-1",
            "metrics": {"accuracy": 0.9},
            "tenant": "acme",
            "user_id": "alice",
            "kind": "sklearn",
            "servable": True,
            "mlflow": {"name": "acme~churn", "version": "1", "run_id": "run-of-j-1", "alias": "newest"},
        }.items() <= document.items()
        assert [artifact["type"] for artifact in document["artifacts"]] == ["model"]
        assert document["created_at"].endswith("Z")

    def test_is_the_same_404_for_a_stranger_and_for_nothing(self, models: Models, api: Gateway) -> None:
        model = models.trained()
        theirs = api.send(STRANGER, "GET", f"/v1/models/{model.model_id}")
        missing = api.send(BOB, "GET", "/v1/models/none")
        assert (theirs.status, theirs.body) == (404, missing.body)


class TestList:
    def test_pages_with_limit_offset_and_cursor(self, models: Models, api: Gateway) -> None:
        for number in range(3):
            models.trained(f"j-{number}")
        first = api.send(ALICE, "GET", "/v1/models?limit=2&framework=sklearn&status=ready").json
        assert [model["version"] for model in first["models"]] == ["3", "2"]
        following = f"/v1/models?limit=2&framework=sklearn&status=ready&cursor={first['next_cursor']}"
        second = api.send(ALICE, "GET", following).json
        assert ([model["version"] for model in second["models"]], second["next_cursor"]) == (["1"], None)
        assert [model["version"] for model in api.send(ALICE, "GET", "/v1/models?offset=1").json["models"]] == [
            "2",
            "1",
        ]

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("framework=keras", "framework"),
            ("status=new", "status"),
            ("limit=0", "limit"),
            ("limit=1000001", "limit"),
            ("offset=-1", "offset"),
            ("cursor=abc", "cursor"),
            ("cursor=e30&offset=1", "offset"),
            ("name=churn", "name"),
        ],
    )
    def test_names_a_parameter_that_is_wrong(self, api: Gateway, query: str, field: str) -> None:
        answer = api.send(ALICE, "GET", f"/v1/models?{query}")
        assert (answer.status, [error["field"] for error in answer.json["errors"]]) == (400, [field])


class TestRegister:
    def test_answers_201_with_the_models_address(self, models: Models, api: Gateway) -> None:
        body = {"name": "churn", "framework": "sklearn", "artifact_path": models.upload(), "metrics": {"accuracy": 1}}
        answer = api.send(ALICE, "POST", "/v1/models", body)
        assert (answer.status, answer.headers["Location"]) == (201, f"/api/v1/models/{answer.json['id']}")
        assert (answer.json["version"], answer.json["status"], answer.json["metrics"]) == (
            "1",
            "ready",
            {"accuracy": 1.0},
        )

    def test_answers_409_for_a_version_that_is_there(self, models: Models, api: Gateway) -> None:
        body = {"name": "churn", "framework": "sklearn", "artifact_path": models.upload(), "version": "1.0"}
        assert api.send(ALICE, "POST", "/v1/models", body).status == 201
        assert api.send(ALICE, "POST", "/v1/models", body).status == 409

    @pytest.mark.parametrize(
        ("change", "status", "field"),
        [
            ({"artifact_path": "s3://artifacts/tenants/umbrella/model.tar.gz"}, 422, "artifact_path"),
            ({"artifact_path": "/etc/passwd"}, 422, "artifact_path"),
            ({"version": "1/2"}, 400, "version"),
            ({"name": "a/b"}, 400, "name"),
            ({"framework": "keras"}, 400, "framework"),
            ({"metrics": {"accuracy": "high"}}, 400, "metrics.accuracy"),
            ({"status": "ready"}, 400, "status"),
            ({"tenant": "umbrella"}, 400, "tenant"),
        ],
    )
    def test_names_the_field_that_is_wrong(
        self, models: Models, api: Gateway, change: dict[str, Any], status: int, field: str
    ) -> None:
        body = {"name": "churn", "framework": "sklearn", "artifact_path": models.upload(), **change}
        answer = api.send(ALICE, "POST", "/v1/models", body)
        assert (answer.status, [error["field"] for error in answer.json["errors"]]) == (status, [field])
        assert all(error["cure"] for error in answer.json["errors"])


class TestChange:
    def test_deprecates(self, models: Models, api: Gateway) -> None:
        model = models.trained()
        answer = api.send(ALICE, "PATCH", f"/v1/models/{model.model_id}", {"status": "deprecated"})
        assert (answer.status, answer.json["status"]) == (200, "deprecated")

    @pytest.mark.parametrize("body", [{"status": "ready"}, {"status": "deployed"}, {}, {"name": "x"}, []])
    def test_can_change_nothing_else(self, models: Models, api: Gateway, body: Any) -> None:
        model = models.trained()
        assert api.send(ALICE, "PATCH", f"/v1/models/{model.model_id}", body).status == 400


class TestTask:
    def platform(self, models: Models, found: Job | None, document: Any, linked: list[Any]) -> Any:
        def require(tenant: str, job_id: str) -> Job:
            if found is None:
                raise LookupError(job_id)
            return found

        return SimpleNamespace(
            job_store=SimpleNamespace(require=require),
            objects=SimpleNamespace(read_json=lambda key: document),
            lifecycle=SimpleNamespace(set_model=lambda *arguments: linked.append(arguments)),
            registration=models.registration,
        )

    def test_registers_and_links_the_job_to_its_model_every_time(self, models: Models) -> None:
        linked: list[Any] = []
        platform = self.platform(models, job(), manifest(), linked)
        answers = [tasks.register_model(platform, EVENT) for _ in range(2)]
        assert answers[0] == answers[1]
        assert linked == [("acme", "j-1", answers[0]["model_id"])] * 2
        assert models.listed() == ["churn:1"]

    def test_is_content_with_a_script_that_left_no_model(self, models: Models) -> None:
        linked: list[Any] = []
        platform = self.platform(models, job(), {**manifest(), "model": None}, linked)
        assert tasks.register_model(platform, EVENT) == {"model_id": None}
        assert linked == []

    @pytest.mark.parametrize(("found", "document"), [(None, manifest()), (job(), None)])
    def test_fails_without_a_job_or_a_manifest(self, models: Models, found: Job | None, document: Any) -> None:
        with pytest.raises(LookupError):
            tasks.register_model(self.platform(models, found, document, []), EVENT)
