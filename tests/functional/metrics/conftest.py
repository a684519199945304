from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from chalicelib.metrics.store import MetricStore
from chalicelib.table import Table
from tests.functional.tables import create_table


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[MetricStore]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        dynamodb = boto3.client("dynamodb")
        yield MetricStore(Table(dynamodb, create_table(dynamodb, "metrics")))
