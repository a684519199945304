"""What an update of an endpoint may ask for, and what it leaves as it was."""

from __future__ import annotations

from collections.abc import Sequence

from localcloud.compute.errors import ValidationFailed
from localcloud.compute.hosting.arns import not_here
from localcloud.compute.hosting.endpoint_record import EndpointRecord
from localcloud.compute.hosting.plan import VariantPlan
from localcloud.compute.operations import Document


def retained(plans: Sequence[VariantPlan], old: Sequence[VariantPlan], excluded: set[str]) -> list[VariantPlan]:
    """Weights and counts of variants that were there before stay as they are now."""
    before = {plan.name: plan for plan in old}
    return [
        plan.changed(
            None if plan.name not in before or "DesiredWeight" in excluded else before[plan.name].weight,
            None if plan.name not in before or "DesiredInstanceCount" in excluded else before[plan.name].count,
        )
        for plan in plans
    ]


def check_serverless(record: EndpointRecord, plans: Sequence[VariantPlan]) -> None:
    """https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints-update.html: no way back to instances.

    Raises:
        ValidationFailed: that way is asked for.
    """
    if any(plan.serverless for plan in record.plans) and not all(plan.serverless for plan in plans):
        raise ValidationFailed(f'Serverless endpoint "{record.arn}" cannot be updated to use instances.')


def check_deployment(config: Document | None) -> None:
    """
    Raises:
        ValidationFailed: a way of shifting traffic that there is none of here.
    """
    if not config:
        return
    routing = config.get("BlueGreenUpdatePolicy", {}).get("TrafficRoutingConfiguration", {})
    if "RollingUpdatePolicy" in config or routing.get("Type", "ALL_AT_ONCE") != "ALL_AT_ONCE":
        raise not_here("A deployment that shifts traffic in steps")
    if config.get("AutoRollbackConfiguration", {}).get("Alarms"):
        raise not_here("Rolling back on alarms")
