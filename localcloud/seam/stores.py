"""Shows the journal what changes in ministack's stores, and gives the stores back what the journal holds.

Changes are caught where a store is written, not where a request arrives, so that it makes no difference who writes: a
request, a state machine, a template. What the last run held is handed over when its container is created again: a table gets
its items, a bucket its objects, a log group its streams, an archive its events, in the same step: nobody ever sees it empty.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
from collections.abc import Callable, Hashable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ministack.core import persistence
from ministack.services import cloudwatch_logs, dynamodb, eventbridge, iam, kms, s3, secretsmanager

from localcloud.journal.records import Change, Contents
from localcloud.seam.archives import Kept

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope

logger = logging.getLogger(__name__)

Append = Callable[[Change], None]


class OwnRoles:
    """Roles that a function made. Those of the template are made again by the template; they have no path."""

    @staticmethod
    def get_state() -> dict[str, Any]:
        roles = iam._roles._data
        return {"roles": [[list(key), role] for key, role in roles.items() if role["Path"] != "/"]}

    @staticmethod
    def _restore_state(state: dict[str, Any]) -> None:
        for key, role in state["roles"]:
            iam._roles._data[tuple(key)] = role


# Small services whose whole state is written down when it has changed, and what their requests are addressed to.
_SMALL: dict[str, Any] = {"kms": kms, "secretsmanager": secretsmanager, "iam": OwnRoles}
_TARGETS = (b"TrentService.", b"secretsmanager.")
_SIGNED_FOR = (b"/iam/aws4_request", b"/cloudformation/aws4_request")
# Actions of these services that change nothing.
_READING = ("Describe", "List", "Get", "Encrypt", "Decrypt", "ReEncrypt", "Generate", "Sign", "Verify")


class Adopting(dict[Hashable, Any]):
    """A store of named containers that notices when one is made and when one goes."""

    def __init__(self, adopt: Callable[[Any, dict[str, Any]], None], drop: Callable[[Any], None] | None = None) -> None:
        super().__init__()
        self._adopt = adopt
        self._drop = drop

    def __setitem__(self, key: Hashable, container: dict[str, Any]) -> None:
        if key not in self:
            self._adopt(key, container)
        super().__setitem__(key, container)

    def setdefault(self, key: Hashable, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *arguments: Any, **named: Any) -> None:
        for key, container in dict(*arguments, **named).items():
            self[key] = container

    def pop(self, key: Hashable, *default: Any) -> Any:
        self._note_drop(key)
        return super().pop(key, *default)

    def __delitem__(self, key: Hashable) -> None:
        self._note_drop(key)
        super().__delitem__(key)

    def _note_drop(self, key: Hashable) -> None:
        if key in self and self._drop is not None:
            self._drop(key)


class Stores:
    """Connects ministack's stores with the journal."""

    def __init__(self, append: Append) -> None:
        self._append = append
        self._digests: dict[str, bytes] = {}
        self._stored_events: ContextVar[list[dict[str, Any]]] = ContextVar("aimatrix_stored_events")

    def install(self, contents: Contents) -> None:
        """Give back what the last run held and begin to note changes.

        Args:
            contents: taken apart, not copied.
        """
        self._restore_small(contents)
        self._install_tables(contents)
        self._install_logs(contents)
        self._install_archives(contents)
        _install_buckets()

    def note_small_services(self) -> None:
        """Write down the state of every small service that has changed."""
        for name, module in _SMALL.items():
            state = json.dumps(module.get_state(), default=persistence._json_default, sort_keys=True)
            digest = hashlib.sha256(state.encode()).digest()
            if self._digests.get(name) != digest:
                self._digests[name] = digest
                self._append(["s", name, state])

    def _restore_small(self, contents: Contents) -> None:
        for name, module in _SMALL.items():
            state = contents.services.pop(name, None)
            if state is not None:
                module._restore_state(json.loads(state, object_hook=persistence._json_object_hook))
                self._digests[name] = hashlib.sha256(state.encode()).digest()

    def _install_tables(self, contents: Contents) -> None:
        def adopt(key: tuple[str, str, str], table: dict[str, Any]) -> None:
            items = contents.tables.pop(key, None)
            if items:
                for pk, partition in items.items():
                    table["items"][pk] = partition
                dynamodb._update_counts(table)
                logger.info("%s has its %d items again", key[2], table["ItemCount"])

        def drop(key: tuple[str, str, str]) -> None:
            self._append(["T", list(key)])

        dynamodb._tables._data = Adopting(adopt, drop)
        dynamodb._set_item = self._noting_put(dynamodb._set_item)
        dynamodb._remove_item = self._noting_removal(dynamodb._remove_item)
        dynamodb._items_replaced = self._noting_replacement(dynamodb._items_replaced)

    def _noting_put(self, set_item: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(set_item)
        def wrapper(table: dict[str, Any], pk: str, sk: str, item: dict[str, Any]) -> Any:
            previous = set_item(table, pk, sk, item)
            self._append(["i", _table_name(table), pk, sk, item])
            return previous

        return wrapper

    def _noting_removal(self, remove_item: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(remove_item)
        def wrapper(table: dict[str, Any], pk: str, sk: str) -> Any:
            previous = remove_item(table, pk, sk)
            if previous is not None:
                self._append(["d", _table_name(table), pk, sk])
            return previous

        return wrapper

    def _noting_replacement(self, items_replaced: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(items_replaced)
        def wrapper(table: dict[str, Any]) -> None:
            items_replaced(table)
            items = [[pk, sk, item] for pk, part in table["items"].items() for sk, item in part.items()]
            self._append(["t", _table_name(table), items])

        return wrapper

    def _install_logs(self, contents: Contents) -> None:
        def adopt(key: tuple[str, str, str], group: dict[str, Any]) -> None:
            for name, events in contents.logs.pop(key, {}).items():
                group["streams"][name] = _stream(events)

        def drop(key: tuple[str, str, str]) -> None:
            self._append(["L", list(key), None])

        cloudwatch_logs._log_groups._data = Adopting(adopt, drop)
        append_events = cloudwatch_logs._append_log_events

        @functools.wraps(append_events)
        def appending(stream: dict[str, Any], events: list[dict[str, Any]]) -> None:
            append_events(stream, events)
            self._stored_events.set(events)

        cloudwatch_logs._append_log_events = appending
        for name, note in (
            ("_create_log_stream", lambda group, stream: ["l", group, stream, []]),
            ("_delete_log_stream", lambda group, stream: ["L", group, stream]),
            ("_put_log_events", lambda group, stream: ["l", group, stream, self._stored_events.get([])]),
        ):
            setattr(cloudwatch_logs, name, self._noting_log_action(getattr(cloudwatch_logs, name), note))

    def _install_archives(self, contents: Contents) -> None:
        def adopt(key: tuple[str, str, str], archive: dict[str, Any]) -> None:
            archive["Events"] = Kept(
                contents.archives.pop(key, []),
                retention_days=lambda: int(archive.get("RetentionDays") or 0),
                added=lambda event: self._append(["a", list(key), [event]]),
                forgotten=lambda count: self._append(["A", list(key), count]),
            )
            archive["EventCount"] = len(archive["Events"])

        def drop(key: tuple[str, str, str]) -> None:
            self._append(["A", list(key), None])

        eventbridge._archives._data = Adopting(adopt, drop)

    def _noting_log_action(
        self, action: Callable[[dict[str, Any]], Any], note: Callable[[list[str], str], Change]
    ) -> Callable[[dict[str, Any]], Any]:
        @functools.wraps(action)
        def wrapper(data: dict[str, Any]) -> Any:
            answer = action(data)
            if answer[0] == 200:
                account, region, group = cloudwatch_logs._log_groups._scoped(data["logGroupName"])
                self._append(note([account, region, group], data["logStreamName"]))
            return answer

        return wrapper


class Durable:
    """The ASGI application that lets no answer out before what it acknowledges is durable."""

    def __init__(self, application: ASGI3Application, stores: Stores, flush: Callable[[], None]) -> None:
        self._application = application
        self._stores = stores
        self._flush = flush

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        small = scope["type"] == "http" and _may_change_small_services(scope["headers"])

        async def send_durably(message: ASGISendEvent) -> None:
            if message["type"] == "http.response.start":
                if small:
                    self._stores.note_small_services()
                self._flush()
            await send(message)

        await self._application(scope, receive, send_durably)


def _may_change_small_services(headers: Any) -> bool:
    """Requests to these services, and to CloudFormation, whose templates may make what they keep."""
    for name, value in headers:
        if name == b"x-amz-target":
            service, _, action = value.partition(b".")
            return service + b"." in _TARGETS and not action.decode("latin-1").startswith(_READING)
        if name == b"authorization" and any(service in value for service in _SIGNED_FOR):
            return True
    return False


def _install_buckets() -> None:
    """Objects are on disk already; a bucket that the template makes again finds them."""
    restored = dict(s3._buckets._data)

    def adopt(key: tuple[str, str], bucket: dict[str, Any]) -> None:
        previous = restored.pop(key, None)
        if previous is not None:
            bucket["objects"] = previous["objects"]
            bucket["created"] = previous["created"]

    s3._buckets._data = Adopting(adopt)


def _table_name(table: dict[str, Any]) -> list[str]:
    """[account, region, name], from the table's ARN."""
    _arn, _aws, _dynamodb, region, account, _resource = table["TableArn"].split(":", 5)
    return [account, region, table["TableName"]]


def _stream(events: list[dict[str, Any]]) -> dict[str, Any]:
    ordered = sorted(events, key=lambda event: int(event["timestamp"]))
    first = ordered[0]["timestamp"] if ordered else None
    return {
        "events": ordered,
        "uploadSequenceToken": str(len(ordered) + 1),
        "creationTime": first or 0,
        "firstEventTimestamp": first,
        "lastEventTimestamp": ordered[-1]["timestamp"] if ordered else None,
        "lastIngestionTime": events[-1]["ingestionTime"] if events else None,
    }
