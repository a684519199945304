"""What stands behind the deployments room, in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from chalicelib.deployments.deployment import Revision, model_name
from chalicelib.deployments.gateways import ABSENT, Endpoint, EndpointState
from chalicelib.deployments.invocations import Answer, Invocation
from chalicelib.experiments.request import ExposureRequest
from chalicelib.identity.caller import Caller


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


class ResourceLimitExceededException(Exception):
    """As Step Functions names it."""


@dataclass
class FakeSageMaker:
    """Endpoints that change in two steps, as SageMaker's do; what is created is checked by botocore's own model.

    Attributes:
        broken: configurations whose containers never come up.
        reason: what is said of those.
        refusal: why no endpoint is created or updated.
    """

    validate: Callable[[str, dict[str, Any]], None]
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    reason: str = "The container did not pass the ping."
    refusal: str | None = None
    deleted: list[str] = field(default_factory=list)
    reweighed: dict[str, dict[str, float]] = field(default_factory=dict)

    def carry_out(self, plan: dict[str, Any]) -> None:
        """What the machine's states do with a plan."""
        for model in plan["models"]:
            self.validate("CreateModel", model)
            assert model["ModelName"] not in self.models, "SageMaker refuses to create a model twice"
            self.models[model["ModelName"]] = model
        self.validate("CreateEndpointConfig", plan["config"])
        assert plan["config"]["EndpointConfigName"] not in self.configs, "and a configuration"
        production, shadows = plan["config"]["ProductionVariants"], plan["config"].get("ShadowProductionVariants")
        assert all(each["ModelName"] in self.models for each in (*production, *(shadows or ())))
        assert shadows is None or (len(production), len(shadows)) == (1, 1), "SageMaker takes one of each"
        self.configs[plan["config"]["EndpointConfigName"]] = plan["config"]
        if self.refusal:
            raise ResourceLimitExceededException(self.refusal)
        endpoint, config = plan["endpoint"]["EndpointName"], plan["endpoint"]["EndpointConfigName"]
        if plan["next"] == "create":
            self.validate("CreateEndpoint", plan["endpoint"])
            assert endpoint not in self.endpoints, "SageMaker refuses to create an endpoint twice"
            self.endpoints[endpoint] = Endpoint(EndpointState.CHANGING, config)
        else:
            self.validate(
                "UpdateEndpoint", {key: plan["endpoint"][key] for key in ("EndpointName", "EndpointConfigName")}
            )
            self._change(endpoint, config)

    def settle(self, name: str) -> None:
        """The containers are up, or are not."""
        found = self.endpoints[name]
        wanted = found.coming or found.config
        if wanted not in self.broken:
            weights = self.reweighed.pop(name, None) or self._initial_weights(wanted)
            variants = self.configs[wanted]["ProductionVariants"] if wanted in self.configs else []
            instances = {each["VariantName"]: each.get("InitialInstanceCount", 0) for each in variants}
            shadows = self.configs[wanted].get("ShadowProductionVariants", []) if wanted in self.configs else []
            self.endpoints[name] = Endpoint(
                EndpointState.IN_SERVICE,
                wanted,
                weights=weights,
                instances=instances,
                shadows=frozenset(each["VariantName"] for each in shadows),
            )
        elif found.coming:
            self.endpoints[name] = replace(found, state=EndpointState.IN_SERVICE, coming=None, reason=self.reason)
        else:
            self.endpoints[name] = Endpoint(EndpointState.FAILED, found.config, reason=self.reason)

    def describe(self, name: str) -> Endpoint:
        return self.endpoints.get(name, ABSENT)

    def go_back(self, name: str, found: Endpoint, revision: Revision) -> None:
        config = revision.resource(name)
        if found.config != config:
            self._change(name, config)
        else:
            self.reweigh(name, revision.weights)

    def reweigh(self, name: str, weights: Mapping[str, float]) -> None:
        found = self.endpoints[name]
        assert found.state is EndpointState.IN_SERVICE, "SageMaker updates only what is in service"
        assert weights.keys() == found.weights.keys()
        self.reweighed[name] = dict(weights)
        self.endpoints[name] = replace(found, state=EndpointState.CHANGING)

    def _change(self, name: str, config: str) -> None:
        found = self.endpoints[name]
        assert found.state is EndpointState.IN_SERVICE, "SageMaker updates only what is in service"
        assert config in self.configs
        self.endpoints[name] = replace(found, state=EndpointState.CHANGING, coming=config)

    def _initial_weights(self, config: str | None) -> dict[str, float]:
        variants = self.configs[config]["ProductionVariants"] if config in self.configs else []
        return {each["VariantName"]: each["InitialVariantWeight"] for each in variants}

    def delete(self, name: str) -> None:
        if self.endpoints.pop(name, None):
            self.deleted.append(name)

    def delete_revision(self, resource: str, variants: int) -> None:
        self.configs.pop(resource, None)
        for position in range(variants):
            self.models.pop(model_name(resource, position), None)


