"""Auto scaling as a part of the emulator: the operations of Application Auto Scaling."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from starlette.routing import BaseRoute

from localcloud.compute.errors import ApiError, ValidationFailed
from localcloud.compute.host import Host
from localcloud.compute.hosting import HostingPart
from localcloud.compute.operations import Authorization, Call, Document, Operation
from localcloud.compute.paging import page_of
from localcloud.compute.scaling.targets import NAMESPACE, Resource, Targets, not_registered
from localcloud.compute.scaling.watching import ScalingSettings, Watching

SERVICE = "application-autoscaling"
_PAGE = 50

Handler = Callable[[Call], Awaitable[Document]]


class ScalingPart:
    """See `operations.Part`."""

    def __init__(self, host: Host, hosting: HostingPart, settings: ScalingSettings | None = None) -> None:
        self._host = host
        self._hosting = hosting
        self._targets = Targets(host)
        self._watching = Watching(
            host, hosting.endpoints, hosting.metrics, self._targets, settings or ScalingSettings()
        )
        hosting.endpoints.is_scaled = lambda endpoint, variant: (
            self._targets.find(Resource(endpoint, variant)) is not None
        )

    def operations(self) -> Sequence[Operation]:
        return [
            self._operation("RegisterScalableTarget", self.register),
            self._operation("DeregisterScalableTarget", self.deregister),
            self._operation("DescribeScalableTargets", self.describe_targets),
            self._operation("PutScalingPolicy", self.put_policy),
            self._operation("DeleteScalingPolicy", self.delete_policy),
            self._operation("DescribeScalingPolicies", self.describe_policies),
            self._operation("DescribeScalingActivities", self.describe_activities),
        ]

    def routes(self) -> Sequence[BaseRoute]:
        return []

    async def start(self) -> None:
        self._watching.start()

    async def stop(self) -> None:
        await self._watching.stop()

    async def register(self, call: Call) -> Document:
        resource = Resource.of(call.params)
        if not self._hosting.endpoints.has_variant(resource.endpoint, resource.variant, is_serverless=False):
            raise ValidationFailed(f"SageMaker endpoint variant does not exist: {resource.id}")
        target = self._targets.register(resource, call.params, self._arn())
        return {"ScalableTargetARN": target["ScalableTargetARN"]}

    async def deregister(self, call: Call) -> Document:
        self._targets.deregister(self._registered(call))
        return {}

    async def put_policy(self, call: Call) -> Document:
        resource = self._registered(call)
        kind = call.params.get("PolicyType", "TargetTrackingScaling")
        if kind != "TargetTrackingScaling" or "TargetTrackingScalingPolicyConfiguration" not in call.params:
            raise ValidationFailed("Other policies than target tracking are not supported by the compute emulator.")
        name = call.params["PolicyName"]
        arn = f"{self._prefix}:scalingPolicy:{self._host.new_id()}:resource/{NAMESPACE}/{resource.id}:policyName/{name}"
        # No alarms of CloudWatch's look here.
        return {"PolicyARN": self._targets.put_policy(resource, call.params, arn)["PolicyARN"], "Alarms": []}

    async def delete_policy(self, call: Call) -> Document:
        resource = self._registered(call)
        if not self._targets.delete_policy(resource, call.params["PolicyName"]):
            said = f"No scaling policy found with name {call.params['PolicyName']} for {resource.id}"
            raise ApiError("ObjectNotFoundException", said)
        return {}

    async def describe_targets(self, call: Call) -> Document:
        _only_sagemaker(call)
        wanted = {text.lower() for text in call.params.get("ResourceIds", ())}
        found = [each for each in self._targets.all() if not wanted or each["ResourceId"].lower() in wanted]
        return _page("ScalableTargets", found, call)

    async def describe_policies(self, call: Call) -> Document:
        _only_sagemaker(call)
        of, names = call.params.get("ResourceId"), call.params.get("PolicyNames")
        found = self._targets.policies(Resource.parse(of) if of else None)
        return _page("ScalingPolicies", [each for each in found if not names or each["PolicyName"] in names], call)

    async def describe_activities(self, call: Call) -> Document:
        _only_sagemaker(call)
        of = call.params.get("ResourceId")
        found = [each for each in self._targets.activities() if not of or each["ResourceId"] == of]
        return _page("ScalingActivities", found, call)

    def _registered(self, call: Call) -> Resource:
        resource = Resource.of(call.params)
        if self._targets.find(resource) is None:
            raise not_registered(resource)
        return resource

    def _operation(self, name: str, handler: Handler) -> Operation:
        # A request names a target by its resource, whose ARN the caller can't know: AWS checks such calls on any of them.
        # What only reads has no resource: list_awsapplicationautoscaling of the Service Authorization Reference.
        resource = "*" if name.startswith("Describe") else f"{self._prefix_of_targets}/*"
        return Operation(SERVICE, name, handler, lambda _params: Authorization(f"{SERVICE}:{name}", (resource,)))

    @property
    def _prefix_of_targets(self) -> str:
        settings = self._host.settings
        return f"arn:aws:application-autoscaling:{settings.region}:{settings.account}:scalable-target"

    @property
    def _prefix(self) -> str:
        settings = self._host.settings
        return f"arn:aws:autoscaling:{settings.region}:{settings.account}"

    def _arn(self) -> str:
        return f"{self._prefix_of_targets}/{self._host.new_id().replace('-', '')}"


def _only_sagemaker(call: Call) -> None:
    if call.params["ServiceNamespace"] != NAMESPACE:
        raise ValidationFailed("Unsupported service namespace, resource type or scalable dimension")


def _page(name: str, found: Iterable[Document], call: Call) -> Document:
    try:
        page, token = page_of(list(found), call.params.get("NextToken"), call.params.get("MaxResults", _PAGE))
    except ValidationFailed as error:
        raise ApiError("InvalidNextTokenException", error.message) from error
    return {name: list(page), "NextToken": token}
