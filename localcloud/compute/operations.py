"""The plug-in interface of the compute emulator: how a part of it (training, batch, hosting) offers AWS operations.

A part hands `Operation` values to the registry. For each request the HTTP app (`app.py`) then does the same things in
the same order, so that no part can forget one:

1. finds the operation from the wire (``X-Amz-Target`` for JSON 1.1, method and path for REST JSON, by botocore's model);
2. reads at most `Operation.max_body_bytes` of body (413 beyond it);
3. parses the request into one dictionary, whatever the protocol, with Python types for timestamps, blobs and numbers,
   and validates it against botocore's model: unknown members, required members, types, lengths, ranges, patterns, enums;
4. asks the control plane whether the signature is right and the caller may do what `Operation.authorization` says;
5. applies an injected fault of that operation, if there is one (`faults.py`);
6. awaits `Operation.handler`, and serialises what it returns by the output shape: only modelled members leave.

An `ApiError` raised anywhere on the way is answered in the service's wire shape.

To plug in a part::

    class Hosting:
        def operations(self) -> Sequence[Operation]:
            return [Operation("sagemaker", "CreateModel", self.create_model, self._may_create_model), ...]

        async def start(self) -> None: ...   # after the store is open, before the first request
        async def stop(self) -> None: ...    # ends every process the part started

    def build(host: Host) -> Part: ...       # called once by wiring.py; Host is in host.py

Handlers run on the event loop of the main thread. They must not block it: hand blocking work to ``host.blocking.run``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.routing import BaseRoute

Document = dict[str, Any]
"""A request or response as boto3 shows it: member names as keys, datetimes for timestamps, bytes for blobs."""

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class PassRole:
    """A role the caller hands to a service; needs ``iam:PassRole`` on it with ``iam:PassedToService`` = service."""

    role_arn: str
    service: str


@dataclass(frozen=True)
class Authorization:
    """What a caller must be allowed to do for one call.

    Attributes:
        action: IAM action, e.g. ``sagemaker:CreateTrainingJob``.
        resources: ARNs the action is checked on, each; ``*`` for actions without resource-level permissions.
        pass_roles: roles that the request hands to AWS.
    """

    action: str
    resources: tuple[str, ...] = ("*",)
    pass_roles: tuple[PassRole, ...] = ()


@dataclass(frozen=True)
class Call:
    """One authorized, validated request.

    Attributes:
        params: members by name (``Body`` of InvokeEndpoint is bytes). Never holds an unknown member.
        principal: ARN of the caller, from the control plane.
        request_id: goes out as ``x-amzn-RequestId``; use it in log lines.
    """

    service: str
    operation: str
    params: Document
    principal: str
    request_id: str


@dataclass(frozen=True)
class Operation:
    """One AWS operation.

    Attributes:
        service: botocore's service name: ``sagemaker``, ``sagemaker-runtime``, ``batch``.
        name: the operation's name in that model, e.g. ``CreateEndpoint``.
        handler: does it and returns the output document (empty when the output shape has no members).
        authorization: pure function from the validated params to what must be allowed.
        max_body_bytes: more than this is refused with 413 before anything else is looked at.
    """

    service: str
    name: str
    handler: Callable[[Call], Awaitable[Document]]
    authorization: Callable[[Document], Authorization]
    max_body_bytes: int = MEBIBYTE


class Part(Protocol):
    """A group of operations with a life of its own."""

    def operations(self) -> Sequence[Operation]:
        """Every operation this part answers."""

    def routes(self) -> Sequence[BaseRoute]:
        """Internal routes, all under ``/_compute/``; the app puts the control-secret check in front of them."""

    async def start(self) -> None:
        """Takes up recorded work. Called once, on the running loop, before the port is opened."""

    async def stop(self) -> None:
        """Ends every process this part started and waits until they are gone. Called once, after the port is closed."""


@dataclass
class OperationRegistry:
    """All operations by service and name. Registering one twice is a programming error."""

    _operations: dict[tuple[str, str], Operation] = field(default_factory=dict)

    def add(self, operations: Iterable[Operation]) -> None:
        for operation in operations:
            key = (operation.service, operation.name)
            if key in self._operations:
                raise ValueError(f"operation {operation.service}.{operation.name} is registered twice")
            self._operations[key] = operation

    def find(self, service: str, name: str) -> Operation | None:
        return self._operations.get((service, name))

    def by_service(self) -> Mapping[str, Sequence[str]]:
        """Names of the registered operations, by service."""
        names: dict[str, list[str]] = {}
        for service, name in self._operations:
            names.setdefault(service, []).append(name)
        return names
