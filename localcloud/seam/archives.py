"""EventBridge's archives: CloudFormation's `AWS::Events::Archive`, which ministack lacks, and what a replay is to reach.

ministack keeps archived events in the archive itself, for ever, and replays them to all rules of the bus. Here an archive
forgets what is older than it is told to keep, survives the process through the journal, and a replay that names rules
reaches those alone. Calls about replays are authorized on the archive and the replay, as AWS does it: ministack sees no
resource in them. A replay that is under way ends with the process: start it again.
"""

from __future__ import annotations

import functools
import json
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, SupportsIndex

from ministack.services import eventbridge
from ministack.services.cloudformation import provisioners

from localcloud.state import ACCOUNT, REGION

Properties = dict[str, Any]
Provisioned = tuple[str, dict[str, str]]
Event = dict[str, Any]

# Whatever the time: a laptop's process holds them all in memory.
MOST_EVENTS = 50_000

_TYPE = "AWS::Events::Archive"
_NAME_CHARACTERS = 48
_DAY = 24 * 3600
# Forgotten in one step, so that a full archive is not shifted for each event.
_STEP = 1000


class Kept(list[Event]):
    """An archive's events, the oldest first, which tells what comes and what goes."""

    def __init__(
        self,
        events: Iterable[Event],
        *,
        retention_days: Callable[[], int],
        added: Callable[[Event], None],
        forgotten: Callable[[int], None],
        now: Callable[[], float] = time.time,
        most: int = MOST_EVENTS,
        step: int = _STEP,
    ) -> None:
        """
        Args:
            most: how many are kept, and up to `step` more for a while.
        """
        super().__init__(events)
        self._most, self._step = most, step
        self._retention_days = retention_days
        self._added = added
        self._forgotten = forgotten
        self._now = now
        self._lock = threading.Lock()
        self._trim(0)

    def append(self, event: Event, /) -> None:
        with self._lock:
            super().append(event)
            self._added(event)
            self._trim(self._step)

    def _trim(self, patience: int) -> None:
        days = self._retention_days()
        horizon = self._now() - days * _DAY if days else 0
        excess = len(self) - self._most
        gone = max(0, excess)
        while gone < len(self) and self[gone]["Time"] < horizon:
            gone += 1
        if gone > patience:
            del self[:gone]
            self._forgotten(gone)

    def __deepcopy__(self, _memo: Any) -> list[Event]:
        return list(self)

    def __reduce_ex__(self, _protocol: SupportsIndex) -> Any:
        return list, (list(self),)


def install() -> None:
    from ministack.core import iam_actions

    iam_actions.extract_resource_arn = _by_replay(iam_actions.extract_resource_arn)
    provisioners._RESOURCE_HANDLERS[_TYPE] = {"create": _create, "update": _update, "delete": _delete}
    eventbridge._invoke_target = _to_named_rules(eventbridge._invoke_target)
    eventbridge._describe_archive = _without_events(eventbridge._describe_archive)


def _create(logical_id: str, properties: Properties, stack: str) -> Provisioned:
    # Not random as on AWS: after a restart the same archive is found again.
    name = str(properties.get("ArchiveName") or f"{stack}-{logical_id}"[:_NAME_CHARACTERS])
    _answered(eventbridge._create_archive(_request(name, properties)))
    return name, {"Arn": str(eventbridge._archives[name]["ArchiveArn"])}


def _update(physical_id: str, _old: Properties, new: Properties, _stack: str) -> Provisioned:
    _answered(eventbridge._update_archive(_request(physical_id, new)))
    return physical_id, {"Arn": str(eventbridge._archives[physical_id]["ArchiveArn"])}


def _delete(physical_id: str, _properties: Properties) -> None:
    if physical_id in eventbridge._archives:
        _answered(eventbridge._delete_archive({"ArchiveName": physical_id}))


def _request(name: str, properties: Properties) -> Properties:
    pattern = properties.get("EventPattern", "")
    return {
        "ArchiveName": name,
        "EventSourceArn": properties["SourceArn"],
        "Description": properties.get("Description", ""),
        "EventPattern": json.dumps(pattern) if isinstance(pattern, dict) else pattern,
        "RetentionDays": int(properties.get("RetentionDays", 0)),
    }


def _answered(answer: tuple[int, Any, bytes]) -> None:
    status, _headers, body = answer
    if status >= 300:
        raise ValueError(f"{_TYPE}: {body.decode(errors='replace')}")


def _to_named_rules(invoke: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(invoke)
    def wrapper(target: Any, event: Event, rule: dict[str, Any], view: Any = None) -> None:
        name = event.get("ReplayName")
        destination = (eventbridge._replays.get(name) or {}).get("Destination", {}) if name else {}
        wanted = destination.get("FilterArns")
        if not wanted or rule.get("Arn") in wanted:
            invoke(target, event, rule, view)

    return wrapper


def _by_replay(extract: Callable[..., str]) -> Callable[..., str]:
    @functools.wraps(extract)
    def extract_resource_arn(service: str, method: str, path: str, headers: Any, body: bytes, *more: Any) -> str:
        if service == "events" and b'"ReplayName"' in body:
            try:
                wanted = json.loads(body)
                source, name = wanted.get("EventSourceArn"), wanted.get("ReplayName")
            except (ValueError, AttributeError):
                source = name = None
            if isinstance(name, str):
                return str(source or f"arn:aws:events:{REGION}:{ACCOUNT}:replay/{name}")
        return extract(service, method, path, headers, body, *more)

    return extract_resource_arn


def _without_events(describe: Callable[[Properties], Any]) -> Callable[[Properties], Any]:
    """AWS does not answer the events themselves, and neither is this process to write them all down."""

    @functools.wraps(describe)
    def wrapper(data: Properties) -> Any:
        archive = eventbridge._archives.get(data.get("ArchiveName"))
        if archive is None:
            return describe(data)
        shown = {name: value for name, value in archive.items() if name != "Events"}
        return eventbridge.json_response(shown)

    return wrapper
