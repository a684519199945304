"""`/admin/events`: dead letters, their redrive, replays of the archive."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from chalicelib.api.rest import Reply, Request, Room
from chalicelib.clock import to_text
from chalicelib.errors import Unavailable
from chalicelib.events.gateways import NotTaken
from chalicelib.events.request import RedriveRequest, ReplayRequest
from chalicelib.identity.permissions import Permission

if TYPE_CHECKING:
    from chalice.app import CustomAuthorizer

    from chalicelib.bootstrap import Platform
    from chalicelib.events.dead_letter import DeadLetter
    from chalicelib.events.gateways import Replay


def rooms(platform: Platform, authorizer: CustomAuthorizer) -> Room:
    room = Room(__name__)

    @room.view("GET", "/v1/admin/events/dead-letters", authorizer=authorizer, needs=Permission.EVENTS_MANAGE)
    def list_dead_letters(request: Request) -> Reply:
        request.only("limit", "offset", "cursor")
        paging = request.paging()
        page = platform.events.dead_letters(request.caller, paging.limit, paging.offset, paging.cursor)
        return Reply(paging.document("dead_letters", [_letter(letter) for letter in page.letters], page.cursor))

    @room.view("POST", "/v1/admin/events/redrive", authorizer=authorizer, needs=Permission.EVENTS_MANAGE)
    def redrive_events(request: Request) -> Reply:
        request.only()
        wanted = request.shape(RedriveRequest) if request.body else RedriveRequest()
        try:
            done = platform.events.redrive(request.caller, wanted)
        except NotTaken as error:
            raise Unavailable("The bus takes no events now. Try again.") from error
        cursor = done.cursor.encode() if done.cursor else None
        return Reply({"sent": done.sent, "failed": done.failed, "next_cursor": cursor})

    @room.view("POST", "/v1/admin/events/replays", authorizer=authorizer, needs=Permission.EVENTS_MANAGE)
    def replay_events(request: Request) -> Reply:
        request.only()
        replay = platform.events.start_replay(request.caller, request.shape(ReplayRequest))
        headers = {"Location": f"/api/v1/admin/events/replays/{replay.name}"}
        return Reply(_replay(replay), status=202, headers=headers)

    @room.view("GET", "/v1/admin/events/replays/{replay_id}", authorizer=authorizer, needs=Permission.EVENTS_MANAGE)
    def get_replay(request: Request, replay_id: str) -> Reply:
        request.only()
        return Reply(_replay(platform.events.replay(request.caller, replay_id)))

    return room


def _letter(letter: DeadLetter) -> dict[str, Any]:
    try:
        content = json.loads(letter.content)
    except ValueError:
        content = letter.content
    return {
        "dead_letter_id": letter.letter_id,
        "subject": letter.subject,
        "type": letter.kind or None,
        "stage": letter.stage.value,
        "reason": letter.reason,
        "times": letter.times,
        "noted_at": to_text(letter.noted_at),
        "content": content,
    }


def _replay(replay: Replay) -> dict[str, Any]:
    moments = {"began_at": replay.began_at, "ended_at": replay.ended_at, "last_event_at": replay.last_event_at}
    return {
        "replay_id": replay.name,
        "state": replay.state,
        "reason": replay.reason,
        **{name: to_text(moment) if moment else None for name, moment in moments.items()},
    }
