"""A variant against the control: the difference, the relative difference, and how far either lies from its null."""

from __future__ import annotations

import math
from dataclasses import dataclass

from chalicelib.experiments.statistics.moments import Estimate

LEAST_SAMPLES = 100
"""Of each variant, before anything is decided: what is said of intervals and boundaries holds as samples grow."""

LEAST_EVENTS = 5
"""Of a share, with the event and without, in the two variants together: the usual rule for taking it as normal."""


@dataclass(frozen=True)
class Effect:
    """
    Attributes:
        difference: of the means, variant less control.
        standard_error: of the difference.
        relative: the difference as a part of the control's mean; None where that is 0.
    """

    control: Estimate
    variant: Estimate
    difference: float
    standard_error: float
    relative: float | None

    @property
    def z(self) -> float | None:
        """None where nothing varies."""
        return self.difference / self.standard_error if self.standard_error > 0 else None

    @property
    def samples(self) -> float:
        """Per variant: the number in each of two equal groups that know as much, the harmonic mean."""
        one, other = self.control.n, self.variant.n
        return 2 * one * other / (one + other)

    @property
    def informed_samples(self) -> float:
        """As `samples`, in proportion to the information, one over the squared standard error, however the groups differ
        in size and in how much their units vary."""
        squared = self.standard_error**2
        one, other = self.control, self.variant
        return (one.unit_variance + other.unit_variance) / squared if squared > 0 else self.samples

    @property
    def is_decidable(self) -> bool:
        """Whether there is enough for the normal approximation."""
        if min(self.control.n, self.variant.n) < LEAST_SAMPLES:
            return False
        if self.control.events is None or self.variant.events is None:
            return self.standard_error > 0
        events = self.control.events + self.variant.events
        return min(events, self.control.n + self.variant.n - events) >= LEAST_EVENTS

    def interval(self, margin: float) -> tuple[float, float]:
        """Of the difference, so many standard errors to each side."""
        return self.difference - margin * self.standard_error, self.difference + margin * self.standard_error

    def relative_interval(self, margin: float) -> tuple[float, float] | None:
        """Of the relative difference: those values ρ - 1 for which `variant - ρ·control` is within the margin of 0.

        Fieller, Journal of the Royal Statistical Society B 16 (1954), 175-185. So it excludes 0 where the interval of the
        difference does. None where the control's mean may itself be 0: there is no end to it then.
        """
        control, variant, squared = self.control, self.variant, margin * margin
        a = control.mean**2 - squared * control.variance
        if a <= 0:
            return None
        b = control.mean * variant.mean
        root = math.sqrt(max(0.0, b * b - a * (variant.mean**2 - squared * variant.variance)))
        ends = ((b - root) / a - 1, (b + root) / a - 1)
        return ends if control.mean > 0 else (-ends[1], -ends[0])

    def excess(self, sign: int, allowed: float) -> float | None:
        """By how many standard errors the variant is worse than is allowed; None where nothing varies.

        The null is `mean = (1 ± allowed) · control`, a linear contrast of the two means.

        Args:
            sign: 1 where more is better, -1 where less is.
            allowed: how much worse than the control is still allowed, as a part of the control's mean.
        """
        factor = 1 - sign * allowed * math.copysign(1, self.control.mean)
        worse = -sign * (self.variant.mean - factor * self.control.mean)
        error = math.sqrt(self.variant.variance + factor * factor * self.control.variance)
        return worse / error if error > 0 else None


def compare(control: Estimate | None, variant: Estimate | None) -> Effect | None:
    """None while one of the two has no estimate yet."""
    if control is None or variant is None:
        return None
    difference = variant.mean - control.mean
    error = math.sqrt(control.variance + variant.variance)
    relative = difference / abs(control.mean) if control.mean else None
    return Effect(control, variant, difference, error, relative)
