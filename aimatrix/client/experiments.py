"""Experiments as values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

DECIDED: frozenset[str] = frozenset({"promote", "rollback", "inconclusive"})


@dataclass(frozen=True)
class Traffic:
    """How it stands with the requests of the deployment that an experiment splits.

    Attributes:
        status: ``following``, ``changing``, ``refused`` (the next look tries again), ``given-up`` or ``ended``.
        look: whose weights were asked for last; 0: none yet.
        revision: the deployment's, with those weights.
        reason: why it is refused, given up or ended.
    """

    status: str
    look: int
    revision: int
    reason: str | None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Traffic:
        return cls(document["status"], document["look"], document["revision"], document.get("reason"))


@dataclass(frozen=True)
class Experiment:
    """What was fixed when an experiment began, and how it ended.

    Attributes:
        status: ``running``, ``decided`` or ``stopped``.
        decision: ``continue``, ``promote``, ``rollback`` or ``inconclusive``.
        sample_size: samples per variant that the smallest effect worth finding takes; None where the baseline is not known.
        traffic: of an experiment whose allocation names a deployment; a list has none.
    """

    id: str
    name: str
    status: str
    decision: str
    variants: tuple[str, ...]
    primary_metric: str
    sample_size: int | None
    created_at: str
    traffic: Traffic | None
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Experiment:
        return cls(
            id=document["id"],
            name=document.get("name", ""),
            status=document.get("status", ""),
            decision=document.get("decision", ""),
            variants=tuple(document.get("variants") or ()),
            primary_metric=(document.get("primary_metric") or {}).get("name", ""),
            sample_size=(document.get("sample_size") or {}).get("per_variant"),
            created_at=document.get("created_at", ""),
            traffic=Traffic.from_document(document["traffic"]) if document.get("traffic") else None,
            document=document,
        )


@dataclass(frozen=True)
class Comparison:
    """One metric of one variant against the control, as the last look found it.

    Attributes:
        n, values: of each of the two, by name; empty while there is too little of one.
        effect: the difference, with its interval at the confidence that the plan asks for.
        relative_effect: the same as a part of the control's value.
    """

    metric: str
    role: str
    variant: str
    control: str
    n: Mapping[str, int]
    values: Mapping[str, float]
    effect: float | None
    interval: tuple[float, float] | None
    relative_effect: float | None
    relative_interval: tuple[float, float] | None
    is_worse: bool
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Comparison:
        return cls(
            metric=document["name"],
            role=document["role"],
            variant=document["variant"],
            control=document["control"],
            n=document.get("n") or {},
            values=document.get("value") or {},
            effect=document.get("effect"),
            interval=_pair(document.get("interval")),
            relative_effect=document.get("relative_effect"),
            relative_interval=_pair(document.get("relative_interval")),
            is_worse=bool(document.get("is_worse")),
            document=document,
        )


@dataclass(frozen=True)
class PlotPoint:
    """The primary metric's effect at one look, with its always-valid interval, of one variant."""

    look: int
    samples: int
    variant: str
    effect: float
    low: float
    high: float


@dataclass(frozen=True)
class Results:
    """What the last look found, and the decision.

    Attributes:
        reason: in one plain sentence.
        promoted: the variant that won.
        looks: how many there have been.
        weights: what each variant gets now.
    """

    id: str
    decision: str
    reason: str
    promoted: str | None
    looks: int
    weights: Mapping[str, float]
    comparisons: tuple[Comparison, ...]
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Results:
        return cls(
            id=document["id"],
            decision=document["decision"],
            reason=document["reason"],
            promoted=document.get("promoted"),
            looks=int(document.get("looks") or 0),
            weights={each["name"]: each["weight"] for each in document.get("variants") or ()},
            comparisons=tuple(Comparison.from_document(each) for each in document.get("metrics") or ()),
            document=document,
        )

    def is_decided(self) -> bool:
        return self.decision in DECIDED

    def points(self) -> Iterator[PlotPoint]:
        """The primary metric's effects at the looks so far; of very many, some."""
        for point in (self.document.get("plot") or {}).get("points") or ():
            for variant, drawn in point["effects"].items():
                if drawn:
                    yield PlotPoint(point["look"], point["samples"], variant, *drawn)


@dataclass(frozen=True)
class Joined:
    """What became of units that were reported singly; the positions are those in the request.

    Attributes:
        duplicates: had been counted before.
        crossed: exposures of a unit that got another variant before.
        unmatched: outcomes of units whose exposure isn't known: send them again later.
    """

    counted: int
    duplicates: tuple[int, ...]
    crossed: tuple[int, ...]
    unmatched: tuple[int, ...]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Joined:
        lists = {name: tuple(document.get(name) or ()) for name in ("duplicates", "crossed", "unmatched")}
        return cls(counted=int(document.get("counted") or 0), **lists)


def _pair(found: Any) -> tuple[float, float] | None:
    return (found[0], found[1]) if found else None
