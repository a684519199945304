"""The embedded cloud's DynamoDB as a client, without a socket: ministack's own handlers, called directly."""

from __future__ import annotations

import json
from typing import Any

from ministack.services import dynamodb

from benchmarks.dynamodb import MemoryDynamoDB
from infra import names, tables

_OPERATIONS = {
    "get_item": dynamodb._get_item,
    "put_item": dynamodb._put_item,
    "update_item": dynamodb._update_item,
    "delete_item": dynamodb._delete_item,
    "query": dynamodb._query,
    "batch_get_item": dynamodb._batch_get_item,
    "batch_write_item": dynamodb._batch_write_item,
    "transact_write_items": dynamodb._transact_write_items,
}
_KEPT = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")


class EmbeddedDynamoDB:
    """Answers like boto3's client."""

    exceptions = MemoryDynamoDB.exceptions

    def __getattr__(self, name: str) -> Any:
        operation = _OPERATIONS[name]

        def call(**arguments: Any) -> Any:
            status, _headers, body = operation(json.loads(json.dumps(arguments)))
            answer = json.loads(body)
            if status < 400:
                return answer
            code = answer["__type"].rpartition("#")[2]
            kind: Any = getattr(self.exceptions, code, self.exceptions.ClientError)
            said = {"Error": {"Code": code, "Message": answer.get("message", "")}}
            raise kind(said | {"CancellationReasons": answer.get("CancellationReasons", [])}, name)

        return call

    def add_table(self, name: str, kind: str) -> None:
        properties = tables.fragment()["Resources"][names.table_id(kind)]["Properties"]
        dynamodb._delete_table({"TableName": name})
        status, _headers, body = dynamodb._create_table(
            {"TableName": name, **{key: properties[key] for key in _KEPT if key in properties}}
        )
        assert status == 200, body
