"""What follows in a rollout: the whole of its decisions, in one place. Pure.

status         the deployment                              →
─────────────  ──────────────────────────────────────────  ──────────────────────────────────────────────────────
any            is being changed for it                       wait
any            has another rollout, or none; is taken down   overtaken
running        was not touched yet                           all variants, with the first step's weights; of a shadow
                                                             step the old ones, and the new version as their shadow
               could not take the step's weights             failed, if it never had them; else rolling back
               has just taken them                           the step begins, counted from here
               has an endpoint that others have changed      set right, and the step begins anew
               a gate is breached                            rolling back, with the gate and its numbers
               the step's time and requests are there        the next step's weights; after the last the version alone
               its time is over, requests are missing        wait; after `patience` rolling back, to end inconclusive
               serves the new version alone                  succeeded
               was promoted by hand, or by an experiment     the version alone, whatever steps are left
paused         a gate is breached                            rolling back
rolling back   sends the new version requests                the old weights, as often as it takes
               sends it copies                               the old variants alone
               sends it none                                 restored; then the old variants alone
               serves the old variants, or can't go further  ended as it was to end
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from chalicelib.deployments.deployment import Deployment, DeploymentStatus, Revision, Variant
from chalicelib.rollouts.gates import Reading, judge
from chalicelib.rollouts.rollout import Finding, Judgement, Passage, Rollout, RolloutStatus, Step

SETTLE_SECONDS = 15
"""How often at least a turn is taken while an endpoint changes."""

EVERY_STEP = "Every step passed."


@dataclass(frozen=True)
class Turn:
    """What comes of one look.

    Attributes:
        rollout: as it is from now on.
        variants: what the deployment is to serve next; None: what it does.
        shadow: what is to get copies of the requests meanwhile.
        base: the revision whose endpoint configuration has these variants; None: it needs one of its own.
        seconds: when to look again; None once it has ended.
    """

    rollout: Rollout
    variants: tuple[Variant, ...] | None = None
    base: int | None = None
    seconds: int | None = None
    shadow: Variant | None = None


def following(rollout: Rollout, deployment: Deployment, now: datetime, read: Callable[[], Reading]) -> Turn:
    """
    Args:
        deployment: it was last read after `rollout` was.
        read: what is known of the new version; asked for only where it decides.
    """
    if not rollout.status.is_open:
        return Turn(rollout)
    if deployment.rollout != rollout.number:
        return _end(rollout, RolloutStatus.OVERTAKEN, "Something else was asked of the deployment meanwhile.", now)
    if deployment.status is DeploymentStatus.DEPLOYING:
        return Turn(rollout, seconds=min(SETTLE_SECONDS, rollout.evaluation_seconds))
    if deployment.status is not DeploymentStatus.ACTIVE or deployment.active is None:
        said = f"The deployment is {deployment.status.value}: {deployment.failure_reason or 'it was taken down.'}"
        return _end(rollout, RolloutStatus.FAILED, said, now)
    active = deployment.active
    if rollout.status is RolloutStatus.ROLLING_BACK:
        return _rolling_back(rollout, deployment, active, now)
    if rollout.revision is None:
        return _step(rollout)
    if active.number != rollout.revision:
        return _refused(rollout, deployment, active, now)
    if rollout.is_promoting:
        is_alone = [variant.model_id for variant in active.variants] == [rollout.candidate.model_id]
        return _end(rollout, RolloutStatus.SUCCEEDED, rollout.reason or EVERY_STEP, now) if is_alone else _step(rollout)
    reading = read()
    if not reading.is_served:
        return Turn(rollout.interrupted(), seconds=min(SETTLE_SECONDS, rollout.evaluation_seconds))
    if rollout.passage is None:
        # What is read now came before: the weights have just been read back.
        begun = rollout.began_step(now, reading.requests)
        return Turn(begun, seconds=_pause(begun, now))
    judgements = [judge(gate, reading) for gate in rollout.watched]
    return _judged(rollout.judged(judgements, reading.requests), active, now)


def _judged(rollout: Rollout, active: Revision, now: datetime) -> Turn:
    """A step's weights are in force, and its gates have been looked at."""
    passage, step = rollout.passages[rollout.step], rollout.steps[rollout.step]
    if breached := _first(rollout.judgements, Finding.BREACHED):
        reason = f"At {step}: {breached.gate} was breached. {breached.reason}"
        return _back(rollout.rolling_back(RolloutStatus.ROLLED_BACK, reason, now), active, now)
    if rollout.status is RolloutStatus.PAUSED:
        return Turn(rollout, seconds=rollout.evaluation_seconds)
    if promotes := _first(rollout.judgements, Finding.PROMOTES):
        reason = f"At {step}: {promotes.gate} decided. {promotes.reason}"
        return _step(rollout.promoting(now, reason))
    elapsed = (now - passage.began_at).total_seconds()
    missing = _missing(rollout, passage, step)
    if elapsed >= step.seconds and missing is None:
        return _step(rollout.next_step(now))
    if missing is not None and elapsed >= step.seconds + rollout.patience_seconds:
        reason = f"At {step}, after {elapsed:,.0f} s: {missing}"
        return _back(rollout.rolling_back(RolloutStatus.INCONCLUSIVE, reason, now), active, now)
    return Turn(rollout, seconds=_pause(rollout, now))


