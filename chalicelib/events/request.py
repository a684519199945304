"""The shapes of an administrator's requests about events."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import StringConstraints

from chalicelib.shape import Shape

Moment = Annotated[str, StringConstraints(min_length=1, max_length=40)]


class RedriveRequest(Shape):
    """
    Attributes:
        subject: only what is about this, as the list of dead letters shows it; everything by default.
        cursor: of the answer before.
    """

    subject: Annotated[str, StringConstraints(min_length=1, max_length=1000)] | None = None
    cursor: Annotated[str, StringConstraints(max_length=4096)] | None = None


class ReplayRequest(Shape):
    """
    Attributes:
        since, until: RFC 3339 with a time zone; until is now by default.
        rule: the only rule of the bus that is to get the events; all of them by default.
        name: tells replays of the same times and rule apart: without it they are one.
    """

    since: Moment
    until: Moment | None = None
    rule: Annotated[str, StringConstraints(pattern=r"^[.\-_A-Za-z0-9]{1,64}$")] | None = None
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] | None = None


def moment(text: str) -> datetime | None:
    """A time with its zone; None for anything else."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
