"""A rollout as an item, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from chalicelib.clock import from_text, to_text
from chalicelib.deployments.deployment import Variant
from chalicelib.rollouts.rollout import (
    Finding,
    Gate,
    GateType,
    Judgement,
    Passage,
    Rollout,
    RolloutStatus,
    Step,
)
from chalicelib.table import Item, as_json

PREFIX = "rollout#"
_TIMES = ("serving_since", "breached_at", "restored_at", "ended_at")
_PLAIN = (
    *("tenant", "deployment_id", "number", "user", "evaluation_seconds", "patience_seconds", "record_version"),
    *("step", "revision", "base", "reason", "executions"),
)
_LATER = {"overtook": False}
"""What records of earlier releases lack."""


def key_of(tenant: str, deployment_id: str, number: int) -> tuple[str, str]:
    """Rollouts are in the order of their numbers."""
    return f"{tenant}#{deployment_id}", f"{PREFIX}{number:08d}"


def item_of(rollout: Rollout) -> Item:
    pk, sk = key_of(rollout.tenant, rollout.deployment_id, rollout.number)
    times = {name: getattr(rollout, name) for name in _TIMES}
    return {
        "pk": pk,
        "sk": sk,
        **{name: getattr(rollout, name) for name in (*_PLAIN, *_LATER)},
        "stable": as_json([vars(variant) for variant in rollout.stable]),
        "candidate": as_json(vars(rollout.candidate)),
        "steps": as_json([vars(step) for step in rollout.steps]),
        "gates": as_json([{**vars(gate), "type": gate.type.value} for gate in rollout.gates]),
        "passages": as_json([_passage_document(passage) for passage in rollout.passages]),
        "judgements": as_json([{**asdict(each), "finding": each.finding.value} for each in rollout.judgements]),
        "created_at": to_text(rollout.created_at),
        "updated_at": to_text(rollout.updated_at),
        "status": rollout.status.value,
        "ending": rollout.ending.value if rollout.ending else None,
        **{name: to_text(value) if value else None for name, value in times.items()},
    }


def rollout_of(item: Mapping[str, Any]) -> Rollout:
    plain: dict[str, Any] = {name: item.get(name) for name in _PLAIN}
    plain |= {name: item.get(name, initial) for name, initial in _LATER.items()}
    times: dict[str, Any] = {name: from_text(text) if (text := item.get(name)) else None for name in _TIMES}
    ending = item.get("ending")
    return Rollout(
        **plain,
        stable=tuple(Variant(**each) for each in json.loads(item["stable"])),
        candidate=Variant(**json.loads(item["candidate"])),
        steps=tuple(Step(**each) for each in json.loads(item["steps"])),
        gates=tuple(_gate(each) for each in json.loads(item["gates"])),
        passages=tuple(_passage(each) for each in json.loads(item["passages"])),
        judgements=tuple(
            Judgement(each["gate"], Finding(each["finding"]), each["reason"]) for each in json.loads(item["judgements"])
        ),
        created_at=from_text(item["created_at"]),
        updated_at=from_text(item["updated_at"]),
        status=RolloutStatus(item["status"]),
        ending=RolloutStatus(ending) if ending else None,
        **times,
    )


def _gate(document: Mapping[str, Any]) -> Gate:
    dimensions = tuple((name, value) for name, value in document["dimensions"])
    return Gate(**{**document, "type": GateType(document["type"]), "dimensions": dimensions})


def _passage_document(passage: Passage) -> dict[str, Any]:
    ended_at = to_text(passage.ended_at) if passage.ended_at else None
    return {**vars(passage), "began_at": to_text(passage.began_at), "ended_at": ended_at}


def _passage(document: Mapping[str, Any]) -> Passage:
    ended_at = from_text(document["ended_at"]) if document["ended_at"] else None
    return Passage(**{**document, "began_at": from_text(document["began_at"]), "ended_at": ended_at})
