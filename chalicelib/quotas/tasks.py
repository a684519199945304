"""The check that runs on a schedule: every tenant once a day, and one metric that an alarm looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chalicelib.log import logger, metric

if TYPE_CHECKING:
    from chalicelib.bootstrap import Platform


# Of the fifteen minutes that a function may run; a single page of jobs, and the pause after a difference, come on top.
CHECK_SECONDS = 780.0


def check_quotas(platform: Platform, _event: object) -> dict[str, Any]:
    """Compare every counter with the records: once an hour go on with today's round, if it is not over.

    Metrics:
        QuotaDifference: counters that differ; must be 0.
    """
    parts = tenants = differences = 0
    for _, report, is_whole in platform.quota_rounds.go_on(CHECK_SECONDS):
        parts, tenants, differences = parts + 1, tenants + is_whole, differences + len(report.differences)
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
    if parts:
        metric("QuotaDifference", differences, platform.settings.stack)
    logger.info("checked", extra={"tenants": tenants, "differences": differences})
    return {"tenants": tenants, "differences": differences}
