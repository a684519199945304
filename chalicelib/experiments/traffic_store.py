"""Which experiment splits an endpoint's requests, and how it stands with them, in the table of experiments.

pk                                     sk           what
<tenant>#<experiment_id>               traffic      see `traffic.py`; of an experiment that names a deployment
<tenant>#deployment#<deployment_id>    experiment   which one it is, until it has ended or given up: one at a time
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from chalicelib.clock import from_text, to_text
from chalicelib.experiments.items import pk
from chalicelib.experiments.store import Stale
from chalicelib.experiments.traffic import Traffic, TrafficStatus
from chalicelib.table import ConditionFailed, Item, Table, Write

_IS_UNCHANGED = "#version = :version"


@dataclass(frozen=True)
class TrafficStore:
    table: Table

    def begin(self, traffic: Traffic) -> list[Write]:
        """Take the deployment; it fails where another experiment has it."""
        taken = {**_place(traffic.tenant, traffic.deployment_id), "experiment_id": traffic.experiment_id}
        return [self.table.put(_item(traffic)), self.table.put_if_absent(taken)]

    def get(self, tenant: str, experiment_id: str) -> Traffic | None:
        item = self.table.get(pk(tenant, experiment_id), "traffic")
        return _traffic(item) if item else None

    def experiment_of(self, tenant: str, deployment_id: str) -> str | None:
        """The experiment that splits a deployment's requests."""
        place = _place(tenant, deployment_id)
        item = self.table.get(place["pk"], place["sk"])
        return str(item["experiment_id"]) if item else None

    def change(self, before: Traffic, after: Traffic, now: datetime) -> list[Write]:
        """The record as it is now, if it is still as it was read. When it is over the deployment is free again."""
        after = replace(after, version=before.version + 1, updated_at=now)
        record = self.table.put(
            _item(after), condition=_IS_UNCHANGED, values={":version": before.version}, names={"#version": "version"}
        )
        if not after.status.is_over:
            return [record]
        place = _place(after.tenant, after.deployment_id)
        return [record, self.table.delete(place["pk"], place["sk"])]

    def write(self, before: Traffic, after: Traffic, now: datetime) -> None:
        """
        Raises:
            Stale: somebody else changed it since it was read.
        """
        try:
            self.table.transact(*self.change(before, after, now))
        except ConditionFailed:
            raise Stale from None


def _place(tenant: str, deployment_id: str) -> dict[str, str]:
    return {"pk": f"{tenant}#deployment#{deployment_id}", "sk": "experiment"}


def _item(traffic: Traffic) -> Item:
    return {
        **vars(traffic),
        "pk": pk(traffic.tenant, traffic.experiment_id),
        "sk": "traffic",
        "models": list(traffic.models),
        "updated_at": to_text(traffic.updated_at),
        "status": traffic.status.value,
    }


def _traffic(item: Mapping[str, Any]) -> Traffic:
    return Traffic(
        tenant=item["tenant"],
        experiment_id=item["experiment_id"],
        deployment_id=item["deployment_id"],
        models=tuple(item["models"]),
        revision=item["revision"],
        updated_at=from_text(item["updated_at"]),
        look=item["look"],
        status=TrafficStatus(item["status"]),
        reason=item.get("reason"),
        version=item["version"],
    )
