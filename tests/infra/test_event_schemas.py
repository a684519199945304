"""The published schemas: what is committed is what is sent, and a version is only ever added to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra import event_schemas

# Version 1 as it was published first. Said again here on purpose: whoever takes one of these away breaks a consumer.
FIRST: dict[str, set[str]] = {
    "training.job.submitted": {
        *("eventId", "schemaVersion", "occurredAt", "tenantId", "recordVersion", "jobId", "userId", "name"),
        *("framework", "priority", "backend", "instanceType", "instanceCount"),
    },
    "training.job.status-changed": {
        *("eventId", "schemaVersion", "occurredAt", "tenantId", "recordVersion", "jobId", "userId", "name"),
        *("status", "previousStatus", "state", "previousState", "attempts", "failureReason", "modelId"),
    },
    "training.job.checkpoints-overdue": {
        *("eventId", "schemaVersion", "occurredAt", "tenantId", "recordVersion", "jobId", "userId", "name"),
        "overdueSince",
    },
    "training.model.ready": {
        *("eventId", "schemaVersion", "occurredAt", "tenantId", "recordVersion", "modelId", "userId", "name"),
        *("version", "framework", "servable", "jobId"),
    },
    "training.metrics.recorded": {
        *("eventId", "schemaVersion", "occurredAt", "tenantId", "recordVersion", "jobId", "metrics"),
    },
    "deployment.status-changed": {
        *("eventId", "schemaVersion", "occurredAt", "tenantId", "recordVersion", "deploymentId", "userId", "name"),
        *("environment", "modelId", "modelVersion", "status", "previousStatus", "failureReason"),
    },
    "rollout.status-changed": {
        *("eventId", "schemaVersion", "occurredAt", "tenantId", "recordVersion", "deploymentId", "rolloutId", "userId"),
        *("modelId", "modelVersion", "status", "previousStatus", "step", "steps", "reason"),
    },
    "transform.status-changed": {
        *("eventId", "schemaVersion", "occurredAt", "tenantId", "recordVersion", "transformId", "userId", "modelId"),
        *("modelName", "modelVersion", "status", "previousStatus", "failureReason", "costUsd"),
    },
    "quota.exceeded": {
        *("eventId", "schemaVersion", "occurredAt", "tenantId", "recordVersion", "userId", "operation", "detail"),
        "requestId",
    },
    "webhook.disabled": {
        *(
            "eventId",
            "schemaVersion",
            "occurredAt",
            "tenantId",
            "recordVersion",
            "userId",
            "webhookId",
            "host",
            "reason",
        ),
    },
}


def _published(kind: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((event_schemas.FOLDER / f"{kind}.v1.json").read_text("utf-8"))
    return document


def test_are_what_the_code_sends() -> None:
    assert event_schemas.stale() == []


def test_are_of_every_type() -> None:
    assert {path.name.removesuffix(".v1.json") for path in event_schemas.files()} == set(FIRST)


@pytest.mark.parametrize("kind", FIRST)
def test_have_every_field_of_the_first_version(kind: str) -> None:
    assert FIRST[kind] <= set(_published(kind)["properties"])


@pytest.mark.parametrize("kind", FIRST)
def test_let_a_reader_meet_a_field_that_it_does_not_know(kind: str) -> None:
    assert "additionalProperties" not in json.dumps(_published(kind))


@pytest.mark.parametrize("kind", FIRST)
def test_require_nothing_that_the_first_version_did_not_have(kind: str) -> None:
    assert set(_published(kind)["required"]) <= FIRST[kind]
