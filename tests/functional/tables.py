"""The template's own tables, created in moto: what the stores are tested on has the shape of what is deployed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra import names, tables

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_KEPT = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")


def create_table(client: DynamoDBClient, name: str, called: str | None = None) -> str:
    """Create one of the template's tables (`jobs`, `metrics`, ...) under that name, or under another."""
    properties = tables.fragment()["Resources"][names.table_id(name)]["Properties"]
    client.create_table(TableName=called or name, **{key: properties[key] for key in _KEPT if key in properties})
    return called or name
