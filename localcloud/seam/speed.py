"""Four things that ministack asks so often that a user feels them, answered faster and otherwise alike.

A submission is a transaction of some seven writes, and items are copied five times for each: `copy.deepcopy` alone was a
tenth of its time. The same few actions are compared with the same few patterns of the roles at every call. An
expression is read and checked anew for each item that it is asked of. And a query asks its key condition of all items of a
partition, where AWS goes to the first one that fits: a page would take longer the more there is beside it.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

from ministack.core import iam_evaluator
from ministack.services import dynamodb

_PATTERNS_KEPT = 8192
_EXPRESSIONS_KEPT = 1024
# The forms that this service's tables ask in (chalicelib/table.py), and its SDK's likes; others are left to ministack.
_KEY_CONDITION = re.compile(
    r"(?P<pk>#\w+) = (?P<key>:\w+)"
    r"(?: AND (?:begins_with\((?P<begins>#\w+), (?P<prefix>:\w+)\)"
    r"|(?P<lies>#\w+) BETWEEN (?P<least>:\w+) AND (?P<most>:\w+)))?"
)

Item = Mapping[str, Mapping[str, str]]


def install() -> None:
    dynamodb.copy = Copy()
    dynamodb._tokenize = Tokens(dynamodb._tokenize)
    dynamodb._evaluate_condition = KeyConditions(dynamodb._evaluate_condition)
    dynamodb._condition_syntax_error = functools.lru_cache(_EXPRESSIONS_KEPT)(dynamodb._condition_syntax_error)
    iam_evaluator.fnmatch_iam = functools.lru_cache(_PATTERNS_KEPT)(iam_evaluator.fnmatch_iam)


class Copy:
    """The `copy` module for DynamoDB, whose items are dictionaries and lists of plain values."""

    def deepcopy(self, value: Any) -> Any:
        return plain_copy(value)

    def __getattr__(self, name: str) -> Any:
        return getattr(copy, name)


class Tokens:
    """What an expression is made of, read once; each caller has a list of its own."""

    def __init__(self, tokenize: Callable[[str], list[tuple[str, str]]]) -> None:
        self._read = functools.lru_cache(_EXPRESSIONS_KEPT)(tokenize)

    def __call__(self, expression: str) -> list[tuple[str, str]]:
        return list(self._read(expression))


class KeyConditions:
    """A key condition is understood once for a query and then only asked; every other expression is ministack's."""

    def __init__(self, evaluate: Callable[..., bool]) -> None:
        self._evaluate = evaluate
        # The query that was asked about last: held, so that nothing else can be at the same place in memory.
        self._asked: tuple[str, Any, Any, Callable[[Item], bool] | None] = ("", None, None, None)

    def __call__(
        self, expr: str, item: Any, attr_values: Any, attr_names: Any, slot: str = "ConditionExpression"
    ) -> bool:
        if slot != "KeyConditionExpression":
            return self._evaluate(expr, item, attr_values, attr_names, slot)
        text, values, names, fits = self._asked
        if text != expr or values is not attr_values or names is not attr_names:
            # Whatever is wrong with it, ministack says.
            self._evaluate(expr, item, attr_values, attr_names, slot)
            fits = key_condition(expr, attr_values, attr_names)
            self._asked = (expr, attr_values, attr_names, fits)
        return fits(item) if fits else self._evaluate(expr, item, attr_values, attr_names, slot)


def key_condition(expression: str, values: Item, names: Mapping[str, str]) -> Callable[[Item], bool] | None:
    """Whether an item fits, over keys that are text; None for a condition of another form."""
    found = _KEY_CONDITION.fullmatch(expression)
    if found is None:
        return None
    said = {
        part: values.get(word, {}).get("S") if word and word[0] == ":" else word
        for part, word in found.groupdict().items()
    }
    pk, key, sort = names.get(found["pk"], ""), said["key"], names.get(found["begins"] or found["lies"] or "", "")
    prefix, least, most = said["prefix"], said["least"], said["most"]
    if key is None or (found["begins"] and prefix is None) or (found["lies"] and (least is None or most is None)):
        return None

    def is_there(item: Item) -> bool:
        return item.get(pk, {}).get("S") == key

    def text(item: Item) -> str | None:
        return item.get(sort, {}).get("S") if is_there(item) else None

    if prefix is not None:
        return lambda item: (found := text(item)) is not None and found.startswith(prefix)
    if least is not None and most is not None:
        return lambda item: (found := text(item)) is not None and least <= found <= most
    return is_there


def plain_copy(value: Any) -> Any:
    """What `copy.deepcopy` gives for data without cycles; all but dictionaries, lists and plain values is left to it."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None or kind is float or kind is bytes:
        return value
    if kind is dict:
        return {name: plain_copy(each) for name, each in value.items()}
    if kind is list:
        return [plain_copy(each) for each in value]
    return copy.deepcopy(value)
