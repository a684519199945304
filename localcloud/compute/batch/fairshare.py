"""In which order the jobs of a queue with a fair-share policy are scheduled. Pure: a decision over values.

AWS publishes the settings and not the formula
(https://docs.aws.amazon.com/batch/latest/userguide/fair-share-scheduling.html). Here a share's use is the vCPUs that it has
now, plus the vCPU seconds of the decay period divided by that period, recent ones counting more, times its weight. The
share with the least use is next; within a share the higher priority, then the older job.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MAX_DECAY_SECONDS = 604_800
MAX_RESERVATION = 99
MAX_SHARES = 500


@dataclass(frozen=True)
class Policy:
    """
    Attributes:
        weights: of share identifiers, or of all that begin so when the identifier ends with an asterisk.
    """

    decay_seconds: float = 0.0
    reservation: float = 0.0
    weights: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, fairshare: Mapping[str, Any]) -> Policy:
        shares = fairshare.get("shareDistribution", [])
        return cls(
            float(fairshare.get("shareDecaySeconds", 0)),
            float(fairshare.get("computeReservation", 0)),
            {each["shareIdentifier"]: float(each.get("weightFactor", 1.0)) for each in shares},
        )

    def weight(self, share: str) -> float:
        """The weight of the identifier itself, else that of the longest prefix that it has, else 1."""
        if share in self.weights:
            return self.weights[share]
        prefixes = [name for name in self.weights if name.endswith("*") and share.startswith(name[:-1])]
        return self.weights[max(prefixes, key=len)] if prefixes else 1.0

    def usable(self, active_shares: int) -> float:
        """The part of the vCPUs that may be in use: the rest is kept for shares that are not active."""
        return 1.0 - (self.reservation / 100) ** max(1, active_shares) if self.reservation else 1.0


@dataclass(frozen=True)
class Use:
    """vCPUs that a share had from one moment to another, in seconds since any epoch; `ended` is None while it has them."""

    share: str
    vcpus: float
    began: float
    ended: float | None = None


@dataclass
class History:
    """What has ended and still counts, by queue."""

    ended: dict[str, list[Use]] = field(default_factory=dict)

    def remember(self, queue: str, use: Use) -> None:
        if use.share:
            self.ended.setdefault(queue, []).append(use)

    def usage(self, queue: str, policy: Policy, running: Iterable[Use], now: float) -> dict[str, float]:
        """As the function of this name; what lies before the decay is forgotten."""
        oldest = now - policy.decay_seconds
        kept = [use for use in self.ended.get(queue, []) if use.ended is not None and use.ended > oldest]
        self.ended[queue] = kept
        return usage(policy, [*kept, *running], now)


@dataclass(frozen=True)
class Candidate:
    """A job that could start: jobs are given in order of submission."""

    job_id: str
    share: str
    priority: int
    vcpus: float


def usage(policy: Policy, uses: Iterable[Use], now: float) -> dict[str, float]:
    """vCPUs by share: those in use now, and the mean over the decay period, in which what is older counts less."""
    total: defaultdict[str, float] = defaultdict(float)
    for use in uses:
        if use.ended is None:
            total[use.share] += use.vcpus
        if policy.decay_seconds:
            newest = max(0.0, now - (now if use.ended is None else use.ended))
            oldest = min(policy.decay_seconds, now - use.began)
            if oldest > newest:
                # The mean weight of an age is 1 at none and 0 at the end of the period.
                weight = 1 - (newest + oldest) / 2 / policy.decay_seconds
                total[use.share] += use.vcpus * (oldest - newest) * weight / policy.decay_seconds
    return dict(total)


def in_order(policy: Policy, candidates: Sequence[Candidate], used: Mapping[str, float]) -> list[str]:
    """The ids of jobs in the order in which they are scheduled: after each, its share uses more."""
    lanes: dict[str, list[Candidate]] = {}
    for each in candidates:
        lanes.setdefault(each.share, []).append(each)
    for lane in lanes.values():
        lane.sort(key=lambda each: -each.priority)
        lane.reverse()
    taken = defaultdict(float, used)
    order: list[str] = []
    while lanes:
        share = min(lanes, key=lambda name: taken[name] * policy.weight(name))
        chosen = lanes[share].pop()
        order.append(chosen.job_id)
        taken[share] += chosen.vcpus
        if not lanes[share]:
            del lanes[share]
    return order
