"""A finished job's model enters both registries once, however often the task is repeated."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib.errors import Unavailable
from chalicelib.models.model import ModelFilter, ModelStatus
from chalicelib.models.store import VersionTaken
from tests.functional.models.conftest import ALICE, Models, job, manifest
from tests.unit.tracking.fake_mlflow import FakeMlflow


class TestRegisterFromJob:
    def test_makes_a_ready_model_with_all_that_the_manifest_says(self, models: Models) -> None:
        model = models.trained()
        assert models.store.get("acme", model.model_id) == model
        assert (model.name, model.version, model.status, model.training_job_id) == (
            "churn",
            "1",
            ModelStatus.READY,
            "j-1",
        )
        assert (model.user, model.tags, model.description, model.metrics) == (
            "alice",
            ("nightly",),
            "weekly",
            {"accuracy": 0.9},
        )
        assert (model.kind, model.servable, model.input_example) == (
            "sklearn",
            True,
            {"inputs": [[1.0, 2.0], [3.0, 4.0]]},
        )

    def test_links_it_to_the_run_in_mlflow(self, models: Models) -> None:
        model = models.trained()
        assert model.mlflow is not None
        assert (model.mlflow.name, model.mlflow.version, model.mlflow.run_id) == ("acme~churn", "1", "run-of-j-1")
        tags = {tag["key"]: tag["value"] for tag in models.mlflow.versions[0]["tags"]}
        assert tags["aimatrix.job_id"] == "j-1"
        assert tags["aimatrix.sha256"] == "a" * 64
        assert tags["aimatrix.signature"] == '{"inputs":[{"type":"double","required":true}]}'

    def test_changes_nothing_when_it_is_repeated(self, models: Models) -> None:
        first = models.trained()
        assert [models.trained() for _ in range(3)] == [first] * 3
        assert len(models.mlflow.versions) == 1
        assert models.listed() == ["churn:1"]

    def test_numbers_the_versions_of_a_name(self, models: Models) -> None:
        assert [models.trained(job_id).version for job_id in ("j-1", "j-2", "j-3")] == ["1", "2", "3"]
        assert models.trained("j-2").version == "2"

    def test_counts_on_behind_a_number_that_was_registered_by_hand(self, models: Models) -> None:
        models.register(version="7")
        models.register(version="v3")
        assert models.trained().version == "8"

    def test_registers_a_model_that_can_not_be_served_with_the_reason(self, models: Models) -> None:
        model = models.trained(servable=False, reason="no inference.py", kind="unknown")
        assert (model.status, model.servable, model.servable_reason) == (ModelStatus.READY, False, "no inference.py")

    def test_makes_none_of_a_script_that_left_none(self, models: Models) -> None:
        assert models.registration.register_from_job(job(), 1, {**manifest(), "model": None}) is None
        assert models.listed() == []

    def test_stays_in_training_while_mlflow_is_away_and_goes_on_from_there(self, models: Models) -> None:
        models.mlflow.troubles["registered-models/create"] = ["lost"] * 4
        with pytest.raises(Unavailable):
            models.trained()
        (waiting,) = models.service.search(ALICE, _all(), 10, 0, None).models
        assert (waiting.status, waiting.version, waiting.mlflow) == (ModelStatus.TRAINING, "1", None)
        assert models.trained().status is ModelStatus.READY
        assert models.listed() == ["churn:1"]

    def test_finds_the_mlflow_version_when_it_died_before_the_link_was_written(self, models: Models) -> None:
        model = models.trained()
        back = replace(model, status=ModelStatus.TRAINING, mlflow=None)
        models.store.update(model, back, models.clock())
        again = models.trained()
        assert again.status is ModelStatus.READY
        assert len(models.mlflow.versions) == 1

    def test_leaves_a_model_deprecated_that_was_given_up_meanwhile(self, models: Models) -> None:
        class GivenUp(FakeMlflow):
            """While MLflow is asked, the owner deprecates the model."""

            def send(self, method, url, body, headers):  # type: ignore[no-untyped-def]
                if url.endswith("registered-models/alias"):
                    (model,) = models.service.search(ALICE, _all(), 10, 0, None).models
                    models.service.deprecate(ALICE, model.model_id)
                return super().send(method, url, body, headers)

        registration = replace(models.registration, registry=GivenUp().registry())
        model = registration.register_from_job(job(), 1, manifest())
        assert model is not None
        assert model.status is ModelStatus.DEPRECATED


class TestVersionRace:
    def test_two_registrations_of_one_name_get_two_numbers(self, models: Models) -> None:
        class Overtaken(type(models.store)):  # type: ignore[misc]
            """Another job's model takes the number between the look at the counter and the write."""

            overtaken = False

            def _next_number(self, tenant: str, name: str) -> int:
                number = super()._next_number(tenant, name)
                if not self.overtaken:
                    type(self).overtaken = True
                    models.trained("j-2")
                return int(number)

        slow = replace(models.registration, store=Overtaken(models.store.table))
        model = slow.register_from_job(job("j-1"), 1, manifest("j-1"))
        assert model is not None
        assert model.version == "2"
        assert sorted(models.listed()) == ["churn:1", "churn:2"]

    def test_of_two_with_the_same_explicit_version_one_is_refused(self, models: Models) -> None:
        model = models.register(version="1.0")
        other = replace(model, model_id="another")
        with pytest.raises(VersionTaken):
            models.store.create(other)
        assert models.store.get("acme", "another") is None


def _all() -> ModelFilter:
    return ModelFilter()
