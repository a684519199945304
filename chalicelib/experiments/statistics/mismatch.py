"""Whether units were split as they were to be: a test that may be looked at at any time.

Lindon and Malek, "Anytime-valid inference for multinomial count data", arXiv 2011.03567: the Bayes factor of a Dirichlet
mixture against the intended shares is a martingale under them, so the probability that it ever reaches 1/α is at most α
(Ville's inequality).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

LEVEL = 0.001
"""As strict as the field has it: Fabijan and others, "Diagnosing sample ratio mismatch in online experiments" (KDD 2019)."""

_CONCENTRATION = 100.0
"""Of the Dirichlet prior around the intended shares: shares off by a few hundredths are what it is made to find."""


def p_value(counts: Sequence[int], shares: Sequence[float]) -> float:
    """An upper bound of the probability of so uneven a split, valid at any time.

    Args:
        shares: what each variant was to get; they add up to 1.
    """
    log_factor = math.lgamma(_CONCENTRATION) - math.lgamma(_CONCENTRATION + sum(counts))
    for count, share in zip(counts, shares, strict=True):
        prior = _CONCENTRATION * share
        log_factor += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(share)
    return math.exp(-max(0.0, min(log_factor, 700.0)))
