"""What this process has asked of AWS, counted where every call passes: see `aws.py`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from threading import Lock
from typing import Any

_READS = frozenset({"GetItem", "BatchGetItem", "TransactGetItems", "Query", "Scan"})
_REFUSED = frozenset({"ConditionalCheckFailedException", "TransactionCanceledException"})
_UNIT_BYTES = 1024


@dataclass
class Calls:
    """Calls by service and operation, and DynamoDB's request units as its answers report them."""

    made: Counter[tuple[str, str]] = field(default_factory=Counter)
    read_units: Decimal = Decimal(0)
    write_units: Decimal = Decimal(0)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False, compare=False)

    def note(self, service: str, operation: str, answer: Mapping[str, Any], sent: Sent) -> None:
        """Count one call.

        Args:
            answer: as botocore parsed it, an error's too. A call that botocore repeated counts as often as it was sent.
            sent: what is known of the request.
        """
        with self._lock:
            self._note(service, operation, answer, sent)

    def _note(self, service: str, operation: str, answer: Mapping[str, Any], sent: Sent) -> None:
        sendings = 1 + int(answer.get("ResponseMetadata", {}).get("RetryAttempts", 0))
        self.made[service, operation] += sendings
        if service != "dynamodb":
            return
        if operation in _READS:
            self.read_units += _consumed(answer)
        elif "Error" in answer:
            if answer["Error"].get("Code") in _REFUSED:
                self.write_units += sent.refused_units(operation)
        else:
            self.write_units += _consumed(answer)

    def take(self) -> Calls:
        """Everything counted so far, and begin anew."""
        taken = Calls(self.made, self.read_units, self.write_units)
        self.made, self.read_units, self.write_units = Counter(), Decimal(0), Decimal(0)
        return taken

    def copy(self) -> Calls:
        return Calls(Counter(self.made), self.read_units, self.write_units)


@dataclass(frozen=True)
class Sent:
    """Size of a request: what DynamoDB charges for a write that it refuses, but does not report.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithItems.html#WorkingWithItems.ConditionalUpdate
    """

    body_bytes: int = 0
    items: int = 1

    def refused_units(self, operation: str) -> Decimal:
        """One unit per item and per KB that was sent; a transaction's count twice."""
        units = max(self.items, math.ceil(self.body_bytes / _UNIT_BYTES))
        return Decimal(units * 2 if operation == "TransactWriteItems" else units)


def _consumed(answer: Mapping[str, Any]) -> Decimal:
    """One table's consumption, or that of several in a list."""
    consumed = answer.get("ConsumedCapacity") or ()
    tables: Iterable[Mapping[str, Any]] = [consumed] if isinstance(consumed, Mapping) else consumed
    return sum((Decimal(str(table.get("CapacityUnits", 0))) for table in tables), Decimal(0))
