"""InvokeEndpoint: from a request to the answer of one serving process, with SageMaker's errors."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence

from localcloud.compute.errors import ApiError
from localcloud.compute.host import Host
from localcloud.compute.hosting.arns import ENDPOINT, arn_of
from localcloud.compute.hosting.endpoints import Endpoints
from localcloud.compute.hosting.fleet import LOG_GROUP, Fleet, Variant
from localcloud.compute.hosting.instance import (
    AnswerTooLarge,
    ConnectionLost,
    Instance,
    InstanceFailed,
    InvocationTimedOut,
    Reply,
)
from localcloud.compute.hosting.metrics import EndpointMetrics
from localcloud.compute.hosting.settings import HostingSettings
from localcloud.compute.operations import Authorization, Call, Document, Operation

logger = logging.getLogger(__name__)

CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"
MESSAGE_CHARACTERS = 2048
MOST_COPIES = 32
"""For a shadow variant at once: one that is slower than its production variant gets no more, and nobody waits for it."""
TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for each "
    "container in Amazon CloudWatch, resolve the issue, and try again."
)
NO_ANSWER = "Amazon SageMaker could not get a response from the primary endpoint."


class ModelError(ApiError):
    """The container answered something other than success, or nothing."""

    def __init__(self, endpoint: str, host: Host, status: int, message: str) -> None:
        settings = host.settings
        group = f"{LOG_GROUP}/{endpoint}"
        side = "client" if 400 <= status < 500 else "server"
        super().__init__(
            "ModelError",
            f'Received {side} error ({status}) from primary with message "{message[:MESSAGE_CHARACTERS]}". See '
            f"https://{settings.region}.console.aws.amazon.com/cloudwatch/home?region={settings.region}#logEventViewer:"
            f"group={group} in account {settings.account} for more information.",
            424,
            {
                "OriginalStatusCode": status,
                "OriginalMessage": message[:MESSAGE_CHARACTERS],
                "LogStreamArn": f"arn:aws:logs:{settings.region}:{settings.account}:log-group:{group}",
            },
        )


class Runtime:
    """Args:
    dice: a random number in [0, 1), for the choice of a variant.
    """

    def __init__(
        self,
        host: Host,
        settings: HostingSettings,
        endpoints: Endpoints,
        metrics: EndpointMetrics,
        dice: Callable[[], float],
    ) -> None:
        self._host = host
        self._metrics = metrics
        self._settings = settings
        self._endpoints = endpoints
        self._dice = dice
        self._copies: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        """Nobody waits for what shadow variants still answer."""
        copies = list(self._copies)
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)

    def operations(self) -> Sequence[Operation]:
        return [
            Operation(
                "sagemaker-runtime",
                "InvokeEndpoint",
                self.invoke,
                self._may_invoke,
                max_body_bytes=self._settings.payload_bytes,
            )
        ]

    async def invoke(self, call: Call) -> Document:
        params = call.params
        name = params["EndpointName"]
        fleet = self._endpoints.serving(name)
        if fleet is None:
            raise ApiError("ValidationError", f"Endpoint {name} of account {self._host.settings.account} not found.")
        variant = self._variant(fleet, params)
        shadow = fleet.shadow_of(variant, self._dice)
        if shadow is not None and shadow.in_flight < MOST_COPIES:
            copy = asyncio.create_task(self._copy(name, shadow, params["Body"], _headers(params)))
            self._copies.add(copy)
            copy.add_done_callback(self._copies.discard)
        reply = await self._counted(name, variant, params["Body"], _headers(params))
        if reply.status != 200:
            raise ModelError(name, self._host, reply.status, reply.body.decode("utf-8", "replace"))
        return {
            "Body": reply.body,
            "ContentType": reply.headers.get("content-type"),
            "InvokedProductionVariant": variant.plan.name,
            "CustomAttributes": reply.headers.get(CUSTOM_ATTRIBUTES.lower()),
        }

    async def _counted(self, name: str, variant: Variant, body: bytes, headers: dict[str, str]) -> Reply:
        """A variant's reply, which CloudWatch is told of; that there was none, too."""
        began = time.monotonic()
        try:
            await self._wake(name, variant)
            reply = await self._ask(name, variant, body, headers)
        except ApiError:
            self._metrics.unanswered(name, variant.plan.name)
            raise
        self._metrics.answered(name, variant.plan.name, reply.status, time.monotonic() - began)
        return reply

    async def _copy(self, name: str, shadow: Variant, body: bytes, headers: dict[str, str]) -> None:
        """Whatever a shadow variant answers, the caller never hears of it."""
        with contextlib.suppress(ApiError):
            await self._counted(name, shadow, body, headers)

    async def _wake(self, name: str, variant: Variant) -> None:
        """A serverless variant gets its process with a request, and takes no more at once than it was made for."""
        serverless = variant.plan.serverless
        if serverless and variant.in_flight >= serverless["MaxConcurrency"]:
            raise ApiError("ThrottlingException", "Rate exceeded", 429)
        try:
            await variant.wake()
        except InstanceFailed as error:
            raise ModelError(name, self._host, 0, str(error)) from error

    def _variant(self, fleet: Fleet, params: Document) -> Variant:
        for member in ("TargetModel", "TargetContainerHostname", "InferenceComponentName"):
            if member in params:
                raise ApiError("ValidationError", f"{member} is not supported by the endpoint's variants.")
        target = params.get("TargetVariant")
        if target is None:
            variant = fleet.choose(self._dice)
        else:
            variant = fleet.variants.get(target)
            if variant is None or variant.plan.shadow:
                raise ApiError("ValidationError", f"Variant {target} not found for Request")
        if variant is None:
            raise ApiError("ValidationError", "No production variant of the endpoint has a weight greater than zero.")
        return variant

    async def _ask(self, name: str, variant: Variant, body: bytes, headers: dict[str, str]) -> Reply:
        tried: set[Instance] = set()
        while True:
            instance = variant.least_busy(tried)
            if instance is None:
                raise ApiError("ServiceUnavailable", "The service is unavailable. Try your call again.", 503)
            tried.add(instance)
            try:
                return await instance.invoke(body, headers)
            except ConnectionLost as error:
                if error.accepted:
                    raise ModelError(name, self._host, 0, NO_ANSWER) from error
                # Nobody has seen the request: another instance may have it.
            except InvocationTimedOut as error:
                raise ModelError(name, self._host, 0, TIMED_OUT) from error
            except AnswerTooLarge as error:
                limit = self._settings.payload_bytes
                raise ModelError(name, self._host, 0, f"The response is larger than {limit} bytes") from error

    def _may_invoke(self, params: Document) -> Authorization:
        arn = arn_of(self._host.settings, ENDPOINT, params["EndpointName"])
        return Authorization("sagemaker:InvokeEndpoint", (arn,))


def _headers(params: Document) -> dict[str, str]:
    given = {
        "Content-Type": params.get("ContentType") or "application/json",
        "Accept": params.get("Accept") or "application/json",
        CUSTOM_ATTRIBUTES: params.get("CustomAttributes"),
        INFERENCE_ID: params.get("InferenceId"),
    }
    return {name: value for name, value in given.items() if value is not None}