def _missing(rollout: Rollout, passage: Passage, step: Step) -> str | None:
    """What a step lacks to be judged; None when nothing."""
    if passage.samples < step.minimum_samples:
        return f"{passage.samples:,} of {step.minimum_samples:,} requests have come."
    waiting = _first(rollout.judgements, Finding.WAITING)
    return waiting.reason if waiting else None


def _step(rollout: Rollout) -> Turn:
    """The weights of the present step, or the new version alone."""
    seconds = min(SETTLE_SECONDS, rollout.evaluation_seconds)
    if rollout.is_promoting:
        return Turn(rollout, rollout.alone, seconds=seconds)
    step = rollout.steps[rollout.step]
    if step.shadow:
        return Turn(rollout, rollout.stable, seconds=seconds, shadow=rollout.shadowed(step.weight))
    return Turn(rollout, rollout.variants(step.weight), rollout.base, seconds)


def _back(rollout: Rollout, active: Revision, now: datetime) -> Turn:
    """The old weights at once; the new version stays up, and gets nothing. A shadow goes: nobody was answered by it."""
    seconds = min(SETTLE_SECONDS, rollout.evaluation_seconds)
    if active.shadow is not None:
        return Turn(rollout.restored(now), rollout.stable, seconds=seconds)
    return Turn(rollout, rollout.variants(0), rollout.base, seconds)


def _rolling_back(rollout: Rollout, deployment: Deployment, active: Revision, now: datetime) -> Turn:
    weight = active.weight_of(rollout.candidate.model_id)
    reason = rollout.reason or ""
    ending = rollout.ending or RolloutStatus.ABORTED
    candidate = rollout.candidate.model_id
    is_shadow = rollout.revision is not None and active.shadow is not None and active.shadow.model_id == candidate
    if weight is None and not is_shadow and _has_leftovers(rollout, active) and rollout.restored_at is None:
        return Turn(rollout.restored(now), rollout.stable, seconds=min(SETTLE_SECONDS, rollout.evaluation_seconds))
    if weight is None and not is_shadow:
        return _end(rollout.restored(now), ending, reason, now)
    seconds = min(SETTLE_SECONDS, rollout.evaluation_seconds)
    if weight:
        # Where the new version is alone already there are no old ones to weigh: they have to come up first.
        is_beside = active.own == rollout.base
        return _back(rollout, active, now) if is_beside else Turn(rollout, rollout.stable, seconds=seconds)
    if rollout.restored_at is None:
        return Turn(rollout.restored(now), rollout.stable, seconds=seconds)
    # The old variants by themselves were asked for, and the endpoint did not take them: it serves them all the same.
    failure = deployment.last_failure.reason if deployment.last_failure else "the endpoint did not change."
    kept = f"{reason} The new version is still up, {'as shadow' if is_shadow else 'without requests'}: {failure}"
    return _end(rollout, ending, kept, now)


def _has_leftovers(rollout: Rollout, active: Revision) -> bool:
    """Whether a rollout that this one overtook has left its version, or its shadow, behind the endpoint."""
    stable, now = ({variant.model_id for variant in variants} for variants in (rollout.stable, active.variants))
    return rollout.overtook and (active.shadow is not None or stable != now)


def _refused(rollout: Rollout, deployment: Deployment, active: Revision, now: datetime) -> Turn:
    """The deployment went on with what it had."""
    failure = deployment.last_failure
    said = failure.reason if failure else "the revision did not come about."
    if rollout.serving_since is None:
        reason = f"The new version could not be served: {said}"
        if _has_leftovers(rollout, active):
            back = rollout.rolling_back(RolloutStatus.FAILED, reason, now).restored(now)
            return Turn(back, rollout.stable, seconds=min(SETTLE_SECONDS, rollout.evaluation_seconds))
        return _end(rollout, RolloutStatus.FAILED, reason, now)
    if rollout.is_promoting and sum(active.weights.values()) == active.weight_of(rollout.candidate.model_id):
        kept = f"{rollout.reason or EVERY_STEP} The old version is still up, without requests: {said}"
        return _end(rollout, RolloutStatus.SUCCEEDED, kept, now)
    what = "alone" if rollout.is_promoting else str(rollout.steps[rollout.step])
    reason = f"The endpoint did not take the new version's weights ({what}): {said}"
    return _back(rollout.rolling_back(RolloutStatus.FAILED, reason, now), active, now)


def _end(rollout: Rollout, status: RolloutStatus, reason: str, now: datetime) -> Turn:
    return Turn(rollout.ended(status, reason, now))


def _first(judgements: Sequence[Judgement], finding: Finding) -> Judgement | None:
    return next((each for each in judgements if each.finding is finding), None)


def _pause(rollout: Rollout, now: datetime) -> int:
    """Until the next evaluation, or until the step's time is over if that is sooner."""
    passage = rollout.passage
    if passage is None:
        return rollout.evaluation_seconds
    left = rollout.steps[rollout.step].seconds - (now - passage.began_at).total_seconds()
    return max(1, min(rollout.evaluation_seconds, int(left) + 1)) if left > 0 else rollout.evaluation_seconds
