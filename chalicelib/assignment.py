"""Which variant a key gets: by a hash, so that nothing has to be kept, and everybody who reckons it finds the same.

Weighted rendezvous hashing: each variant draws a number from a hash of experiment, variant and key, and the greatest score
`weight / -log(number)` wins. A variant wins with the probability of its share, and where weights change a key moves only
to a variant whose weight grew against that of the one it leaves. Thaler and Ravishankar, "Using name-based
mappings to increase hit rates", IEEE/ACM Transactions on Networking 6 (1998); with weights: Schindelhauer and Schomaker,
"Weighted distributed hash tables" (SPAA 2005), the logarithmic method.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

_BITS = 52


def assigned(of: str, key: str, weights: Mapping[str, float]) -> str:
    """The variant of a key.

    Args:
        of: whose variants these are: the same key falls differently in another experiment, or at another endpoint.
        weights: by variant, in any unit; those of which the weight is 0 get nobody.
    """
    wanted = [variant for variant, weight in weights.items() if weight > 0]
    return max(wanted, key=lambda variant: weights[variant] / _exponential(of, variant, key))


def _exponential(of: str, variant: str, key: str) -> float:
    """Drawn from the exponential distribution: `-log(u)` of a u between 0 and 1 that is never either."""
    text = f"{of}\x1f{variant}\x1f{key}".encode("utf-8", "surrogatepass")
    drawn = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> (64 - _BITS)
    return -math.log((drawn + 0.5) / 2**_BITS)
