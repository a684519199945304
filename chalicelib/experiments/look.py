"""One look: what the counters say, by the plan. Pure: the same counters after the same looks give the same answer.

For each variant against the control, in this order, and once one of them holds it holds for good:

    rollback      a guardrail is worse than is allowed, or the primary metric is worse, by an always-valid interval
    promote       the primary metric is better, by the plan's test, and units are split as they were to be
    inconclusive  all the samples are in
    continue

With several variants the first that is better ends the experiment; one that is worse is left out, and the others go on.
α is divided evenly among the variants (Bonferroni; it is the first step of Holm's procedure, and the experiment ends with
its first rejection), that of the guardrails among the guardrails too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chalicelib.experiments import wording
from chalicelib.experiments.experiment import NOTHING_YET, Decision, Experiment, Method, Verdict
from chalicelib.experiments.metric import Counters, Metric
from chalicelib.experiments.report import Comparison, Split, report
from chalicelib.experiments.statistics import bandit, mismatch
from chalicelib.experiments.statistics.effects import LEAST_SAMPLES, Effect, compare
from chalicelib.experiments.statistics.moments import Estimate, estimates
from chalicelib.experiments.statistics.sequences import TIGHTEST, margin, margin_of_each
from chalicelib.experiments.statistics.spending import Analysis, next_analysis

POINTS = 40
"""How many looks are kept to be drawn; of older ones every second is dropped when there are more."""


@dataclass(frozen=True)
class Counted:
    """What has been counted so far.

    Attributes:
        sums: by variant, then by metric.
        exposures: of units reported singly, by variant.
        version: how often something was added.
    """

    sums: Mapping[str, Mapping[str, Counters]]
    exposures: Mapping[str, int]
    version: int


@dataclass(frozen=True)
class Arm:
    """A variant that is compared with the control, between two looks."""

    verdict: Verdict = NOTHING_YET
    analysis: Analysis | None = None


@dataclass(frozen=True)
class State:
    """All that a look leaves for the next one, of a size that does not grow.

    Attributes:
        report: the comparisons as documents.
        points: the primary metric's effects at earlier looks, to be drawn.
        seen: the version of what was counted.
    """

    looks: int = 0
    seen: int = 0
    verdict: Verdict = NOTHING_YET
    arms: Mapping[str, Arm] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)
    points: tuple[Mapping[str, Any], ...] = ()


def look(experiment: Experiment, counted: Counted, before: State) -> State:
    """The next look at an experiment that is running."""
    number = before.looks + 1
    values = {
        metric.name: estimates(metric, [counted.sums[variant][metric.name] for variant in experiment.variants])
        for metric in experiment.plan.metrics
    }
    split = _split(experiment, counted, before)
    arms, comparisons = {}, []
    for position, variant in enumerate(experiment.variants[1:], start=1):
        effects = [
            (each, compare(values[each.name][0], values[each.name][position])) for each in experiment.plan.metrics
        ]
        arm, compared = _Looking(experiment, variant, number, split).at(effects, before.arms.get(variant, Arm()))
        arms[variant] = arm
        comparisons += compared
    verdict = _overall(experiment, {variant: arm.verdict for variant, arm in arms.items()}, comparisons)
    weights = _weights(experiment, values[experiment.plan.primary.name], arms)
    return State(
        looks=number,
        seen=counted.version,
        verdict=verdict,
        arms=arms,
        report=report(experiment, comparisons, split, counted.exposures, weights),
        points=_thinned((*before.points, _point(number, comparisons))),
    )


@dataclass(frozen=True)
class _Looking:
    """At one variant."""

    experiment: Experiment
    variant: str
    number: int
    split: Split

    def at(self, effects: Sequence[tuple[Metric, Effect | None]], before: Arm) -> tuple[Arm, list[Comparison]]:
        plan = self.experiment.plan
        (_, primary), *guarding = effects
        family = plan.alpha / (len(self.experiment.variants) - 1)
        analysis = self._analysis(primary, before, family)
        compared = self._primary(primary, analysis, family)
        guarded = [self._guardrail(metric, effect, family / len(guarding)) for metric, effect in guarding]
        arm = Arm(before.verdict, analysis or before.analysis)
        if not before.verdict.decision.is_final:
            arm = replace(arm, verdict=self._verdict(compared, guarded))
        return arm, [compared, *guarded]

    def _analysis(self, effect: Effect | None, before: Arm, alpha: float) -> Analysis | None:
        """This look's boundary; None where it is not an analysis of its own."""
        plan = self.experiment.plan
        if plan.method is not Method.GROUP_SEQUENTIAL or before.verdict.decision.is_final:
            return None
        if effect is None or not effect.is_decidable:
            return None
        return next_analysis(before.analysis, effect.samples / plan.samples, alpha)

    def _primary(self, effect: Effect | None, analysis: Analysis | None, alpha: float) -> Comparison:
        plan = self.experiment.plan
        sign = plan.primary.direction.sign
        found = Comparison(plan.primary, self.experiment.variants[0], self.variant, effect, 1 - alpha)
        if effect is None:
            return found
        valid = self._margin(effect, plan.samples * TIGHTEST, alpha)
        bound = valid if plan.method is Method.ALWAYS_VALID else analysis.bound if analysis else None
        z = effect.z if effect.is_decidable else None
        return replace(
            found,
            z=z,
            bound=bound,
            always_valid=valid,
            information=effect.samples / plan.samples,
            is_better=z is not None and bound is not None and sign * z >= bound,
            is_worse=z is not None and -sign * z >= valid,
        )

    def _guardrail(self, metric: Metric, effect: Effect | None, alpha: float) -> Comparison:
        found = Comparison(metric, self.experiment.variants[0], self.variant, effect, 1 - alpha, is_guardrail=True)
        if effect is None:
            return found
        # Guardrails are there for harm that shows early.
        valid = self._margin(effect, max(LEAST_SAMPLES, self.experiment.plan.samples / 10), alpha)
        decidable = effect.is_decidable
        excess = effect.excess(metric.direction.sign, metric.max_relative_change) if decidable else None
        return replace(
            found,
            z=effect.z if decidable else None,
            excess=excess,
            bound=valid,
            always_valid=valid,
            is_worse=excess is not None and excess >= valid,
        )

    def _margin(self, effect: Effect, tightest_at: float, alpha: float) -> float:
        """Half the width of the always-valid interval, in standard errors, for the shares that the plan has."""
        if self.experiment.plan.floor is None:
            return margin(effect.samples, tightest_at, alpha)
        if len(self.experiment.variants) == 2:
            return margin(effect.informed_samples, tightest_at, alpha)
        return margin_of_each(effect.control.n, effect.variant.n, tightest_at, alpha)

    def _verdict(self, primary: Comparison, guardrails: Sequence[Comparison]) -> Verdict:
        plan = self.experiment.plan
        breached = next((each for each in guardrails if each.is_worse), None)
        if breached:
            return Verdict(Decision.ROLLBACK, wording.breached(breached), self.number)
        if primary.is_worse:
            return Verdict(Decision.ROLLBACK, wording.worse(primary), self.number)
        if primary.is_better and not self.split.is_mismatch:
            return Verdict(
                Decision.PROMOTE, wording.better(primary, plan.method, self.number), self.number, self.variant
            )
        if primary.effect is not None and primary.effect.samples >= plan.samples:
            reason = wording.mismatch(self.split) if self.split.is_mismatch else wording.exhausted(primary, plan)
            return Verdict(Decision.INCONCLUSIVE, reason, self.number)
        if self.split.is_mismatch:
            return Verdict(Decision.CONTINUE, wording.mismatch(self.split))
        return Verdict(Decision.CONTINUE, wording.undecided(primary, plan, self.number))


