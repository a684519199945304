"""DynamoDB's expressions, as far as the stores use them, over items in DynamoDB's own form: `{"name": {"S": "text"}}`.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

Attributes = dict[str, Any]

_TOKEN = re.compile(r"\s*([(),]|<=|>=|<>|[=<>+-]|[#:]?\w+)")
_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CLAUSES = ("SET", "ADD", "REMOVE", "DELETE")


def tokens(expression: str) -> list[str]:
    found, position = [], 0
    while position < len(expression.rstrip()):
        match = _TOKEN.match(expression, position)
        if match is None:
            raise ValueError(f"cannot read {expression[position:]!r}")
        found.append(match.group(1))
        position = match.end()
    return found


def comparable(attribute: Any) -> Any:
    """A value that compares as DynamoDB compares it: numbers by value, of two types never equal."""
    if attribute is None:
        return None
    ((kind, value),) = attribute.items()
    return (kind, Decimal(value)) if kind == "N" else (kind, value)


@dataclass
class Condition:
    """One condition expression: a recursive descent, OR below AND below NOT."""

    expression: str
    names: Mapping[str, str]
    values: Mapping[str, Any]
    _rest: list[str] = field(default_factory=list)

    def holds(self, item: Attributes) -> bool:
        self._rest = tokens(self.expression)
        result = self._or(item)
        if self._rest:
            raise ValueError(f"cannot read {' '.join(self._rest)!r}")
        return result

    def _or(self, item: Attributes) -> bool:
        result = self._and(item)
        while self._take("OR"):
            result = self._and(item) or result
        return result

    def _and(self, item: Attributes) -> bool:
        result = self._not(item)
        while self._take("AND"):
            result = self._not(item) and result
        return result

    def _not(self, item: Attributes) -> bool:
        return not self._not(item) if self._take("NOT") else self._primary(item)

    def _primary(self, item: Attributes) -> bool:
        if self._take("("):
            result = self._or(item)
            self._expect(")")
            return result
        word = self._rest.pop(0)
        if word in {"attribute_exists", "attribute_not_exists"}:
            self._expect("(")
            there = self._name(self._rest.pop(0)) in item
            self._expect(")")
            return there == (word == "attribute_exists")
        if word == "begins_with":
            self._expect("(")
            left = self._value(self._rest.pop(0), item)
            self._expect(",")
            right = self._value(self._rest.pop(0), item)
            self._expect(")")
            return bool(left and right and left[0] == right[0] and left[1].startswith(right[1]))
        return self._comparison(word, item)

    def _comparison(self, word: str, item: Attributes) -> bool:
        left = self._value(word, item)
        verb = self._rest.pop(0)
        if verb == "IN":
            self._expect("(")
            choices = [self._value(self._rest.pop(0), item)]
            while self._take(","):
                choices.append(self._value(self._rest.pop(0), item))
            self._expect(")")
            return left is not None and left in choices
        if verb == "BETWEEN":
            least = self._value(self._rest.pop(0), item)
            self._expect("AND")
            most = self._value(self._rest.pop(0), item)
            return left is not None and bool(least <= left <= most)
        right = self._value(self._rest.pop(0), item)
        if left is None or right is None:
            return verb == "<>" and left is not right
        if verb not in {"=", "<>"} and left[0] != right[0]:
            return False
        return _COMPARED[verb](left, right)

    def _value(self, word: str, item: Attributes) -> Any:
        return comparable(self.values[word] if word.startswith(":") else item.get(self._name(word)))

    def _name(self, word: str) -> str:
        return self.names[word] if word.startswith("#") else word

    def _take(self, word: str) -> bool:
        if self._rest and self._rest[0].upper() == word:
            self._rest.pop(0)
            return True
        return False

    def _expect(self, word: str) -> None:
        if not self._take(word):
            raise ValueError(f"{self.expression!r} lacks {word!r}")


def updated(item: Attributes, expression: str, names: Mapping[str, str], values: Mapping[str, Any]) -> Attributes:
    """The item after `SET a = :b, ... ADD c :d, ... REMOVE e, ...`: values and plain names only."""
    after = dict(item)
    clause, rest = "", tokens(expression)
    while rest:
        word = rest.pop(0)
        if word.upper() in _CLAUSES and not word.startswith(("#", ":")):
            clause = word.upper()
            continue
        if word == ",":
            continue
        name = names.get(word, word)
        if clause == "SET":
            if rest.pop(0) != "=":
                raise ValueError(f"cannot read {expression!r}")
            after[name] = values[rest.pop(0)]
        elif clause == "ADD":
            amount = Decimal(values[rest.pop(0)]["N"])
            after[name] = {"N": str(Decimal(after.get(name, {"N": "0"})["N"]) + amount)}
        elif clause == "REMOVE":
            after.pop(name, None)
        else:
            raise ValueError(f"cannot read {expression!r}")
    return after
