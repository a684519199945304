"""Three things that ministack asks so often that a user feels them, answered faster and otherwise alike.

A submission is a transaction of some seven writes, and items are copied five times for each: `copy.deepcopy` alone was a
tenth of its time. The same few actions are compared with the same few patterns of the roles at every call. And an expression
is read and checked anew for each item that it is asked of: for a whole partition at each query.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

from ministack.core import iam_evaluator
from ministack.services import dynamodb

_PATTERNS_KEPT = 8192
_EXPRESSIONS_KEPT = 1024


def install() -> None:
    dynamodb.copy = Copy()
    dynamodb._tokenize = Tokens(dynamodb._tokenize)
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
