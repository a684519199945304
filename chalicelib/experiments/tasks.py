"""What the streams of the tables of experiments and deployments call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chalicelib.log import logger
from chalicelib.table import decode

if TYPE_CHECKING:
    from chalicelib.bootstrap import Platform


def steer_traffic(platform: Platform, event: Mapping[str, Any]) -> None:
    """After a look of an experiment that splits an endpoint's requests, and when such an endpoint has settled."""
    changed = dict.fromkeys(_thing(record) for record in event["Records"])
    for kind, tenant, thing_id in changed:
        turn = platform.steering.turn if kind == "progress" else platform.steering.turn_of
        traffic = turn(tenant, thing_id)
        if traffic is not None:
            said = {"experiment_id": traffic.experiment_id, "traffic": traffic.status.value, "look": traffic.look}
            logger.info("steered", extra={"tenant": tenant, **said, "reason": traffic.reason})


def _thing(record: Mapping[str, Any]) -> tuple[str, str, str]:
    key = decode(record["dynamodb"]["Keys"])
    tenant, _, thing_id = key["pk"].rpartition("#")
    return key["sk"], tenant, thing_id
