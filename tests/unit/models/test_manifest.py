"""A manifest comes out of the user's container: it is checked, not trusted."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from chalicelib.jobs.job import Allocation, Backend, Job, TimeLimit
from chalicelib.models.manifest import MAX_DOCUMENT_BYTES, MAX_METRICS, BadManifest, trained_model
from chalicelib.quotas.quota import Amounts, Reservation

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ALLOCATION = Allocation(Backend.SAGEMAKER, "ml.m5.large", 1, 0, None, 2, 8, 20, Decimal("0.115"), "list", "2026-01-01")
HELD = Reservation("2026-03", Amounts())
JOB = Job("acme", "j-1", "alice", "churn", "sklearn", {}, ALLOCATION, NOW, NOW, TimeLimit(3600), HELD)
PLACE = "s3://artifacts/tenants/acme/jobs/j-1/attempt-2/"
MANIFEST: dict[str, Any] = {
    "schema": 1,
    "job_id": "j-1",
    "attempt": 2,
    "run": {"experiment_id": "1", "run_id": "run-1"},
    "artifacts": [
        {
            "name": "model.tar.gz",
            "type": "model",
            "path": PLACE + "model.tar.gz",
            "size_bytes": 9,
            "checksum": "a" * 64,
        },
        {
            "name": "plot.png",
            "type": "output",
            "path": PLACE + "output/plot.png",
            "size_bytes": 5,
            "checksum": "b" * 64,
        },
    ],
    "model": {
        "kind": "sklearn",
        "file": "model.joblib",
        "uri": PLACE + "model.tar.gz",
        "size_bytes": 9,
        "checksum": "a" * 64,
        "servable": True,
        "reason": None,
        "mlflow_model_id": None,
        "signature": {"inputs": [{"type": "double"}]},
        "input_example": {"inputs": [[1, 2]]},
    },
    "metrics": {"accuracy": 0.9, "epochs": 3},
}


def changed(**model: Any) -> dict[str, Any]:
    manifest = copy.deepcopy(MANIFEST)
    manifest["model"] |= model
    return manifest


class TestTrainedModel:
    def test_reads_what_the_agent_writes(self) -> None:
        trained = trained_model(JOB, 2, MANIFEST, "artifacts")
        assert trained is not None
        assert (trained.kind, trained.servable, trained.run_id) == ("sklearn", True, "run-1")
        assert trained.archive.uri == PLACE + "model.tar.gz"
        assert [artifact["name"] for artifact in trained.artifacts] == ["model.tar.gz"]
        assert trained.metrics == {"accuracy": 0.9, "epochs": 3.0}

    def test_is_none_without_a_model(self) -> None:
        assert trained_model(JOB, 2, {**MANIFEST, "model": None}, "artifacts") is None

    @pytest.mark.parametrize("other", [{"job_id": "j-2"}, {"attempt": 1}])
    def test_refuses_another_attempts_manifest(self, other: dict[str, Any]) -> None:
        with pytest.raises(BadManifest, match="another attempt"):
            trained_model(JOB, 2, {**MANIFEST, **other}, "artifacts")

    @pytest.mark.parametrize(
        "uri",
        [
            "s3://artifacts/tenants/umbrella/jobs/j-1/attempt-2/model.tar.gz",
            "s3://artifacts/tenants/acme/jobs/j-1/attempt-1/model.tar.gz",
            "s3://elsewhere/tenants/acme/jobs/j-1/attempt-2/model.tar.gz",
            PLACE + "../attempt-1/model.tar.gz",
            "/etc/passwd",
            "",
        ],
    )
    def test_refuses_a_model_that_lies_elsewhere(self, uri: str) -> None:
        with pytest.raises(BadManifest, match="outside"):
            trained_model(JOB, 2, changed(uri=uri), "artifacts")

    @pytest.mark.parametrize("model", [{"checksum": "no"}, {"checksum": None}, {"size_bytes": "many"}])
    def test_refuses_a_model_without_size_or_checksum(self, model: dict[str, Any]) -> None:
        with pytest.raises(BadManifest):
            trained_model(JOB, 2, changed(**model), "artifacts")

    def test_says_why_a_model_can_not_be_served(self) -> None:
        trained = trained_model(JOB, 2, changed(servable=False, reason="a pickle of a lambda"), "artifacts")
        assert trained is not None
        assert (trained.servable, trained.servable_reason) == (False, "a pickle of a lambda")

    def test_keeps_what_a_record_can_hold(self) -> None:
        large = {"inputs": ["x" * MAX_DOCUMENT_BYTES]}
        manifest = changed(signature=large, input_example=large, kind="surprise", mlflow_model_id="m'; drop")
        manifest["metrics"] = {f"m{number}": number for number in range(MAX_METRICS + 10)}
        trained = trained_model(JOB, 2, manifest, "artifacts")
        assert trained is not None
        assert (trained.signature, trained.input_example, trained.kind, trained.logged_model_id) == (
            None,
            None,
            "unknown",
            None,
        )
        assert len(trained.metrics) == MAX_METRICS

    def test_leaves_out_metrics_that_are_no_numbers_in_json(self) -> None:
        metrics = {"loss": float("nan"), "gain": float("inf"), "flag": True, "text": "NaN", "accuracy": 1}
        trained = trained_model(JOB, 2, {**MANIFEST, "metrics": metrics}, "artifacts")
        assert trained is not None
        assert trained.metrics == {"accuracy": 1.0}
