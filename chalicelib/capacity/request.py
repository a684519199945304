"""The shape of a pool's settings."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from chalicelib.capacity.pool import DEFAULT_AGING_SECONDS, DEFAULT_HALF_LIFE_SECONDS, MAX_LIMIT
from chalicelib.shape import Shape

_MONTH = 30 * 24 * 3600


class PoolRequest(Shape):
    """`limit` 0 lets nothing start any more; what runs goes on."""

    limit: Annotated[int, Field(ge=0, le=MAX_LIMIT)]
    half_life_seconds: Annotated[int, Field(ge=60, le=_MONTH)] = DEFAULT_HALF_LIFE_SECONDS
    aging_seconds: Annotated[int, Field(ge=60, le=_MONTH)] = DEFAULT_AGING_SECONDS
    preempt_low: bool = False
