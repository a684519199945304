"""Why a revision failed, in plain words and with the cure, where AWS's own words ask their reader to know AWS."""

from __future__ import annotations

import re

from chalicelib.deployments.deployment import Revision

# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpoint.html names the error, not its text.
_LIMIT = re.compile(
    r"service limit '(?P<quota>[^']+)' is (?P<limit>\d+) \w+, with current utilization of (?P<used>\d+) \w+ and a request "
    r"delta of (?P<asked>\d+)"
)
_OVER_LIMIT = "ResourceLimitExceeded"
_NO_CAPACITY = ("InsufficientInstanceCapacity", "requested ML compute capacity")


def explained(reason: str, target: Revision, *, is_update: bool) -> str:
    """The same reason for whoever deployed.

    Args:
        is_update: whether another revision serves: SageMaker brings the new instances up beside its own.
    """
    if found := _LIMIT.search(reason):
        beside = (
            " The instances of an update come up beside the old ones, so both count for a while." if is_update else ""
        )
        fewer = "" if target.is_serverless else ", or deploy with fewer replicas or other resource_limits"
        return (
            f"The AWS account has reached its limit '{found['quota']}': it allows {found['limit']}, {found['used']} are in "
            f"use, and {found['asked']} more are needed. Ask for an increase of this quota in AWS Service Quotas{fewer}."
            f"{beside}"
        )
    if _OVER_LIMIT in reason:
        quota = f"{target.instance_type} for endpoint usage"
        return f"{reason} Ask for an increase of the quota '{quota}' in AWS Service Quotas."
    if any(words in reason for words in _NO_CAPACITY):
        return (
            f"AWS has no {target.instance_type} instances to give at the moment (InsufficientInstanceCapacity). Deploy "
            f"again later, or with other resource_limits, which choose another instance type."
        )
    return reason
