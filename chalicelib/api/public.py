"""`/health` and `/info`: the only routes without a token. They say nothing about anybody."""

from __future__ import annotations

from chalicelib.api.rest import Reply, Request, Room
from chalicelib.version import VERSION


def rooms() -> Room:
    room = Room(__name__)

    @room.view("GET", "/v1/health", authorizer=None)
    def health(_request: Request) -> Reply:
        return Reply({"status": "ok"})

    @room.view("GET", "/v1/info", authorizer=None)
    def info(_request: Request) -> Reply:
        return Reply({"service": "aimatrix-training", "version": VERSION, "api": "v1"})

    return room
