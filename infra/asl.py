"""Reading state machines: their states, wherever they are nested, and what each leads to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Definition = dict[str, Any]


@dataclass(frozen=True)
class State:
    """One state of a machine, by name.

    Attributes:
        inner: it belongs to a Map or Parallel.
        is_caught: what it does not catch itself, one around it does.
    """

    name: str
    body: Definition
    inner: bool
    is_caught: bool = False

    @property
    def catches_all(self) -> bool:
        return any("States.ALL" in catcher["ErrorEquals"] for catcher in self.body.get("Catch", []))

    @property
    def kind(self) -> str:
        return str(self.body["Type"])

    @property
    def resource(self) -> str:
        return str(self.body.get("Resource", ""))

    def successors(self) -> Iterator[str]:
        """Names of the states that may come next, errors included."""
        choices = self.body.get("Choices", [])
        yield from (entry["Next"] for entry in (self.body, *choices, *self.body.get("Catch", [])) if "Next" in entry)
        if "Default" in self.body:
            yield self.body["Default"]

    @property
    def is_end(self) -> bool:
        return bool(self.body.get("End")) or self.kind in {"Succeed", "Fail"}


def states(definition: Definition, *, inner: bool = False, is_caught: bool = False) -> Iterator[State]:
    for name, body in definition["States"].items():
        state = State(name, body, inner, is_caught)
        yield state
        nested = [body[part] for part in ("ItemProcessor",) if part in body] + body.get("Branches", [])
        for machine in nested:
            yield from states(machine, inner=True, is_caught=is_caught or state.catches_all)


def expression(value: Any) -> str | None:
    """The JSONata inside `{% %}`, or None for a literal."""
    if isinstance(value, str) and value.startswith("{%") and value.endswith("%}"):
        return value[2:-2].strip()
    return None
