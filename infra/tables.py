"""DynamoDB: tables of one shape, and the indexes that the lists are read from."""

from __future__ import annotations

from infra import names
from infra.names import Json

# Which index answers which question. Every index key is an attribute of its own (`tenant_key`, ...), so that an item
# enters an index by having the attribute, and is spread over partitions by what the store puts into it.
INDEXES: dict[str, tuple[str, ...]] = {
    "jobs": ("tenant", "tenant-status", "owner", "owner-status"),
    "metrics": (),
    "quotas": ("kind",),
    "models": ("tenant", "tenant-status", "tenant-framework", "tenant-framework-status"),
    "deployments": ("tenant", "tenant-status", "tenant-environment", "tenant-environment-status", "model", "live"),
    "experiments": ("tenant", "tenant-status"),
    "retraining": ("live",),
    "audit": ("tenant", "actor", "subject", "action"),
    "usage": ("tenant-month", "owner-month"),
    "keys": ("tenant", "owner"),
    "capacity": ("age",),
    "events": ("kind",),
    "webhooks": ("tenant", "owner", "webhook", "due"),
}
SORT_KEY = "listed_at"
TIME_TO_LIVE = "expires_at"


def index_key(index: str) -> str:
    return f"{index.replace('-', '_')}_key"


def _keys(partition: str, sort: str) -> list[Json]:
    return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]


def _index(index: str) -> Json:
    return {
        "IndexName": f"by-{index}",
        "KeySchema": _keys(index_key(index), SORT_KEY),
        "Projection": {"ProjectionType": "ALL"},
    }


def _table(table: str) -> Json:
    indexes = INDEXES[table]
    attributes = ["pk", "sk", *(index_key(index) for index in indexes), *([SORT_KEY] if indexes else [])]
    properties: Json = {
        "TableName": names.stack_name(table),
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in attributes],
        "KeySchema": _keys("pk", "sk"),
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        "SSESpecification": {"SSEEnabled": True},
        "StreamSpecification": {"StreamViewType": "NEW_AND_OLD_IMAGES"},
        "TimeToLiveSpecification": {"AttributeName": TIME_TO_LIVE, "Enabled": True},
    }
    if indexes:
        properties["GlobalSecondaryIndexes"] = [_index(index) for index in indexes]
    # The records outlive the stack, unless its very first creation fails: then nothing is in them yet.
    return {
        "Type": "AWS::DynamoDB::Table",
        "DeletionPolicy": "RetainExceptOnCreate",
        "UpdateReplacePolicy": "Retain",
        "Properties": properties,
    }


def fragment() -> Json:
    return {
        "Resources": {names.table_id(table): _table(table) for table in names.TABLES},
        "Outputs": {
            names.table_id(table): {
                "Description": f"Name of the table of {table}",
                "Value": names.ref(names.table_id(table)),
            }
            for table in names.TABLES
        },
    }