def _overall(experiment: Experiment, verdicts: Mapping[str, Verdict], comparisons: Sequence[Comparison]) -> Verdict:
    promoted = [each for each in comparisons if not each.is_guardrail and verdicts[each.variant].variant]
    if promoted:
        best = max(promoted, key=lambda each: experiment.plan.primary.direction.sign * (each.z or 0))
        return verdicts[best.variant]
    each = tuple(verdicts.values())
    decisions = {verdict.decision for verdict in each}
    reason = each[0].reason if len(each) == 1 else " ".join(verdict.reason for verdict in each)
    number = max((verdict.look or 0 for verdict in each), default=0)
    if Decision.CONTINUE in decisions:
        return Verdict(Decision.CONTINUE, reason)
    if decisions == {Decision.ROLLBACK}:
        return Verdict(Decision.ROLLBACK, reason, number)
    return Verdict(Decision.INCONCLUSIVE, reason, number)


def _split(experiment: Experiment, counted: Counted, before: State) -> Split:
    """Units by variant: those that were reported singly, or else those of the primary metric.

    A variant that was rolled back gets no more of them; the others share as before among themselves.
    """
    primary = experiment.plan.primary.name
    units = [counted.exposures.get(variant, 0) for variant in experiment.variants]
    if not any(units):
        units = [int(counted.sums[variant][primary].get("n", 0)) for variant in experiment.variants]
    # A bandit moves the shares: there is nothing to hold them against.
    if experiment.plan.floor is not None or not all(units):
        return Split(tuple(units), experiment.shares, None)
    gone = {variant for variant, arm in before.arms.items() if arm.verdict.decision is Decision.ROLLBACK}
    left = [position for position, variant in enumerate(experiment.variants) if variant not in gone]
    whole = sum(experiment.shares[position] for position in left)
    p_value = mismatch.p_value([units[each] for each in left], [experiment.shares[each] / whole for each in left])
    return Split(tuple(units), experiment.shares, p_value)


def _weights(
    experiment: Experiment, values: Sequence[Estimate | None], arms: Mapping[str, Arm]
) -> dict[str, float] | None:
    """What each variant is to get from now on, by Thompson sampling; by the plan's shares while too little is known."""
    floor = experiment.plan.floor
    if floor is None:
        return None
    left_out = {variant for variant, arm in arms.items() if arm.verdict.decision is Decision.ROLLBACK}
    kept = [
        each for each in zip(experiment.variants, experiment.shares, values, strict=True) if each[0] not in left_out
    ]
    sign = experiment.plan.primary.direction.sign
    known = [(sign * value.mean, value.variance) for _, _, value in kept if value and value.n >= LEAST_SAMPLES]
    if len(known) < len(kept) or not all(variance > 0 for _, variance in known):
        whole = sum(share for _, share, _ in kept)
        suggested: Sequence[float] = [share / whole for _, share, _ in kept]
    else:
        suggested = bandit.weights(known, floor)
    found = dict(zip((variant for variant, _, _ in kept), suggested, strict=True))
    return {variant: found.get(variant, 0.0) for variant in experiment.variants}


def _point(number: int, comparisons: Sequence[Comparison]) -> Mapping[str, Any]:
    drawn = {each.variant: each.drawn() for each in comparisons if not each.is_guardrail and each.effect}
    samples = max((each.effect.samples for each in comparisons if not each.is_guardrail and each.effect), default=0.0)
    return {"look": number, "samples": round(samples), "effects": drawn}


def _thinned(points: tuple[Mapping[str, Any], ...]) -> tuple[Mapping[str, Any], ...]:
    return points if len(points) <= POINTS else (*points[:-1][::2], points[-1])
