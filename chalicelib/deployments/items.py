"""A deployment as an item, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from chalicelib.clock import from_text, to_text
from chalicelib.deployments.deployment import (
    DataCapture,
    Deployment,
    DeploymentFilter,
    DeploymentStatus,
    Failure,
    Revision,
    Variant,
)
from chalicelib.table import Item, as_json

LIVE = "live"


def partition(tenant: str, wanted: DeploymentFilter) -> str:
    """The value of the index key that a list reads."""
    if wanted.model_id is not None:
        return f"{tenant}#{wanted.model_id}"
    parts = [tenant, wanted.environment, wanted.status.value if wanted.status else None]
    return "#".join(part for part in parts if part is not None)


def item_of(deployment: Deployment) -> Item:
    tenant, status, environment = deployment.tenant, deployment.status, deployment.environment
    return {
        "pk": f"{tenant}#{deployment.deployment_id}",
        "sk": "deployment",
        "tenant": tenant,
        "deployment_id": deployment.deployment_id,
        "user": deployment.user,
        "name": deployment.name,
        "environment": environment,
        "endpoint": deployment.endpoint,
        "target": revision_item(deployment.target),
        "active": revision_item(deployment.active) if deployment.active else None,
        "served_last": revision_item(deployment.served_last) if deployment.served_last else None,
        "created_at": to_text(deployment.created_at),
        "updated_at": to_text(deployment.updated_at),
        "deployed_at": to_text(deployment.deployed_at) if deployment.deployed_at else None,
        "status": status.value,
        "record_version": deployment.record_version,
        "revisions": deployment.revisions,
        "failure_reason": deployment.failure_reason,
        "last_failure": _failure_item(deployment.last_failure) if deployment.last_failure else None,
        "evidence": deployment.evidence,
        "undeployments": deployment.undeployments,
        "resources": as_json(deployment.resources),
        "rollouts": deployment.rollouts,
        "rollout": deployment.rollout,
        "capture": as_json(vars(deployment.capture)) if deployment.capture else None,
        # What the indexes are keyed by.
        "tenant_key": tenant,
        "tenant_status_key": partition(tenant, DeploymentFilter(status=status)),
        "tenant_environment_key": partition(tenant, DeploymentFilter(environment=environment)),
        "tenant_environment_status_key": partition(tenant, DeploymentFilter(environment, status)),
        "model_key": partition(tenant, DeploymentFilter(model_id=deployment.current.model_id)),
        # Sparse: only what has, or should have, an endpoint is in this index.
        "live_key": LIVE if deployment.is_live else None,
        "listed_at": _listed_at(deployment),
    }


def others(deployment: Deployment) -> set[str]:
    """The models that it hosts, or is to host, beside the one that it is of."""
    current = deployment.current
    return {variant.model_id for variant in current.hosted} - {current.model_id}


def other_key(deployment: Deployment, model_id: str) -> tuple[str, str]:
    return f"{deployment.tenant}#{deployment.deployment_id}", f"variant#{model_id}"


def other_item(deployment: Deployment, model_id: str) -> Item:
    """Stands in the list of another version for the deployment."""
    pk, sk = other_key(deployment, model_id)
    return {
        "pk": pk,
        "sk": sk,
        "tenant": deployment.tenant,
        "deployment_id": deployment.deployment_id,
        "model_key": partition(deployment.tenant, DeploymentFilter(model_id=model_id)),
        "listed_at": _listed_at(deployment),
    }


def _listed_at(deployment: Deployment) -> str:
    return f"{to_text(deployment.created_at)}#{deployment.deployment_id}"


def deployment_of(item: Mapping[str, Any]) -> Deployment:
    active, failure, deployed_at = item.get("active"), item.get("last_failure"), item.get("deployed_at")
    return Deployment(
        tenant=item["tenant"],
        deployment_id=item["deployment_id"],
        user=item["user"],
        name=item["name"],
        environment=item["environment"],
        endpoint=item["endpoint"],
        target=revision_of(item["target"]),
        active=revision_of(active) if active else None,
        served_last=revision_of(served_last) if (served_last := item.get("served_last")) else None,
        created_at=from_text(item["created_at"]),
        updated_at=from_text(item["updated_at"]),
        deployed_at=from_text(deployed_at) if deployed_at else None,
        status=DeploymentStatus(item["status"]),
        record_version=item["record_version"],
        revisions=item["revisions"],
        failure_reason=item.get("failure_reason"),
        last_failure=_failure(failure) if failure else None,
        evidence=item.get("evidence"),
        undeployments=item["undeployments"],
        resources=tuple((number, models) for number, models in json.loads(item["resources"])),
        rollouts=item["rollouts"],
        rollout=item.get("rollout"),
        capture=_capture(item.get("capture")),
    )


def revision_item(revision: Revision) -> Item:
    return {
        **vars(revision),
        "variants": as_json([vars(variant) for variant in revision.variants]),
        "config": as_json(revision.config),
        "shadow": as_json(vars(revision.shadow)) if revision.shadow else None,
        # For those who read the stream: the deployed version.
        "model_id": revision.model_id,
        "model_version": revision.model_version,
    }


def revision_of(item: Mapping[str, Any]) -> Revision:
    return Revision(
        number=item["number"],
        variants=tuple(Variant(**each) for each in json.loads(item["variants"])),
        config=json.loads(item["config"]),
        instance_type=item["instance_type"],
        gpu_count=item["gpu_count"],
        volume_gb=item.get("volume_gb"),
        base=item.get("base"),
        shadow=Variant(**json.loads(shadow)) if (shadow := item.get("shadow")) else None,
    )


def _capture(text: str | None) -> DataCapture | None:
    if text is None:
        return None
    found = json.loads(text)
    return DataCapture(found["percentage"], tuple(found["redact"]))


def _failure_item(failure: Failure) -> Item:
    return {**vars(failure), "at": to_text(failure.at)}


def _failure(item: Mapping[str, Any]) -> Failure:
    return Failure(from_text(item["at"]), item["reason"], item.get("revision"), item.get("model_id"))
