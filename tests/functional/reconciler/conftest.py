"""Both rooms that are reconciled, each on a DynamoDB of its own."""

from __future__ import annotations

from tests.functional.deployments.conftest import deployments, dynamodb, validate
from tests.functional.jobs.conftest import jobs

__all__ = ["deployments", "dynamodb", "jobs", "validate"]
