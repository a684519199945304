"""The record of an endpoint: a document in the store, and what DescribeEndpoint shows of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from localcloud.compute.hosting.plan import VariantPlan
from localcloud.compute.operations import Document

CREATING, IN_SERVICE, UPDATING, DELETING, FAILED = "Creating", "InService", "Updating", "Deleting", "Failed"
IN_PROGRESS = (CREATING, UPDATING, DELETING)
REASON_CHARACTERS = 1024


class EndpointRecord:
    """One endpoint. `document` is JSON; `generation` names the directory of the fleet that serves it."""

    def __init__(self, document: Document) -> None:
        self.document = document

    @classmethod
    def new(
        cls,
        name: str,
        arn: str,
        config_name: str,
        plans: Sequence[VariantPlan],
        generation: str,
        tags: Any,
        now: datetime,
    ) -> EndpointRecord:
        return cls(
            {
                "name": name,
                "arn": arn,
                "config_name": config_name,
                "variants": [plan.document() for plan in plans],
                "generation": generation,
                "status": CREATING,
                "created": now,
                "modified": now,
                "tags": tags,
                "pending": None,
            }
        )

    @property
    def name(self) -> str:
        return str(self.document["name"])

    @property
    def arn(self) -> str:
        return str(self.document["arn"])

    @property
    def status(self) -> str:
        return str(self.document["status"])

    @property
    def generation(self) -> str:
        return str(self.document["generation"])

    @property
    def plans(self) -> list[VariantPlan]:
        return [VariantPlan.from_document(document) for document in self.document["variants"]]

    @property
    def pending(self) -> Document | None:
        """The update that is under way: `config_name`, `variants`, `generation`, `started`."""
        found: Document | None = self.document["pending"]
        return found

    def enter(self, status: str, now: datetime, reason: str | None = None) -> None:
        self.document["status"] = status
        self.document["modified"] = now
        self.document["failure_reason"] = None if reason is None else reason[:REASON_CHARACTERS]

    def begin_update(self, config_name: str, plans: Sequence[VariantPlan], generation: str, now: datetime) -> None:
        self.document["pending"] = {
            "config_name": config_name,
            "variants": [plan.document() for plan in plans],
            "generation": generation,
            "started": now,
        }
        self.enter(UPDATING, now)

    def finish_update(self, now: datetime) -> None:
        """What was pending serves from now on."""
        pending = self.pending or {}
        for member in ("config_name", "variants", "generation"):
            self.document[member] = pending[member]
        self.document["pending"] = None
        self.enter(IN_SERVICE, now)

    def roll_back(self, reason: str, now: datetime) -> None:
        """The old configuration goes on serving; the reason stays visible until the next change."""
        self.document["pending"] = None
        self.enter(IN_SERVICE, now, reason)

    def describe(self) -> Document:
        document = self.document
        pending = self.pending
        shown = {
            "EndpointName": self.name,
            "EndpointArn": self.arn,
            "EndpointConfigName": document["config_name"],
            "EndpointStatus": self.status,
            "FailureReason": document.get("failure_reason"),
            "CreationTime": document["created"],
            "LastModifiedTime": document["modified"],
        }
        if self.status not in (CREATING, FAILED):
            shown |= self.variants_shown()
        if pending is not None and pending["config_name"] is not None:
            shown["PendingDeploymentSummary"] = {
                "EndpointConfigName": pending["config_name"],
                **_by_kind(self.pending_plans, document["modified"], "Creating"),
                "StartTime": pending["started"],
            }
        return shown

    def variants_shown(self) -> Document:
        """As `ProductionVariants` and, where there is one, `ShadowProductionVariants`."""
        status = {UPDATING: "Updating", DELETING: "Deleting"}.get(self.status)
        return _by_kind(self.plans, self.document["modified"], status)

    @property
    def pending_plans(self) -> list[VariantPlan]:
        pending = self.pending or {"variants": []}
        return [VariantPlan.from_document(document) for document in pending["variants"]]

    def summary(self) -> Document:
        return {
            "EndpointName": self.name,
            "EndpointArn": self.arn,
            "EndpointStatus": self.status,
            "CreationTime": self.document["created"],
            "LastModifiedTime": self.document["modified"],
        }


def _by_kind(plans: Sequence[VariantPlan], resolved: datetime, status: str | None) -> Document:
    production = [_shown(plan, resolved, status) for plan in plans if not plan.shadow]
    shadows = [_shown(plan, resolved, status) for plan in plans if plan.shadow]
    return {"ProductionVariants": production, **({"ShadowProductionVariants": shadows} if shadows else {})}


def _size(plan: VariantPlan) -> Document:
    if plan.serverless:
        return {"CurrentServerlessConfig": plan.serverless, "DesiredServerlessConfig": plan.serverless}
    return {"CurrentInstanceCount": plan.count, "DesiredInstanceCount": plan.count}


def _shown(plan: VariantPlan, resolved: datetime, status: str | None) -> Document:
    return {
        "VariantName": plan.name,
        "DeployedImages": [{"SpecifiedImage": plan.image, "ResolvedImage": plan.image, "ResolutionTime": resolved}],
        "CurrentWeight": plan.weight,
        "DesiredWeight": plan.weight,
        **_size(plan),
        **({"VariantStatus": [{"Status": status, "StartTime": resolved}]} if status else {}),
    }
