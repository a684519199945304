"""A model enters MLflow's registry once, whatever gets lost on the way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib.errors import Unavailable
from chalicelib.tracking.client import MlflowRefused
from chalicelib.tracking.registry import MODEL_ID_TAG, NEWEST, NewVersion
from tests.unit.tracking.fake_mlflow import FakeMlflow

CHURN = NewVersion(
    "churn", "id-1", "s3://bucket/jobs/1/model.tar.gz", run_id="run-1", tags={"aimatrix.kind": "sklearn"}
)


class TestRegister:
    def test_makes_the_registered_model_its_version_and_the_alias(self) -> None:
        mlflow = FakeMlflow()
        entered = mlflow.registry().register(CHURN)
        assert (entered.name, entered.version, entered.run_id, entered.alias) == ("churn", "1", "run-1", NEWEST)
        assert mlflow.models["churn"]["aliases"] == {NEWEST: "1"}
        (version,) = mlflow.versions
        assert (version["source"], version["run_id"]) == (CHURN.source, "run-1")
        assert {tag["key"]: tag["value"] for tag in version["tags"]} == {
            MODEL_ID_TAG: "id-1",
            "aimatrix.kind": "sklearn",
        }

    def test_finds_its_version_when_it_is_repeated(self) -> None:
        mlflow = FakeMlflow()
        first = mlflow.registry().register(CHURN)
        assert mlflow.registry().register(CHURN) == first
        assert len(mlflow.versions) == 1

    def test_tells_two_models_of_one_run_apart(self) -> None:
        mlflow = FakeMlflow()
        assert mlflow.registry().register(CHURN).version == "1"
        assert mlflow.registry().register(replace(CHURN, model_id="id-2")).version == "2"

    def test_finds_a_version_without_a_run_by_its_tag(self) -> None:
        mlflow = FakeMlflow()
        runless = replace(CHURN, run_id=None)
        assert mlflow.registry().register(runless) == mlflow.registry().register(runless)
        assert len(mlflow.versions) == 1

    def test_makes_one_version_though_the_answer_to_its_creation_is_lost(self) -> None:
        mlflow = FakeMlflow(troubles={"model-versions/create": ["answer lost"]})
        assert mlflow.registry().register(CHURN).version == "1"
        assert len(mlflow.versions) == 1
        assert mlflow.calls.count("POST model-versions/create") == 1

    @pytest.mark.parametrize("trouble", ["lost", 500, 503, 429])
    def test_tries_again_when_the_creation_did_not_get_through(self, trouble: int | str) -> None:
        mlflow = FakeMlflow(troubles={"model-versions/create": [trouble, trouble]})
        assert mlflow.registry().register(CHURN).version == "1"
        assert len(mlflow.versions) == 1

    @pytest.mark.parametrize(
        ("path", "trouble"),
        [
            ("registered-models/create", "answer lost"),
            ("model-versions/search", "answer lost"),
            ("model-versions/create", "lost"),
            ("registered-models/alias", "answer lost"),
        ],
    )
    def test_is_unavailable_when_a_step_never_gets_through_and_finishes_when_repeated(
        self, path: str, trouble: str
    ) -> None:
        mlflow = FakeMlflow(troubles={path: [trouble] * 4})
        with pytest.raises(Unavailable):
            mlflow.registry().register(CHURN)
        mlflow.troubles.clear()
        entered = mlflow.registry().register(CHURN)
        assert (entered.version, len(mlflow.versions)) == ("1", 1)
        assert mlflow.models["churn"]["aliases"] == {NEWEST: "1"}

    def test_passes_a_refusal_on(self) -> None:
        mlflow = FakeMlflow(troubles={"model-versions/create": [400]})
        with pytest.raises(MlflowRefused, match="400"):
            mlflow.registry().register(CHURN)

    def test_leaves_out_a_tag_that_mlflow_would_refuse_for_its_length(self) -> None:
        mlflow = FakeMlflow()
        mlflow.registry().register(
            replace(CHURN, tags={"aimatrix.signature": "x" * 60_000, "aimatrix.kind": "sklearn"})
        )
        assert [tag["key"] for tag in mlflow.versions[0]["tags"]] == [MODEL_ID_TAG, "aimatrix.kind"]


class TestAlias:
    def test_points_at_the_newest_version_even_when_an_older_one_is_registered_again(self) -> None:
        mlflow = FakeMlflow()
        mlflow.registry().register(CHURN)
        mlflow.registry().register(replace(CHURN, model_id="id-2", run_id="run-2"))
        mlflow.registry().register(CHURN)
        assert mlflow.models["churn"]["aliases"] == {NEWEST: "2"}

    def test_of_two_that_register_at_once_the_later_one_to_set_it_sees_the_newer_version(self) -> None:
        mlflow = FakeMlflow()
        registry = mlflow.registry()

        class Overtaken(FakeMlflow):
            """Between looking for the newest version and setting the alias, another registration comes to its end."""

            def __init__(self) -> None:
                super().__init__(models=mlflow.models, versions=mlflow.versions)

            def send(self, method, url, body, headers):  # type: ignore[no-untyped-def]
                if "registered-models/alias" in url and len(self.versions) == 1:
                    registry.register(replace(CHURN, model_id="id-2", run_id="run-2"))
                return super().send(method, url, body, headers)

        Overtaken().registry().register(CHURN)
        assert mlflow.models["churn"]["aliases"] == {NEWEST: "2"}


class TestLoggedModel:
    LOGGED = replace(CHURN, logged_model_id="m-1")

    def test_takes_the_place_where_mlflow_keeps_the_logged_model_as_the_source(self) -> None:
        mlflow = FakeMlflow(logged_models={"m-1": {"artifact_uri": "mlflow-artifacts:/1/models/m-1/artifacts"}})
        mlflow.registry().register(self.LOGGED)
        (version,) = mlflow.versions
        assert (version["source"], version["model_id"]) == ("mlflow-artifacts:/1/models/m-1/artifacts", "m-1")

    def test_falls_back_to_the_archive_when_mlflow_does_not_know_the_model(self) -> None:
        mlflow = FakeMlflow()
        mlflow.registry().register(self.LOGGED)
        assert mlflow.versions[0]["source"] == CHURN.source
        assert "model_id" not in mlflow.versions[0]

    def test_adopts_the_version_that_the_script_itself_registered(self) -> None:
        mlflow = FakeMlflow(models={"churn": {"aliases": {}}})
        mlflow.versions.append({"name": "churn", "version": "1", "run_id": "run-1", "model_id": "m-1", "tags": []})
        assert mlflow.registry().register(self.LOGGED).version == "1"
        assert {"key": MODEL_ID_TAG, "value": "id-1"} in mlflow.versions[0]["tags"]
        assert mlflow.registry().register(self.LOGGED).version == "1"
        assert len(mlflow.versions) == 1
