"""The issuer's last good keys on moto's DynamoDB."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from chalicelib.identity.store import LastGoodKeys
from chalicelib.table import Table
from tests.functional.tables import create_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

URL = "https://issuer.example/jwks.json"


@pytest.fixture(scope="module")
def dynamodb() -> DynamoDBClient:
    with mock_aws():
        return boto3.client("dynamodb", "us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")


@pytest.fixture
def kept(dynamodb: DynamoDBClient) -> Iterator[LastGoodKeys]:
    with mock_aws():
        yield LastGoodKeys(Table(dynamodb, create_table(dynamodb, "keys")), URL)


class TestLastGoodKeys:
    def test_come_back_as_they_were_saved(self, kept: LastGoodKeys) -> None:
        assert kept.load() is None
        for document in (b'{"keys": [1]}', b'{"keys": [1]}', b'{"keys": [2]}'):
            kept.save(document)
            assert kept.load() == document

    def test_are_those_of_one_address(self, kept: LastGoodKeys) -> None:
        kept.save(b"{}")
        assert replace(kept, url="https://another.example/").load() is None

    def test_are_nothing_while_the_table_is_away(self, kept: LastGoodKeys) -> None:
        away = replace(kept, table=replace(kept.table, name="nowhere"))
        away.save(b"{}")
        assert away.load() is None
