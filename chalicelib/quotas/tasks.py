"""The check that runs on a schedule: every tenant, and one metric that an alarm looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chalicelib.log import logger, metric

if TYPE_CHECKING:
    from chalicelib.bootstrap import Platform


def check_quotas(platform: Platform, _event: object) -> dict[str, Any]:
    """Compare every counter with the records.

    Metrics:
        QuotaDifference: counters that differ; must be 0.
    """
    tenants = differences = 0
    for tenant in platform.quotas.store.tenants():
        report = platform.quota_check.tenant(tenant)
        tenants, differences = tenants + 1, differences + len(report.differences)
        for each in report.differences:
            logger.error(
                "a counter differs from its records",
                extra={
                    "tenant": each.owner.tenant,
                    "user": each.owner.user,
                    "item": each.item,
                    "counter": each.counter,
                    "recorded": str(each.recorded),
                    "recomputed": str(each.recomputed),
                },
            )
    metric("QuotaDifference", differences, platform.settings.stack)
    logger.info("checked", extra={"tenants": tenants, "differences": differences})
    return {"tenants": tenants, "differences": differences}
