"""Faults on demand: throttling, no capacity, spot interruptions, crashes, lost events; seeded, so a run can be repeated.

``PUT /_compute/faults`` takes a plan. Each rule is asked once per occasion (a call of its operation, the start of a job or
of an endpoint's instances, or an event), in order; the first rule that fires wins. Whether a rule fires is decided by a
generator that is seeded with the plan's seed and the rule's position: the n-th question to a rule has the same answer in
every run, whatever the other rules do.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from localcloud.compute.errors import ApiError, ValidationFailed

CALL_FAULTS = frozenset({"throttle", "resource_limit", "internal_error"})
JOB_FAULTS = frozenset(
    {
        *("no_capacity", "slow_start", "spot_interruption", "crash"),
        *("out_of_memory", "image_pull", "data_missing", "host_failure"),
    }
)
ENDPOINT_FAULTS = frozenset({"no_capacity", "ping_timeout"})
EVENT_FAULTS = frozenset({"event_lost", "event_doubled"})
_FAULTS = CALL_FAULTS | JOB_FAULTS | ENDPOINT_FAULTS | EVENT_FAULTS
MAX_RULES = 100
_FIELDS = frozenset(
    {
        *("operation", "fault", "probability", "times", "after_seconds", "after_line"),
        *("seconds", "name_prefix", "exit_code"),
    }
)


@dataclass(frozen=True)
class Rule:
    """One fault.

    Attributes:
        operation: the call it concerns, or the detail type of an event; None: any (job faults: any backend).
        fault: one of CALL_FAULTS, JOB_FAULTS, ENDPOINT_FAULTS or EVENT_FAULTS.
        probability: of firing at each occasion.
        times: fires at most this often; None: always.
        after_seconds: job faults: how long after the training process started.
        after_line: of those that end a running process: not after some time, but when it prints a line that begins so.
        seconds: ``slow_start``: length of the delay before the job leaves Starting; ``ping_timeout``: how long a container
            has until it answers the ping.
        name_prefix: only jobs and endpoints whose name begins so.
    """

    fault: str
    operation: str | None = None
    probability: float = 1.0
    times: int | None = None
    after_seconds: float = 0.0
    after_line: str = ""
    seconds: float = 0.0
    name_prefix: str = ""
    exit_code: int = 1


@dataclass
class _Progress:
    chance: random.Random
    left: int | None


@dataclass
class FaultPlan:
    """The rules in force."""

    seed: int = 0
    rules: tuple[Rule, ...] = ()
    _progress: list[_Progress] = field(default_factory=list)

    def replace(self, document: Mapping[str, Any]) -> None:
        """Takes a plan as PUT sends it; counts start anew.

        Raises:
            ValidationFailed: an unknown field or fault, or a value out of range. The plan in force stays.
        """
        seed, rules = parse_plan(document)
        self.seed, self.rules = seed, rules
        # Not for secrets: the same seed must give the same faults.
        self._progress = [
            _Progress(random.Random(f"{seed}:{position}"), rule.times)  # noqa: S311
            for position, rule in enumerate(rules)
        ]

    def document(self) -> dict[str, Any]:
        """The plan in force and how often each rule may still fire."""
        return {
            "seed": self.seed,
            "rules": [
                {**{name: getattr(rule, name) for name in sorted(_FIELDS)}, "left": progress.left}
                for rule, progress in zip(self.rules, self._progress, strict=True)
            ],
        }

    def on_call(self, operation: str) -> ApiError | None:
        """The error that this call is to be answered with, if any."""
        rule = self._fire(CALL_FAULTS, operation, "")
        if rule is None:
            return None
        if rule.fault == "throttle":
            return ApiError("ThrottlingException", "Rate exceeded", 400)
        if rule.fault == "resource_limit":
            return ApiError("ResourceLimitExceeded", "The account-level service limit has been reached", 400)
        return ApiError("InternalFailure", "We encountered an internal error. Please try again.", 500)

    def on_job(self, operation: str, name: str) -> Rule | None:
        """The fault that this job (or attempt of a Batch job) is to meet, if any."""
        return self._fire(JOB_FAULTS, operation, name)

    def on_endpoint(self, operation: str, name: str) -> Rule | None:
        """The fault that the instances meet which this operation brings to an endpoint, if any."""
        return self._fire(ENDPOINT_FAULTS, operation, name)

    def times_told(self, detail_type: str, name: str) -> int:
        """How often EventBridge gets to know of this event: AWS may lose one, or tell it twice."""
        rule = self._fire(EVENT_FAULTS, detail_type, name)
        if rule is None:
            return 1
        return 0 if rule.fault == "event_lost" else 2

    def _fire(self, family: frozenset[str], operation: str, name: str) -> Rule | None:
        for rule, progress in zip(self.rules, self._progress, strict=True):
            concerns = (
                rule.fault in family and rule.operation in (None, operation) and name.startswith(rule.name_prefix)
            )
            if not concerns or progress.left == 0:
                continue
            if progress.chance.random() < rule.probability:
                if progress.left is not None:
                    progress.left -= 1
                return rule
        return None


def parse_plan(document: Mapping[str, Any]) -> tuple[int, tuple[Rule, ...]]:
    unknown = set(document) - {"seed", "rules"}
    seed, rules = document.get("seed", 0), document.get("rules", [])
    if unknown or not isinstance(seed, int) or not isinstance(rules, list) or len(rules) > MAX_RULES:
        raise ValidationFailed(f'a fault plan is {{"seed": integer, "rules": [at most {MAX_RULES}]}}')
    return seed, tuple(_parse_rule(rule, position) for position, rule in enumerate(rules))


def _parse_rule(rule: Any, position: int) -> Rule:
    where = f"rules[{position}]"
    if not isinstance(rule, dict) or set(rule) - _FIELDS:
        raise ValidationFailed(f"{where}: allowed fields are {', '.join(sorted(_FIELDS))}")
    if rule.get("fault") not in _FAULTS:
        raise ValidationFailed(f"{where}.fault: must be one of {', '.join(sorted(_FAULTS))}")
    for name, low, high in (("probability", 0, 1), ("after_seconds", 0, 86400), ("seconds", 0, 86400)):
        value = rule.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValidationFailed(f"{where}.{name}: must be a number from {low} to {high}")
    for name, high in (("times", 10**6), ("exit_code", 255)):
        value = rule.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= high):
            raise ValidationFailed(f"{where}.{name}: must be an integer from 0 to {high}")
    for name in ("operation", "name_prefix", "after_line"):
        if not isinstance(rule.get(name, ""), str | None):
            raise ValidationFailed(f"{where}.{name}: must be a string")
    return Rule(**rule)
