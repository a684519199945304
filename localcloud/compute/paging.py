"""Opaque page tokens for list operations."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import TypeVar

from localcloud.compute.errors import ValidationFailed

T = TypeVar("T")


def page_of(items: Sequence[T], token: str | None, limit: int) -> tuple[Sequence[T], str | None]:
    """The page after `token` and the token of the next one, None at the end.

    Raises:
        ValidationFailed: the token is none of ours.
    """
    start = 0
    if token is not None:
        try:
            start = int(base64.urlsafe_b64decode(token.encode()).decode().removeprefix("after:"))
        except (binascii.Error, ValueError) as error:
            raise ValidationFailed("Invalid NextToken") from error
        if start < 0:
            raise ValidationFailed("Invalid NextToken")
    end = start + limit
    following = base64.urlsafe_b64encode(f"after:{end}".encode()).decode() if end < len(items) else None
    return items[start:end], following
