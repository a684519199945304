"""How many instances a deployment has now, within which bounds, and what auto scaling did about it lately."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chalicelib.clock import to_text
from chalicelib.deployments.gateways import Endpoints
from chalicelib.deployments.scaling import Scaling, is_scaled, scaled
from chalicelib.deployments.store import DeploymentStore
from chalicelib.errors import Conflict
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission


@dataclass(frozen=True)
class ScalingReport:
    store: DeploymentStore
    endpoints: Endpoints
    scaling: Scaling

    def of(self, caller: Caller, deployment_id: str) -> dict[str, Any]:
        """The document of it: what SageMaker and Application Auto Scaling say at this moment.

        Raises:
            NotFound: no such deployment, or another tenant's.
            Conflict: nothing serves.
        """
        caller.require(Permission.DEPLOYMENTS_READ)
        deployment = self.store.existing(caller.tenant, deployment_id)
        active = deployment.active
        if active is None or not deployment.answers():
            raise Conflict(f"The deployment is {deployment.status.value}: it has no instances.")
        running = self.endpoints.describe(deployment.endpoint).instances
        policy = active.config.get("scaling_policy")
        activities = self.scaling.activities(deployment.endpoint, active) if is_scaled(active) else []
        document = {
            "deployment_id": deployment_id,
            "instance_type": active.instance_type,
            "variants": [
                {"name": each.name, "model_version": each.model_version, "instances": running.get(each.name, 0)}
                for each in active.variants
            ],
            "scaling_policy": policy,
            "registered": self.scaling.is_applied(scaled(deployment.endpoint, active)) if policy else None,
            "activities": [_activity(each) for each in activities],
        }
        return {name: value for name, value in document.items() if value is not None}


def _activity(found: dict[str, Any]) -> dict[str, Any]:
    ended = found.get("EndTime")
    values = {
        "variant": found["variant"],
        "description": found["Description"],
        "cause": found["Cause"],
        "status": found["StatusCode"],
        "message": found.get("StatusMessage"),
        "started_at": to_text(found["StartTime"]),
        "ended_at": to_text(ended) if ended else None,
    }
    return {name: value for name, value in values.items() if value is not None}
