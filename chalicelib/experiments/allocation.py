"""What each variant gets: its fixed share, or of a bandit what the last look gave it."""

from __future__ import annotations

from chalicelib.experiments.experiment import Decision, Experiment
from chalicelib.experiments.look import State


def allocation(experiment: Experiment, state: State) -> dict[str, float]:
    """Weights by variant. One that is rolled back gets nothing, one that is promoted everything.

    An experiment that ended otherwise leaves them as its last look had them.
    """
    if experiment.verdict.variant is not None:
        return {variant: float(variant == experiment.verdict.variant) for variant in experiment.variants}
    fixed = dict(zip(experiment.variants, experiment.shares, strict=True))
    found = {**fixed, **(state.report.get("suggested_weights") or {})}
    gone = {variant for variant, arm in state.arms.items() if arm.verdict.decision is Decision.ROLLBACK}
    return {variant: 0.0 if variant in gone else weight for variant, weight in found.items()}
