"""A rollout, its steps and its gates: frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from chalicelib.deployments.deployment import Variant

WHOLE = 100.0


class RolloutStatus(Enum):
    RUNNING = "running"
    PAUSED = "paused"
    """It keeps its weights, goes no step further, and its gates are watched as before."""
    ROLLING_BACK = "rolling-back"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled-back"
    """A gate was breached."""
    INCONCLUSIVE = "inconclusive"
    """Too few requests came to judge by; the weights are what they were before."""
    ABORTED = "aborted"
    """By hand."""
    FAILED = "failed"
    """The new version could not be served."""
    OVERTAKEN = "overtaken"
    """Something else was asked of the deployment meanwhile, and counts."""

    @property
    def is_open(self) -> bool:
        return self in OPEN


OPEN = frozenset({RolloutStatus.RUNNING, RolloutStatus.PAUSED, RolloutStatus.ROLLING_BACK})


class IllegalTransition(Exception):
    """What was asked for does not follow the present status."""


class GateType(Enum):
    ERROR_RATE = "error_rate"
    LATENCY = "latency"
    ALARM = "alarm"
    METRIC = "metric"
    EXPERIMENT = "experiment"
    DRIFT = "drift"


@dataclass(frozen=True)
class Gate:
    """What the new version has to keep.

    Attributes:
        maximum: of an error rate a share from 0 to 1, of a latency milliseconds, of a metric its own unit, of
            drift a distance from 0 to 1.
        minimum: of a metric.
        percentile: of a latency, in percent: so many of the requests are to be answered within `maximum`.
        name: of an alarm or a metric; the id of an experiment.
        dimensions, statistic: of a metric, as CloudWatch has them.
        promotes: of an experiment: when it is decided for the new version, the rest of the steps is left out.
    """

    type: GateType
    maximum: float | None = None
    minimum: float | None = None
    percentile: float | None = None
    name: str | None = None
    dimensions: tuple[tuple[str, str], ...] = ()
    statistic: str = "Average"
    promotes: bool = False


class Finding(Enum):
    """How it stands with a gate."""

    PASSED = "passed"
    WAITING = "waiting"
    """There is too little to judge by."""
    BREACHED = "breached"
    PROMOTES = "promotes"


@dataclass(frozen=True)
class Judgement:
    """What was found of one gate, and why in one sentence with numbers."""

    gate: str
    finding: Finding
    reason: str


@dataclass(frozen=True)
class Step:
    """
    Attributes:
        weight: the new version's part of the requests, in percent.
        shadow: it gets copies of so many, and answers nobody.
        seconds: how long at least, from when SageMaker has the weights.
        minimum_samples: how many requests the new version must have answered meanwhile.
    """

    weight: float
    seconds: int
    minimum_samples: int
    shadow: bool = False

    def __str__(self) -> str:
        return f"{self.weight:g} % as shadow" if self.shadow else f"{self.weight:g} %"


@dataclass(frozen=True)
class Passage:
    """A step that has begun.

    Attributes:
        began_at: when its weights were read back from SageMaker.
        requests_before: what the new version had answered then.
        samples: what it has answered since.
    """

    began_at: datetime
    requests_before: int
    samples: int = 0
    ended_at: datetime | None = None


@dataclass(frozen=True)
class Rollout:
    """`record_version` grows by one with every change of the record.

    Attributes:
        number: the deployment's first rollout is 1.
        stable: what the deployment served before, with its weights.
        candidate: the version that is to take over; its weight means nothing.
        patience_seconds: how long a step may wait for requests beyond its own time.
        step: the one whose weights are in force or on their way; `len(steps)` when the new version is to be alone.
        revision: of the deployment, the last one that this rollout asked for.
        base: the revision whose endpoint configuration has all variants.
        serving_since: when the new version first got requests, or copies of them.
        passages: of the steps that have begun.
        judgements: of the gates, when they were looked at last.
        ending: what it becomes when the weights are back.
        breached_at, restored_at: when a gate was found breached, and when SageMaker had the old weights again.
        overtook: it took the place of another one, which may have left more behind the endpoint than `stable`.
        executions: how many executions of the machine have driven it; the number of the last one.
    """

    tenant: str
    deployment_id: str
    number: int
    user: str
    stable: tuple[Variant, ...]
    candidate: Variant
    steps: tuple[Step, ...]
    gates: tuple[Gate, ...]
    evaluation_seconds: int
    patience_seconds: int
    created_at: datetime
    updated_at: datetime
    status: RolloutStatus = RolloutStatus.RUNNING
    record_version: int = 1
    step: int = 0
    revision: int | None = None
    base: int | None = None
    serving_since: datetime | None = None
    passages: tuple[Passage, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    ending: RolloutStatus | None = None
    reason: str | None = None
    breached_at: datetime | None = None
    restored_at: datetime | None = None
    ended_at: datetime | None = None
    executions: int = 1
    overtook: bool = False

    @property
    def is_promoting(self) -> bool:
        return self.status is RolloutStatus.RUNNING and self.step >= len(self.steps)

    @property
    def passage(self) -> Passage | None:
        """Of the present step, when its weights are in force."""
        return self.passages[self.step] if self.step < len(self.passages) else None

    @property
    def watched(self) -> tuple[Gate, ...]:
        """The gates that the present step is judged by. What a shadow answers is kept nowhere: it can't be compared."""
        is_shadow = self.step < len(self.steps) and self.steps[self.step].shadow
        return tuple(gate for gate in self.gates if not (is_shadow and gate.type is GateType.DRIFT))

    def variants(self, weight: float) -> tuple[Variant, ...]:
        """All variants, the new one with so many percent, the others with what is left in their old proportions."""
        whole = sum(variant.weight for variant in self.stable)
        rest = (WHOLE - weight) / whole
        old = (replace(variant, weight=variant.weight * rest) for variant in self.stable)
        return (*old, replace(self.candidate, weight=weight))

    def shadowed(self, weight: float) -> Variant:
        """The new version, to get copies of so many percent of the requests."""
        return replace(self.candidate, weight=weight)

    @property
    def alone(self) -> tuple[Variant, ...]:
        """The new version by itself."""
        return (replace(self.candidate, weight=1.0),)

    def is_same_intent(self, other: Rollout) -> bool:
        return (self.candidate, self.steps, self.gates, self.evaluation_seconds, self.patience_seconds) == (
            other.candidate,
            other.steps,
            other.gates,
            other.evaluation_seconds,
            other.patience_seconds,
        )

    # What becomes of it

    def asked(self, revision: int, *, base: bool) -> Rollout:
        """Its next revision is on its way.

        Args:
            base: this one has an endpoint configuration of its own with all variants.
        """
        return replace(self, revision=revision, base=revision if base else self.base)

    def began_step(self, now: datetime, requests: int) -> Rollout:
        """The present step's weights are in force."""
        return replace(
            self,
            passages=(*self.passages[: self.step], Passage(now, requests)),
            serving_since=self.serving_since or now,
        )

    def interrupted(self) -> Rollout:
        """The endpoint was not as this rollout left it: the step begins anew."""
        return replace(self, passages=self.passages[: self.step])

    def judged(self, judgements: Sequence[Judgement], requests: int) -> Rollout:
        """Its gates were looked at, in a step that has begun.

        Args:
            requests: what the new version has answered since `serving_since`.
        """
        passage = self.passages[self.step]
        # Counters that are less than before have been lost: all that they count came since.
        samples = requests - passage.requests_before if requests >= passage.requests_before else requests
        passages = (*self.passages[: self.step], replace(passage, samples=max(passage.samples, samples)))
        return replace(self, judgements=tuple(judgements), passages=passages)

    def next_step(self, now: datetime) -> Rollout:
        return replace(self._passage_ended(now), step=self.step + 1)

    def promoting(self, now: datetime, reason: str) -> Rollout:
        """The new version is to be alone, whatever steps are left."""
        running = replace(self._passage_ended(now), status=RolloutStatus.RUNNING, step=len(self.steps), reason=reason)
        return running._follows(RolloutStatus.RUNNING, RolloutStatus.PAUSED, before=self)

    def paused(self) -> Rollout:
        if self.is_promoting:
            raise IllegalTransition("The new version is about to be alone: abort the rollout, or let it end.")
        after = replace(self, status=RolloutStatus.PAUSED)
        return after._follows(RolloutStatus.RUNNING, RolloutStatus.PAUSED, before=self)

    def resumed(self) -> Rollout:
        after = replace(self, status=RolloutStatus.RUNNING)
        return after._follows(RolloutStatus.RUNNING, RolloutStatus.PAUSED, before=self)

    def rolling_back(self, ending: RolloutStatus, reason: str, now: datetime) -> Rollout:
        """The old weights are to come back."""
        breached_at = now if ending is RolloutStatus.ROLLED_BACK else None
        ended = self._passage_ended(now)
        after = replace(ended, status=RolloutStatus.ROLLING_BACK, ending=ending, reason=reason, breached_at=breached_at)
        return after._follows(*OPEN, before=self)

    def restored(self, now: datetime) -> Rollout:
        """SageMaker has the old weights."""
        return self if self.restored_at else replace(self, restored_at=now)

    def ended(self, status: RolloutStatus, reason: str, now: datetime) -> Rollout:
        after = replace(self, status=status, reason=reason, ended_at=now)
        return after._follows(*OPEN, before=self)

    def driven_again(self) -> Rollout:
        """Another execution is to go on with it."""
        return replace(self, executions=self.executions + 1)

    def _passage_ended(self, now: datetime) -> Rollout:
        passage = self.passage
        if passage is None or passage.ended_at:
            return self
        return replace(self, passages=(*self.passages[: self.step], replace(passage, ended_at=now)))

    def _follows(self, *allowed: RolloutStatus, before: Rollout) -> Rollout:
        if before.status not in allowed:
            raise IllegalTransition(f"The rollout is {before.status.value}.")
        return self