@dataclass
class FakeExposures:
    """Experiments that take every exposure, or refuse it."""

    taken: list[tuple[str, ExposureRequest]] = field(default_factory=list)
    refusing: Exception | None = None

    def __call__(self, caller: Caller, experiment_id: str, exposures: Sequence[ExposureRequest]) -> None:
        if self.refusing:
            raise self.refusing
        self.taken += [(experiment_id, each) for each in exposures]


@dataclass
class FakeAutoScaling:
    """boto3's client of Application Auto Scaling, over targets in memory; requests are checked by botocore's own model.

    Attributes:
        targets: bounds by resource.
        policies: what is tracked, by resource and name.
    """

    targets: dict[str, tuple[int, int]] = field(default_factory=dict)
    policies: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    done: list[dict[str, Any]] = field(default_factory=list)
    exceptions: Any = field(default_factory=lambda: SimpleNamespace(ClientError=ClientError))

    def register_scalable_target(self, **asked: Any) -> dict[str, Any]:
        _check("RegisterScalableTarget", asked)
        self.targets[asked["ResourceId"]] = (asked["MinCapacity"], asked["MaxCapacity"])
        return {}

    def put_scaling_policy(self, **asked: Any) -> dict[str, Any]:
        _check("PutScalingPolicy", asked)
        assert asked["ResourceId"] in self.targets, "a policy is of a target"
        wanted = asked["TargetTrackingScalingPolicyConfiguration"]
        self.policies.setdefault(asked["ResourceId"], {})[asked["PolicyName"]] = wanted
        return {}

    def deregister_scalable_target(self, **asked: Any) -> dict[str, Any]:
        _check("DeregisterScalableTarget", asked)
        if self.targets.pop(asked["ResourceId"], None) is None:
            raise ClientError({"Error": {"Code": "ObjectNotFoundException"}}, "DeregisterScalableTarget")
        self.policies.pop(asked["ResourceId"], None)
        return {}

    def describe_scalable_targets(self, **asked: Any) -> dict[str, Any]:
        _check("DescribeScalableTargets", asked)
        found = {resource: bounds for resource, bounds in self.targets.items() if resource in asked["ResourceIds"]}
        return {
            "ScalableTargets": [
                {"ResourceId": resource, "MinCapacity": least, "MaxCapacity": most}
                for resource, (least, most) in found.items()
            ]
        }

    def describe_scaling_policies(self, **asked: Any) -> dict[str, Any]:
        _check("DescribeScalingPolicies", asked)
        found = self.policies.get(asked["ResourceId"], {}).items()
        return {
            "ScalingPolicies": [
                {"PolicyName": name, "TargetTrackingScalingPolicyConfiguration": wanted} for name, wanted in found
            ]
        }

    def describe_scaling_activities(self, **asked: Any) -> dict[str, Any]:
        _check("DescribeScalingActivities", asked)
        return {"ScalingActivities": [each for each in self.done if each["ResourceId"] == asked["ResourceId"]]}


@cache
def _auto_scaling() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("application-autoscaling", "service-2"))


def _check(operation: str, arguments: dict[str, Any]) -> None:
    shape: Any = _auto_scaling().operation_model(operation).input_shape
    report = ParamValidator().validate(arguments, shape)
    assert not report.has_errors(), report.generate_report()


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
