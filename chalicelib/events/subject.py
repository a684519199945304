"""What an event is about: events of one subject are sent in their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What the detail-type begins with → what kind of record it is, and the fields that name the record within its tenant.
_RECORDS = {
    "training.job.": ("jobs", ("jobId",)),
    "training.metrics.": ("metrics", ("jobId",)),
    "training.model.": ("models", ("modelId",)),
    "deployment.": ("deployments", ("deploymentId",)),
    "rollout.": ("rollouts", ("deploymentId", "rolloutId")),
    "transform.": ("transforms", ("transformId",)),
    "quota.": ("quotas", ("userId",)),
    "webhook.": ("webhooks", ("webhookId",)),
}


def subject_of(kind: str, detail: Mapping[str, Any]) -> str:
    """`<kind of record>/<its key>`; the event's own id for a kind that is about no record.

    Args:
        kind: the event's detail-type.
    """
    for beginning, (records, names) in _RECORDS.items():
        if kind.startswith(beginning) and all(name in detail for name in names):
            return f"{records}/{'#'.join([detail.get('tenantId', ''), *(str(detail[name]) for name in names)])}"
    return f"{kind}/{detail.get('eventId', '')}"


def order_of(detail: Mapping[str, Any]) -> int:
    """Where an event stands among those of its subject; 0 for one whose record has no version."""
    version = detail.get("recordVersion")
    return version if isinstance(version, int) and version >= 0 else 0
