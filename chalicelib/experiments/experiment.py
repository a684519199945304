"""An experiment: frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from functools import cached_property
from typing import Any

from chalicelib.experiments.metric import Metric


class Status(Enum):
    RUNNING = "running"
    DECIDED = "decided"
    STOPPED = "stopped"

    @property
    def is_over(self) -> bool:
        """Nothing is counted any more, and nothing changes."""
        return self is not Status.RUNNING


class Decision(Enum):
    CONTINUE = "continue"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    INCONCLUSIVE = "inconclusive"

    @property
    def is_final(self) -> bool:
        return self is not Decision.CONTINUE


class Method(Enum):
    """What promotes: boundaries for a planned number of samples, or an interval that is valid at any time."""

    GROUP_SEQUENTIAL = "group_sequential"
    ALWAYS_VALID = "always_valid"


class EffectKind(Enum):
    RELATIVE = "relative"
    ABSOLUTE = "absolute"


@dataclass(frozen=True)
class Plan:
    """What is fixed before the first sample, and never changed: on it rests what is said of errors.

    Attributes:
        alpha: the probability of a wrong promotion or rollback by the primary metric (two-sided), and that of a wrong
            rollback by a guardrail; each over all variants and all looks together.
        minimum_effect: the smallest effect that is worth finding, for the power calculation.
        looks: how many are expected; any other number is fine.
        samples: per variant, at most.
        floor: the least weight of a variant that is not rolled back; None without Thompson sampling.
    """

    primary: Metric
    guardrails: tuple[Metric, ...]
    alpha: float
    power: float
    minimum_effect: float | None
    minimum_effect_kind: EffectKind
    looks: int
    samples: int
    method: Method = Method.GROUP_SEQUENTIAL
    floor: float | None = None

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        return (self.primary, *self.guardrails)


@dataclass(frozen=True)
class Verdict:
    """How it stands with an experiment or one of its variants.

    Attributes:
        look: at which it was decided; None while it goes on.
        variant: the one that is promoted.
    """

    decision: Decision = Decision.CONTINUE
    reason: str = "Nothing has been counted yet."
    look: int | None = None
    variant: str | None = None


NOTHING_YET = Verdict()


@dataclass(frozen=True)
class Experiment:
    """`record_version` grows by one with every change of the record; counters are kept apart from it.

    Attributes:
        variants: the first is the control.
        shares: what each variant gets; they add up to 1.
        assignment_key: what units are told apart by, for people: `user_id`.
        sample_size: the power calculation, as it is shown.
        deployment_id: whose requests its allocation splits; see `traffic.py`.
    """

    tenant: str
    experiment_id: str
    user: str
    name: str
    hypothesis: str
    variants: tuple[str, ...]
    shares: tuple[float, ...]
    assignment_key: str
    plan: Plan
    sample_size: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    status: Status = Status.RUNNING
    verdict: Verdict = NOTHING_YET
    ended_at: datetime | None = None
    deployment_id: str | None = None
    record_version: int = 1

    def decided(self, verdict: Verdict, now: datetime) -> Experiment:
        return replace(self, status=Status.DECIDED, verdict=verdict, ended_at=now)

    def stopped(self, verdict: Verdict, now: datetime) -> Experiment:
        return replace(self, status=Status.STOPPED, verdict=verdict, ended_at=now)
