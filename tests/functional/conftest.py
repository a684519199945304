"""Before any functional test: moto answers without searching each value of DynamoDB under a dozen names.

Two thirds of these tests' time was moto's serializer, which asks of every attribute value, for each of its ten kinds, under
which of many aliases it might be there. A value is a dictionary with one kind as its key.
"""

from __future__ import annotations

from typing import Any

from moto.core import serialize

_searched = serialize.ResponseSerializer.get_value


def _get_value(self: Any, value: Any, key: str, shape: Any) -> Any:
    if type(value) is dict and getattr(shape.parent, "name", "") == "AttributeValue":
        return value.get(key)
    return _searched(self, value, key, shape)


serialize.ResponseSerializer.get_value = _get_value
