"""What stands behind the deployments room, in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chalicelib.deployments.gateways import ABSENT, Endpoint, EndpointState
from chalicelib.deployments.invocations import Answer, Invocation


@dataclass
class FakeMachine:
    """Remembers what was started, each name once; can lose a call, as a network does."""

    started: dict[str, dict[str, Any]] = field(default_factory=dict)
    lost: int = 0

    def start(self, name: str, document: dict[str, Any]) -> None:
        if self.lost:
            self.lost -= 1
            raise ConnectionError("the call was lost")
        self.started.setdefault(name, document)


@dataclass
class FakeWaiters:
    """Step Functions' tokens: each takes one answer."""

    answers: dict[str, tuple[str, str]] = field(default_factory=dict)

    def succeed(self, token: str, result: dict[str, Any]) -> None:
        self.answers.setdefault(token, ("succeeded", ""))

    def fail(self, token: str, error_name: str, cause: str) -> None:
        self.answers.setdefault(token, (error_name, cause))


@dataclass
class FakeSageMaker:
    """Endpoints that change in two steps, as SageMaker's do; what is created is checked by botocore's own model.

    Attributes:
        broken: configurations whose containers never come up.
    """

    validate: Callable[[str, dict[str, Any]], None]
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    deleted: list[str] = field(default_factory=list)

    def carry_out(self, plan: dict[str, Any]) -> None:
        """What the machine's states do with a plan."""
        self.validate("CreateModel", plan["model"])
        self.validate("CreateEndpointConfig", plan["config"])
        name = plan["model"]["ModelName"]
        assert name not in self.models, "SageMaker refuses to create a model twice"
        assert plan["config"]["EndpointConfigName"] not in self.configs, "and a configuration"
        self.models[name] = plan["model"]
        self.configs[name] = plan["config"]
        endpoint, config = plan["endpoint"]["EndpointName"], plan["endpoint"]["EndpointConfigName"]
        if plan["next"] == "create":
            self.validate("CreateEndpoint", plan["endpoint"])
            assert endpoint not in self.endpoints, "SageMaker refuses to create an endpoint twice"
            self.endpoints[endpoint] = Endpoint(EndpointState.CHANGING, config)
        else:
            self.validate(
                "UpdateEndpoint", {key: plan["endpoint"][key] for key in ("EndpointName", "EndpointConfigName")}
            )
            self.go_back(endpoint, config)

    def settle(self, name: str) -> None:
        """The containers are up, or are not."""
        found = self.endpoints[name]
        wanted = found.coming or found.config
        if wanted not in self.broken:
            self.endpoints[name] = Endpoint(EndpointState.IN_SERVICE, wanted)
        elif found.coming:
            self.endpoints[name] = Endpoint(EndpointState.IN_SERVICE, found.config)
        else:
            self.endpoints[name] = Endpoint(
                EndpointState.FAILED, found.config, reason="The container did not pass the ping."
            )

    def describe(self, name: str) -> Endpoint:
        return self.endpoints.get(name, ABSENT)

    def go_back(self, name: str, config: str) -> None:
        found = self.endpoints[name]
        assert found.state is EndpointState.IN_SERVICE, "SageMaker updates only what is in service"
        assert config in self.configs
        self.endpoints[name] = Endpoint(EndpointState.CHANGING, found.config, config)

    def delete(self, name: str) -> None:
        if self.endpoints.pop(name, None):
            self.deleted.append(name)

    def delete_revision(self, resource: str) -> None:
        self.configs.pop(resource, None)
        self.models.pop(resource, None)


@dataclass
class FakeEndpointRuntime:
    """Containers that answer what the test puts here, in order; the last answer stays."""

    answers: list[Answer | Exception] = field(
        default_factory=lambda: [Answer(b'{"predictions": [0, 1]}', "application/json", "v1")]
    )
    invocations: list[tuple[str, Invocation]] = field(default_factory=list)

    def invoke(self, endpoint: str, invocation: Invocation) -> Answer:
        self.invocations.append((endpoint, invocation))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer
