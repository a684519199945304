"""How long a job will take, from how long those before it took.

All that is kept of past runs are three sums: their number n, Σ seconds and Σ seconds². They are added up in the
transactions that finish jobs, so they are exact, and they give mean and deviation however many runs there were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Past runs of a job differ; before there are several, by half of how long one took.
_PRIOR_DEVIATION = 0.5
# Normally distributed values lie within two deviations of their mean in 95 of 100 cases.
_WIDTH = 2.0


@dataclass(frozen=True)
class Runtimes:
    """What is kept of completed runs of one name on one instance type."""

    runs: int = 0
    seconds: int = 0
    squares: int = 0

    @property
    def mean(self) -> float:
        return self.seconds / self.runs

    @property
    def deviation(self) -> float:
        """Of one run from the mean.

        The sample variance, (Σ s² - n m²) / (n - 1), weighed with n - 1 against one assumed deviation of m / 2, so that a
        single run gives a range too: s² = ((Σ s² - n m²) + (m / 2)²) / n.
        """
        spread = max(0.0, self.squares - self.runs * self.mean**2)
        return math.sqrt((spread + (_PRIOR_DEVIATION * self.mean) ** 2) / self.runs)


@dataclass(frozen=True)
class Estimate:
    """Seconds that a job will take: at least, likely, at most.

    Attributes:
        runs: how many past runs it rests on; without any, the time limit is all that is known.
    """

    low: int = 0
    expected: int = 0
    high: int = 0
    runs: int = 0

    @classmethod
    def of(cls, past: Runtimes, limit: int) -> Estimate:
        """Mean ± 2 s √(1 + 1/n), the interval in which a further run is expected; never above the time limit."""
        if past.runs == 0:
            return cls(0, limit, limit)
        width = _WIDTH * past.deviation * math.sqrt(1 + 1 / past.runs)
        low, expected, high = (max(0, round(past.mean + part)) for part in (-width, 0.0, width))
        return cls(min(low, limit), min(expected, limit), min(high, limit), past.runs)

    @property
    def basis(self) -> str:
        if self.runs == 0:
            return "the time limit: no run of this name on this instance type has completed yet"
        return f"{self.runs} completed run{'s' if self.runs > 1 else ''} of this name on this instance type"

    def to_dict(self) -> dict[str, int]:
        return dict(vars(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Estimate:
        return cls(**values)
