"""Policy variables, which ministack takes for plain text: `${aws:PrincipalTag/team}` in a resource or a condition's value.

As AWS has it (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html):

- A variable whose key the request does not have matches nothing: neither a resource nor, without a default, a value.
- `${key, 'default'}` gives the default then.
- `${*}`, `${?}` and `${$}` are those characters themselves.
- What a variable stands for is text, never a pattern: a `*` in a tag is a `*`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_WITH_DEFAULT = re.compile(r"\s*([^,]+?)\s*,\s*'([^']*)'\s*")
_CHARACTERS = {"*", "?", "$"}
# IAM's own patterns know no escape; a character that no request has stands for itself alone, and so never matches by chance.
_LITERAL = {"*": "\ue000", "?": "\ue001"}

Resolve = Callable[[str], Any]


def install() -> None:
    from ministack.core import iam_evaluator

    iam_evaluator._first_match = _expanding(iam_evaluator._first_match, iam_evaluator)


def _expanding(first_match: Callable[..., Any], evaluator: Any) -> Callable[..., Any]:
    def wrapper(ctx: Any, statements: list[Any], effect: str) -> Any:
        expanded = [_expanded(each, lambda key: evaluator._resolve_condition_key(key, ctx)) for each in statements]
        return first_match(ctx, expanded, effect)

    return wrapper


def _expanded(statement: Any, resolve: Resolve) -> Any:
    if not _has_variables(statement):
        return statement
    conditions = {
        operator: {key: _values(values, resolve) for key, values in keys.items()} if isinstance(keys, dict) else keys
        for operator, keys in statement.conditions.items()
    }
    resources = _values(statement.resources, resolve)
    return dataclasses.replace(
        statement,
        # An empty list would mean "any resource": one that cannot be is needed instead.
        resources=resources or (["\ue002"] if statement.resources else []),
        not_resources=_values(statement.not_resources, resolve),
        conditions=conditions,
    )


def _has_variables(statement: Any) -> bool:
    known: bool | None = getattr(statement, "has_variables", None)
    if known is None:
        # Statements are parsed once and asked at every request.
        known = statement.has_variables = _look_for_variables(statement)
    return known


def _look_for_variables(statement: Any) -> bool:
    texts = [*statement.resources, *statement.not_resources]
    for keys in statement.conditions.values():
        for values in keys.values() if isinstance(keys, dict) else ():
            texts += values if isinstance(values, list) else [values]
    return any("${" in text for text in texts if isinstance(text, str))


def _values(values: Any, resolve: Resolve) -> list[Any]:
    listed = values if isinstance(values, list) else [values]
    found = [expand(each, resolve) if isinstance(each, str) else each for each in listed]
    return [each for each in found if each is not None]


def expand(text: str, resolve: Resolve) -> str | None:
    """The text with every variable replaced; None when one of them has no value.

    Args:
        resolve: the value of a condition key in the request at hand, or None.
    """
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        inner = match[1]
        if inner in _CHARACTERS:
            return _literal(inner)
        with_default = _WITH_DEFAULT.fullmatch(inner)
        key, default = with_default.groups() if with_default else (inner.strip(), None)
        found = resolve(key)
        if found is None or isinstance(found, list):
            found = default
        if found is None:
            missing = True
            return ""
        return _literal(str(found))

    expanded = _VARIABLE.sub(value, text)
    return None if missing else expanded


def _literal(text: str) -> str:
    return "".join(_LITERAL.get(character, character) for character in text)
