"""Batch's rules that its model does not state."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from localcloud.compute.batch.names import ClientFault

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_SHARE = re.compile(r"[A-Za-z0-9]{1,255}")
MAX_ATTEMPTS = 10
MAX_PRIORITY = 9999
MIN_TIMEOUT_SECONDS = 60


def check_name(member: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ClientFault(
            f"{member} should match valid pattern: up to 128 letters, numbers, hyphens and underscores, the first a "
            f"letter or number"
        )


def check_share(identifier: str) -> None:
    if not _SHARE.fullmatch(identifier):
        raise ClientFault("shareIdentifier must be 1 to 255 letters and numbers")


def check_scheduling(request: Mapping[str, Any], *, is_fair_share: bool) -> None:
    """A queue with a scheduling policy wants a share of every job; a queue without one wants none."""
    if not is_fair_share and {"shareIdentifier", "schedulingPriorityOverride"} & request.keys():
        raise ClientFault("shareIdentifier and schedulingPriorityOverride are for queues with a scheduling policy")
    if is_fair_share:
        if "shareIdentifier" not in request:
            raise ClientFault("shareIdentifier must be given: the job queue has a fair-share scheduling policy")
        check_share(request["shareIdentifier"])
    if not 0 <= request.get("schedulingPriorityOverride", 0) <= MAX_PRIORITY:
        raise ClientFault(f"schedulingPriorityOverride must be between 0 and {MAX_PRIORITY}")


def check_container(container: Mapping[str, Any]) -> None:
    """Image, and vCPU and memory in one of the two spellings."""
    if not container.get("image"):
        raise ClientFault("Container properties image must not be empty")
    if not container.get("command"):
        raise ClientFault("Container properties command must not be empty: the emulator has no image to take one from")
    check_requirements(container)
    asked = {item["type"] for item in container.get("resourceRequirements", [])}
    if "VCPU" not in asked and "vcpus" not in container:
        raise ClientFault("resourceRequirements must contain an item with type VCPU")
    if "MEMORY" not in asked and "memory" not in container:
        raise ClientFault("resourceRequirements must contain an item with type MEMORY")


def check_requirements(container: Mapping[str, Any]) -> None:
    for item in container.get("resourceRequirements", []):
        try:
            value = float(item["value"])
        except ValueError:
            value = -1
        if value <= 0 or (item["type"] != "VCPU" and value != int(value)):
            raise ClientFault(f"resourceRequirements: '{item['value']}' is not a valid {item['type']} value")


def check_retry_and_timeout(holder: Mapping[str, Any]) -> None:
    attempts = holder.get("retryStrategy", {}).get("attempts", 1)
    if not 1 <= attempts <= MAX_ATTEMPTS:
        raise ClientFault(f"retryStrategy.attempts must be between 1 and {MAX_ATTEMPTS}")
    seconds = holder.get("timeout", {}).get("attemptDurationSeconds", MIN_TIMEOUT_SECONDS)
    if seconds < MIN_TIMEOUT_SECONDS:
        raise ClientFault(f"timeout.attemptDurationSeconds must be at least {MIN_TIMEOUT_SECONDS}")
