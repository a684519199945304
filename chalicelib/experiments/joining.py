"""Single units: that they got a variant, and later what came of them. Each is counted once, whatever comes again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from chalicelib.errors import FieldProblem, InvalidRequest
from chalicelib.experiments import items, rules
from chalicelib.experiments.experiment import Experiment
from chalicelib.experiments.metric import Counters, Missing, added
from chalicelib.experiments.outcomes import OutcomeService, ended
from chalicelib.experiments.request import ExposureRequest, OutcomeRequest
from chalicelib.experiments.store import Closed, Exposure, Progress, UnitsKnown, exposure_notes, outcome_note
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.table import Item


@dataclass
class Joined:
    """What became of the units of a request, by their position in it.

    Attributes:
        duplicates: had been counted before.
        crossed: exposures of a unit that got another variant before; it stays with the first.
        unmatched: outcomes of units whose exposure is not known (yet): sent again later they are counted.
    """

    counted: int = 0
    duplicates: list[int] = field(default_factory=list)
    crossed: list[int] = field(default_factory=list)
    unmatched: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class JoiningService:
    outcomes: OutcomeService

    def expose(self, caller: Caller, experiment_id: str, exposures: Sequence[ExposureRequest]) -> Joined:
        """Note which variant units got. That alone is no look.

        Raises:
            NotFound: not there, or another tenant's.
            InvalidRequest: what is wrong, by field.
            Conflict: the experiment has ended.
        """
        caller.require(Permission.EXPERIMENTS_REPORT)
        experiment = self.outcomes.find(caller, experiment_id)
        wanted = []
        for position, each in enumerate(exposures):
            rules.check_variant(experiment, each.variant, f"exposures.{position}.variant")
            unit, *aliases = _places(each.key, each.request_id, f"exposures.{position}")
            wanted.append((Exposure(unit, each.variant), aliases[0] if aliases else None))
        store = self.outcomes.store
        while True:
            known = store.exposures(
                experiment, [place for each, alias in wanted for place in (each.unit, alias) if place]
            )
            joined, notes, counts = _new_exposures(experiment, wanted, known)
            if not notes:
                return joined
            amounts = items.added(experiment, _without_outcome(experiment, counts), counts)
            try:
                store.count_units(experiment, amounts, notes, self.outcomes.now(), outcomes=False)
            except UnitsKnown:
                continue
            except Closed:
                raise ended(experiment, store) from None
            return joined

    def report(
        self, caller: Caller, experiment_id: str, outcomes: Sequence[OutcomeRequest]
    ) -> tuple[Joined, Experiment, Progress]:
        """Count what came of units that were exposed, and look once.

        A unit has one outcome of each metric: the first one counts.

        Raises:
            NotFound: not there, or another tenant's.
            InvalidRequest: what is wrong, by field.
            Conflict: the experiment has ended.
        """
        caller.require(Permission.EXPERIMENTS_REPORT)
        experiment = self.outcomes.find(caller, experiment_id)
        places, counted = [], []
        for position, each in enumerate(outcomes):
            counted.append(rules.unit_counters(experiment, each, f"outcomes.{position}"))
            places.append(_one_place(each.key, each.request_id, f"outcomes.{position}"))
        store = self.outcomes.store
        exposed = store.exposures(experiment, places)
        while True:
            pairs = [
                (exposed[place].unit, each.metric)
                for place, each in zip(places, outcomes, strict=True)
                if place in exposed
            ]
            known = store.counted_outcomes(experiment, pairs)
            joined = Joined()
            sums: dict[tuple[str, str], Counters] = {}
            notes: list[Item] = []
            for position, (place, each) in enumerate(zip(places, outcomes, strict=True)):
                if place not in exposed:
                    joined.unmatched.append(position)
                    continue
                unit, variant = exposed[place].unit, exposed[place].variant
                if (unit, each.metric) in known:
                    joined.duplicates.append(position)
                    continue
                known.add((unit, each.metric))
                joined.counted += 1
                where = (variant, each.metric)
                sums[where] = added(sums.get(where, {}), _beside_exposure(experiment, each.metric, counted[position]))
                notes.append(outcome_note(experiment, unit, each.metric))
            if notes:
                try:
                    amounts = items.added(experiment, sums, {})
                    store.count_units(experiment, amounts, notes, self.outcomes.now(), outcomes=True)
                except UnitsKnown:
                    continue
                except Closed:
                    raise ended(experiment, store) from None
            return joined, *self.outcomes.look(experiment)


def _new_exposures(
    experiment: Experiment, wanted: Sequence[tuple[Exposure, str | None]], known: Mapping[str, Exposure]
) -> tuple[Joined, list[Item], dict[str, int]]:
    """Those that are not known yet: what to note of them, and how many they are by variant."""
    joined, seen = Joined(), dict(known)
    notes: list[Item] = []
    counts: dict[str, int] = {}
    for position, (each, alias) in enumerate(wanted):
        earlier = seen.get(each.unit) or (seen.get(alias) if alias else None)
        if earlier:
            (joined.duplicates if earlier == each else joined.crossed).append(position)
            continue
        notes += exposure_notes(experiment, each, alias)
        seen |= {each.unit: each, **({alias: each} if alias else {})}
        counts[each.variant] = counts.get(each.variant, 0) + 1
        joined.counted += 1
    return joined, notes, counts


def _without_outcome(experiment: Experiment, counts: Mapping[str, int]) -> dict[tuple[str, str], Counters]:
    """What exposures count for metrics of which a unit without an outcome is a zero."""
    zero = [metric.name for metric in experiment.plan.metrics if metric.missing is Missing.ZERO]
    return {(variant, name): {"n": count} for variant, count in counts.items() for name in zero}


def _beside_exposure(experiment: Experiment, metric: str, counted: Counters) -> Counters:
    """What is left to count of an outcome, where its unit has been counted with its exposure."""
    (found,) = (each for each in experiment.plan.metrics if each.name == metric)
    return {**counted, "n": 0} if found.missing is Missing.ZERO else counted


def _places(key: str | None, request_id: str | None, field: str) -> list[str]:
    """Where a unit is noted: under its key, and under its request's id; what comes first is the unit."""
    kinds = (("key", key), ("request", request_id))
    found = [_digest(kind, text) for kind, text in kinds if text is not None]
    if not found:
        cure = "Give what the unit was assigned by as key, or the request's id as request_id."
        raise InvalidRequest.about(FieldProblem(field, "has neither key nor request_id", cure))
    return found


def _one_place(key: str | None, request_id: str | None, field: str) -> str:
    found = _places(key, request_id, field)
    if len(found) > 1:
        raise InvalidRequest.about(
            FieldProblem(field, "has key and request_id", "Give the one that it was exposed under.")
        )
    return found[0]


def _digest(kind: str, text: str) -> str:
    # Half a character, which a request may contain, is no text that could be stored, but a unit like any other.
    return hashlib.sha256(f"{kind}\x1f{text}".encode("utf-8", "surrogatepass")).hexdigest()
