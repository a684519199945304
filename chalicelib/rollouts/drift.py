"""How far a version's answers have drifted from those of the version before it, and how sure that is. Pure.

The distance is the one that SageMaker Model Monitor takes, L-infinity: of numbers the greatest difference between the two
distribution functions (Kolmogorov and Smirnov's), of labels the greatest difference between the shares of any one label.
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-byoc-constraints.html
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

Value = float | str
"""What a version answered: a number, or a label."""

ENOUGH = 100
"""Answers of each version, before anything is said of them."""


@dataclass(frozen=True)
class Drift:
    """
    Attributes:
        old, new: how many answers of each version were looked at.
        where: the distance is the difference between these shares: of the answers up to this number, or with this label.
        margin: how far the true distance may be from this one, by chance.
    """

    old: int
    new: int
    where: Value = ""
    old_share: float = 0.0
    new_share: float = 0.0
    margin: float = 1.0

    @property
    def distance(self) -> float:
        return abs(self.old_share - self.new_share)

    @property
    def is_known(self) -> bool:
        return min(self.old, self.new) >= ENOUGH


def drift(old: Sequence[Value], new: Sequence[Value], look: int, false_alarm: float) -> Drift:
    """
    Args:
        look: the how-manieth time it is asked, from 1.
        false_alarm: the probability that, at any of the looks, the true distance is further away than the margin. A k-th
            look gets 6/(pi² k²) of it, which adds up to the whole.
    """
    if not old or not new:
        return Drift(len(old), len(new))
    # Half for the numbers, half for the labels: each is found by itself, so that one label hides no numbers.
    risk = false_alarm / 4 * 6 / (math.pi * look) ** 2
    found = []
    for furthest, margin_of in ((_of_numbers(old, new), _number_margin), (_of_labels(old, new), _label_margin)):
        if furthest is not None:
            margin = margin_of(len(old), risk) + margin_of(len(new), risk)
            found.append(Drift(len(old), len(new), *furthest, margin))
    return max(found, key=lambda each: each.distance - each.margin)


_Furthest = tuple[Value, float, float]
"""Where the shares are furthest apart, and both."""


def _of_numbers(old: Sequence[Value], new: Sequence[Value]) -> _Furthest | None:
    """Among all answers: labels are further up than every number."""
    numbers_old, numbers_new = (sorted(value for value in each if isinstance(value, float)) for each in (old, new))

    def shares(value: float) -> tuple[float, float]:
        return bisect_right(numbers_old, value) / len(old), bisect_right(numbers_new, value) / len(new)

    numbers = {*numbers_old, *numbers_new}
    furthest = max(numbers, key=lambda value: (_apart(shares(value)), -value), default=None)
    return None if furthest is None else (furthest, *shares(furthest))


def _of_labels(old: Sequence[Value], new: Sequence[Value]) -> _Furthest | None:
    counts_old, counts_new = (Counter(value for value in each if isinstance(value, str)) for each in (old, new))

    def shares(label: str) -> tuple[float, float]:
        return counts_old[label] / len(old), counts_new[label] / len(new)

    furthest = max(sorted({*counts_old, *counts_new}), key=lambda label: _apart(shares(label)), default=None)
    return None if furthest is None else (furthest, *shares(furthest))


def _apart(shares: tuple[float, float]) -> float:
    return abs(shares[0] - shares[1])


def _number_margin(count: int, risk: float) -> float:
    """Of an empirical distribution function, everywhere at once.

    Massart, "The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality" (1990): 2 exp(-2 n e²) is the risk.
    """
    return math.sqrt(math.log(2 / risk) / (2 * count))


def _label_margin(count: int, risk: float) -> float:
    """Of the shares of all labels at once, however many there are.

    The greatest deviation is expected to be at most 1/sqrt(n), the root of the variances' sum; it passes what is expected
    by e with a probability of at most exp(-2 n e²): McDiarmid, "On the method of bounded differences" (1989).
    """
    return (1 + math.sqrt(math.log(1 / risk) / 2)) / math.sqrt(count)
