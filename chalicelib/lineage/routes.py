"""`/lineage`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chalicelib.api.rest import Reply, Request, Room
from chalicelib.identity.permissions import Permission
from chalicelib.lineage.lineage import Node

if TYPE_CHECKING:
    from chalice.app import CustomAuthorizer

    from chalicelib.bootstrap import Platform


def rooms(platform: Platform, authorizer: CustomAuthorizer) -> Room:
    room = Room(__name__)

    @room.view("GET", "/v1/lineage/{node_id}", authorizer=authorizer, needs=Permission.JOBS_READ)
    def get_lineage(request: Request, node_id: str) -> Reply:
        request.only()
        found = platform.lineage.of(request.caller, node_id)
        return Reply(
            {
                **_node(found.asked),
                "upstream": [_node(each) for each in found.upstream],
                "downstream": [_node(each) for each in found.downstream],
                **({"is_cut": True} if found.is_cut else {}),
            }
        )

    return room


def _node(node: Node) -> dict[str, Any]:
    """What is not known is left out."""
    values = {"type": node.type, "id": node.node_id, "of": node.of, **node.about}
    return {name: value for name, value in values.items() if value is not None}
