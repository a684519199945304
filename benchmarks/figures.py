"""A measured figure beside its target."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """
    Attributes:
        target: the largest value that is good enough, or the smallest when `more_is_better`; None: no target, only told.
    """

    what: str
    value: float
    unit: str
    target: float | None = None
    more_is_better: bool = False
    digits: int = 3

    @property
    def is_met(self) -> bool:
        if self.target is None:
            return True
        return self.value >= self.target if self.more_is_better else self.value <= self.target

    def __str__(self) -> str:
        told = f"{self.what:<62} {self.value:>10.{self.digits}f} {self.unit}"
        if self.target is None:
            return told
        return f"{told:<84} {'≥' if self.more_is_better else '≤'} {self.target:g}  {'met' if self.is_met else 'MISSED'}"
