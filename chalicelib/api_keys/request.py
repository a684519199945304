"""The shape of a request for a new API key."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from chalicelib.api_keys.key import SCOPES
from chalicelib.shape import Shape

DEFAULT_DAYS, MAX_DAYS = 90, 365

Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._:@/-]*$")]


class ApiKeyRequest(Shape):
    """
    Attributes:
        name: what the key is for, in words of its owner; it need not be unique.
        scopes: permissions by name.
    """

    name: Name
    scopes: Annotated[list[str], Field(min_length=1, max_length=len(SCOPES))]
    expires_in_days: Annotated[int, Field(ge=1, le=MAX_DAYS)] = DEFAULT_DAYS
