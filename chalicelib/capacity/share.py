"""How much an owner has used lately, as one number that never has to be rewritten because time passes.

Use decays by half in a half-life, for everybody by the same factor. So instead of U(t) = Σ uᵢ·2^-(t - tᵢ), with t in half-
lives, a score is kept: log2 Σ uᵢ·2^tᵢ = log2 U(t) + t. Whoever's score is less has used less, now and at any later time,
until one of them uses something.
"""

from __future__ import annotations

import math

NOTHING = -20.0
"""log2 of a use that counts as none: a millionth of the pool for one half-life. So owners who used nothing lately are
ordered by when they came."""


def charged(score: float, use: float, half_lives: float) -> float:
    """The score after a use (share of the pool × half-lives) at a time (in half-lives)."""
    return score if use <= 0 else _log2_sum(score, math.log2(use) + half_lives)


def refunded(score: float, use: float, half_lives: float) -> float:
    """The score without a use that was charged before."""
    if use <= 0:
        return score
    difference = math.log2(use) + half_lives - score
    # Whatever rounding left over is less than anybody can have used.
    return score + math.log2(1 - 2**difference) if difference < -1e-12 else -math.inf


def at_least_nothing(score: float, half_lives: float) -> float:
    """The score as one that can be compared with those of others who come now."""
    return max(score, half_lives + NOTHING)


def _log2_sum(a: float, b: float) -> float:
    larger, smaller = max(a, b), min(a, b)
    return larger + math.log2(1 + 2 ** (smaller - larger))
