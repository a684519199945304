"""The services in this process, on the embedded cloud's own tables and buckets, with every AWS call open to a fault.

A fault strikes the k-th call of a handler in one of four ways; the handler is then repeated without, as a client, a machine
or a queue repeats it, and what must hold is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

from botocore.exceptions import ReadTimeoutError

from chalicelib.aws import Clients, count_calls
from tests.e2e.conftest import Cloud
from tests.faults import WHOLE


class Fault(Enum):
    LOST = "request lost"
    ANSWER_LOST = "done but answer lost"
    DIED_BEFORE = "process dies before"
    DIED_AFTER = "process dies after"

    @property
    def is_before(self) -> bool:
        return self in {Fault.LOST, Fault.DIED_BEFORE}


DEATHS = frozenset({Fault.DIED_BEFORE, Fault.DIED_AFTER})


class Died(BaseException):
    """The process is gone: no handler of ours may catch this."""


@dataclass
class Injector:
    """Counts calls, and strikes one, or does something else just before it."""

    strike_at: int | None = None
    fault: Fault = Fault.LOST
    instead: Callable[[], object] | None = None
    calls: list[str] = field(default_factory=list)

    def before(self, model: Any, **_: Any) -> None:
        self.calls.append(f"{model.service_model.service_id}:{model.name}")
        if len(self.calls) == self.strike_at and self.fault.is_before:
            self._strike()

    def after(self, **_: Any) -> None:
        if len(self.calls) == self.strike_at and not self.fault.is_before:
            self._strike()

    def _strike(self) -> None:
        if self.instead is not None:
            self.instead()
            return
        if self.fault in DEATHS:
            raise Died
        raise ReadTimeoutError(endpoint_url="http://127.0.0.1")


class FaultyClients(Clients):
    """The clients of the services, each call passing the injector that is in place."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__()
        self._cloud = cloud
        self.injector = Injector()

    def _make(self, service: str, config: Any = None) -> Any:
        client = self._cloud.boto(service)
        count_calls(client, self.calls)
        # These events lie outside botocore's own retries: a fault is seen, and not smoothed over.
        client.meta.events.register("before-call", lambda **event: self.injector.before(**event))
        client.meta.events.register("after-call", lambda **event: self.injector.after(**event))
        return client

    @cached_property
    def _session(self) -> Any:
        raise AssertionError("clients come from the cloud under test")

    @contextmanager
    def struck(self, at: int | None, fault: Fault = Fault.LOST) -> Iterator[Injector]:
        """Strike the call of this number (from 1) of what is done inside; nothing at all with None."""
        self.injector = Injector(at, fault)
        try:
            yield self.injector
        finally:
            self.injector = Injector()

    @contextmanager
    def meanwhile(self, at: int, act: Callable[[], object]) -> Iterator[None]:
        """Do something just before the call of this number (from 1) of what is done inside; after it, if there are fewer."""
        done = False

        def uncounted() -> None:
            nonlocal done
            outer, self.injector, done = self.injector, Injector(), True
            try:
                act()
            finally:
                self.injector = outer

        self.injector = Injector(at, instead=uncounted)
        try:
            yield
        finally:
            self.injector = Injector()
        if not done:
            act()


@dataclass(frozen=True)
class Handler:
    """Something that is repeated until it succeeds.

    Attributes:
        name: of an operation in openapi.json, or of a function of the template.
        about: tells several of one name apart.
        prepare: makes the world in which it runs, and returns what `run` and `holds` get.
        holds: raises AssertionError when something is not as it must be after the repetition.
    """

    name: str
    prepare: Callable[[], Any]
    run: Callable[[Any], object]
    holds: Callable[[Any], None]
    about: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.about})" if self.about else self.name


def faults_at(call: int) -> tuple[Fault, ...]:
    """The ways in which a call is struck: all of them by `make faults`; else a loss and a death, in turns."""
    if WHOLE:
        return tuple(Fault)
    return (Fault.LOST, Fault.DIED_AFTER) if call % 2 else (Fault.ANSWER_LOST, Fault.DIED_BEFORE)


def sweep(clients: FaultyClients, handler: Handler) -> tuple[int, list[str]]:
    """Strike every call of a handler; returns how many points there were, and the calls by name."""
    world = handler.prepare()
    with clients.struck(None) as injector:
        handler.run(world)
    handler.holds(world)
    calls = injector.calls
    points = 0
    for at in range(1, len(calls) + 1):
        for fault in faults_at(at):
            world = handler.prepare()
            try:
                with clients.struck(at, fault):
                    handler.run(world)
            except (Exception, Died):  # noqa: BLE001 - whatever it was, the handler is repeated
                handler.run(world)
            try:
                handler.holds(world)
            except AssertionError as error:
                raise AssertionError(f"{handler}, call {at} ({calls[at - 1]}), {fault.value}: {error}") from error
            points += 1
    return points, calls
