"""How limits look: as a table with bars, as a row among users, and as the reason of a refusal."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from aimatrix.cli.output import bold, dim, printable, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimatrix.client import Quota, Use
    from aimatrix.client.quotas import Amount

BAR = 20


def describe(quota: Quota) -> list[str]:
    """A heading, and a line for each limit."""
    whose = quota.user_id or f"the tenant {quota.tenant} as a whole"
    rows = [
        (use.limit, _amount(use.used), _some(use.reserved), _free(use), _of(use), _bar(use)) for use in quota.uses()
    ]
    if (longest := quota.limits.max_runtime_seconds) is not None:
        rows.append(("max_runtime_seconds", "", "", "", f"{longest} seconds a job", ""))
    return [
        f"{bold(whose)} {dim(quota.month)}",
        *table(("LIMIT", "USED", "RESERVED", "FREE", "OF", ""), rows),
    ]


def refusal(error: Mapping[str, Any]) -> Iterator[str]:
    """Why a job doesn't fit: for each limit a line and its cure, and when there is room.

    Args:
        error: the document of a ``QuotaExceededError``, as ``--json`` prints it.
    """
    for limit, problem in zip_longest(error["limits"], error["errors"]):
        if limit is not None:
            whose = "your" if limit["scope"] == "user" else "your tenant's"
            asked = counted(limit["requested"], limit["unit"])
            taken = f"{_amount(limit['used'])} of {_amount(limit['limit_value'])}"
            yield f"  {whose} {bold(limit['limit'])}: {asked} asked for, {taken} used or reserved"
        if problem is not None and problem["cure"]:
            yield f"    {printable(problem['cure'])}"
    if any(limit["requested"] > limit["limit_value"] for limit in error["limits"]):
        yield "  It never fits under these limits."
    elif error["fits_at"]:
        yield f"  There is room for it at {bold(error['fits_at'])}, as far as is known now."
    else:
        yield "  When there is room for it isn't known."


def shares(quota: Quota) -> tuple[str, ...]:
    """What is taken of each limit: jobs, GPU hours, CPU hours, USD, GB; and GPUs, all types together."""
    cells, gpus = [], []
    for use in quota.uses():
        _, _, gpu_type = use.limit.partition(".")
        if gpu_type:
            gpus.append(f"{gpu_type} {_share(use)}")
        else:
            cells.append(_share(use))
    return (*cells, ", ".join(gpus))


def counted(amount: Amount, unit: str) -> str:
    """``5 jobs``, ``1 job``: a unit is a plural where it ends in an s."""
    return f"{_amount(amount)} {unit.removesuffix('s') if amount == 1 else unit}"


def _share(use: Use) -> str:
    return _amount(use.taken) if use.most is None else f"{_amount(use.taken)}/{_amount(use.most)}"


def _amount(amount: Amount) -> str:
    text = f"{amount:,.4f}"
    return text.rstrip("0").rstrip(".")


def _some(amount: Amount) -> str:
    return _amount(amount) if amount else ""


def _free(use: Use) -> str:
    return "" if use.free is None else _amount(use.free)


def _of(use: Use) -> str:
    return "no limit" if use.most is None else counted(use.most, use.unit)


def _bar(use: Use) -> str:
    """Used, reserved and free, side by side."""
    if use.most is None:
        return ""
    taken, used = (_blocks(each, use.most) for each in (use.taken, use.used))
    return "█" * used + "▒" * (taken - used) + "░" * (BAR - taken)


def _blocks(amount: Amount, most: Amount) -> int:
    return min(BAR, round(BAR * float(amount) / float(most))) if most else BAR
