"""How many samples it takes: the power calculation that an experiment begins with."""

from __future__ import annotations

from chalicelib.experiments.statistics.normal import tail, upper_quantile
from chalicelib.experiments.statistics.sequences import TIGHTEST, margin
from chalicelib.experiments.statistics.spending import crossing, planned

_MOST_DRIFT = 20.0
_BISECTIONS = 40


def fixed_samples(variance_control: float, variance_variant: float, effect: float, alpha: float, power: float) -> float:
    """Samples per variant of a two-sided z-test with a single look.

    `(z_(α/2) + z_(1-power))² · (σ²_control + σ²_variant) / δ²`, for example van Belle, "Statistical Rules of Thumb" (2008),
    section 2.1.

    Args:
        effect: δ, the difference of the means.
    """
    needed = upper_quantile(alpha / 2) + upper_quantile(1 - power)
    return needed**2 * (variance_control + variance_variant) / effect**2


def inflation(looks: int, alpha: float, power: float) -> float:
    """How many times the samples of a single look the looks may take at most, for the same power.

    Jennison and Turnbull (2000), section 2.3: the ratio of the squared drifts at which the two tests have that power.
    """
    at_one_look = upper_quantile(alpha / 2) + upper_quantile(1 - power)
    schedule = planned(looks, alpha)
    low, high = 0.0, _MOST_DRIFT
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if crossing(schedule, middle) < power:
            low = middle
        else:
            high = middle
    return (high / at_one_look) ** 2


def sequential_power(drift: float, looks: int, alpha: float) -> float:
    """
    Args:
        drift: the effect in standard errors, with all samples in.
    """
    return crossing(planned(looks, alpha), min(drift, _MOST_DRIFT))


def always_valid_inflation(alpha: float, power: float) -> float:
    """As `inflation`, for an interval that is valid at any time: with all samples in, so at most."""
    at_end = margin(1.0, TIGHTEST, alpha) + upper_quantile(1 - power)
    return (at_end / (upper_quantile(alpha / 2) + upper_quantile(1 - power))) ** 2


def always_valid_power(drift: float, alpha: float) -> float:
    """As `sequential_power`: of the look with all samples in, so at least."""
    return tail(margin(1.0, TIGHTEST, alpha) - drift)
