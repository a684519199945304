"""When a model is deployed by itself, and where to: frozen values, no I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

EVERY_NAME = "*"
"""The policy of all models whose name has none of its own."""


@dataclass(frozen=True)
class Condition:
    """A metric lies above a bound, or below one, or between two; on the bound is not enough."""

    metric: str
    above: float | None = None
    below: float | None = None

    def unmet(self, metrics: Mapping[str, float]) -> str | None:
        """Why it does not hold; None when it does."""
        value = metrics.get(self.metric)
        if value is None or math.isnan(value):
            return f"it has no {self.metric}"
        if self.above is not None and not value > self.above:
            return f"its {self.metric} is {value:.6g}, not above {self.above:g}"
        if self.below is not None and not value < self.below:
            return f"its {self.metric} is {value:.6g}, not below {self.below:g}"
        return None


@dataclass(frozen=True)
class Policy:
    """
    Attributes:
        name: of the models it is for, or `EVERY_NAME`.
        enabled: without it no model is deployed by itself, whatever it is like.
        config: as a deployment's, without models.
        rollout: the plan by which the model takes over from what is deployed already; None: at once.
        user: who set it; None for the one that everybody has.
    """

    tenant: str
    name: str
    enabled: bool
    conditions: tuple[Condition, ...]
    config: Mapping[str, Any]
    rollout: Mapping[str, Any] | None = None
    user: str | None = None
    updated_at: datetime | None = None

    def refusal(self, metrics: Mapping[str, float]) -> str | None:
        """Why a model with these metrics is not deployed; None when it is."""
        if not self.enabled:
            return "The policy is switched off."
        unmet = [said for condition in self.conditions if (said := condition.unmet(metrics))]
        return f"The model stays where it is: {', and '.join(unmet)}." if unmet else None


def built_in(tenant: str) -> Policy:
    """What holds for every model unless something else is said: accuracy, precision and recall above 0.8, to staging."""
    conditions = tuple(Condition(metric, above=0.8) for metric in ("accuracy", "precision", "recall"))
    return Policy(tenant, EVERY_NAME, True, conditions, {"environment": "staging", "replicas": 1})


def condition_documents(conditions: Sequence[Condition]) -> list[dict[str, Any]]:
    return [{name: value for name, value in vars(condition).items() if value is not None} for condition in conditions]
