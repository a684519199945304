"""Predictions: a request passes to the endpoint as it is, and the container's answer comes back as it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from chalicelib.assignment import assigned
from chalicelib.aws import AwsError, ReadTimeoutError, error_code, is_missing
from chalicelib.captures.capturing import Capturing, Exchange
from chalicelib.deployments.deployment import Deployment
from chalicelib.deployments.store import DeploymentStore
from chalicelib.errors import (
    Conflict,
    ErrorCode,
    FieldProblem,
    InvalidRequest,
    ModelFailed,
    NotFound,
    ServiceError,
    TooLarge,
    Unavailable,
)
from chalicelib.experiments.request import ExposureRequest
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.log import logger

if TYPE_CHECKING:
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

MAX_REQUEST_BYTES = 5 * 1024 * 1024
MAX_ANSWER_BYTES = 5 * 1024 * 1024
"""Lambda passes 6 MB, and the event around a body needs room too."""

MAX_KEY = 256
MEDIA_TYPES = ("application/json", "text/csv")
_MAX_MESSAGE = 2000
_LATER = frozenset(
    {
        "ServiceUnavailable",
        "ThrottlingException",
        "ModelNotReadyException",
        "InternalFailure",
        "InternalDependencyException",
    }
)


@dataclass(frozen=True)
class Invocation:
    """
    Attributes:
        variant: the one that is to answer; None: by `key`, or by chance.
        key: what callers are told apart by: the same key gets the same variant, as long as the weights stay.
        request_id: as the caller is told it.
        experiment: whose exposure it is.
    """

    body: bytes = field(repr=False)
    media_type: str
    accept: str
    variant: str | None = None
    key: str | None = field(default=None, repr=False)
    request_id: str = ""
    experiment: str | None = None


@dataclass(frozen=True)
class Answer:
    """
    Attributes:
        variant: which of the endpoint's variants answered.
        exposure: what became of the exposure that was asked for: `recorded`, or the code of the error.
    """

    body: bytes = field(repr=False)
    media_type: str
    variant: str
    exposure: str | None = None


RECORDED = "recorded"
Exposing = Callable[[Caller, str, Sequence[ExposureRequest]], object]
"""Notes which variant units of an experiment got: `JoiningService.expose`."""


@dataclass(frozen=True)
class ModelEndpoint:
    """The SageMaker runtime."""

    client: SageMakerRuntimeClient

    def invoke(self, endpoint: str, invocation: Invocation) -> Answer:
        """
        Raises:
            InvalidRequest: the model refused the request; with its own words.
            ModelFailed: the model could not answer; with its own words.
            Unavailable: the endpoint is not there, or not ready.
        """
        try:
            answer = self.client.invoke_endpoint(
                EndpointName=endpoint,
                Body=invocation.body,
                ContentType=invocation.media_type,
                Accept=invocation.accept,
                **({"TargetVariant": invocation.variant} if invocation.variant else {}),
            )
        except self.client.exceptions.ModelError as error:
            status = int(error.response.get("OriginalStatusCode", 500))  # type: ignore[call-overload]  # not in the stubs
            message = _own_words(str(error.response.get("OriginalMessage") or error))[:_MAX_MESSAGE]
            if 400 <= status < 500:
                raise InvalidRequest(f"The model refused the request: {message}") from None
            raise ModelFailed(f"The model failed: {message}") from None
        except self.client.exceptions.ClientError as error:
            if is_missing(error) or error_code(error) in _LATER:
                raise Unavailable("The endpoint does not answer now. Try again.") from None
            raise
        except ReadTimeoutError:
            raise Unavailable("The endpoint has not answered in time; it may be starting. Try again.") from None
        body = answer["Body"].read(MAX_ANSWER_BYTES + 1)
        if len(body) > MAX_ANSWER_BYTES:
            cure = "Send fewer rows at a time."
            raise TooLarge.about(FieldProblem("answer", f"has more than {MAX_ANSWER_BYTES:,} bytes", cure))
        return Answer(body, answer.get("ContentType") or invocation.accept, answer.get("InvokedProductionVariant", ""))


def _own_words(message: str) -> str:
    """What a container says; the generated `inference.py` and AWS's own servers wrap it in a JSON object."""
    try:
        document = json.loads(message)
    except ValueError:
        return message
    words = (document.get("error") or document.get("message")) if isinstance(document, dict) else None
    return words if isinstance(words, str) else message


@dataclass(frozen=True)
class Invocations:
    store: DeploymentStore
    endpoint: ModelEndpoint
    capturing: Capturing
    expose: Exposing

    def invoke(self, caller: Caller, deployment_id: str, invocation: Invocation) -> Answer:
        """
        Raises:
            NotFound: not there, or another tenant's.
            Conflict: it does not serve.
            TooLarge: the request, or the answer.
            InvalidRequest, ModelFailed, Unavailable: as `ModelEndpoint.invoke`.
        """
        caller.require(Permission.DEPLOYMENTS_INVOKE)
        if len(invocation.body) > MAX_REQUEST_BYTES:
            cure = f"Send at most {MAX_REQUEST_BYTES:,} bytes; split the rows over several requests."
            raise TooLarge.about(FieldProblem("body", f"has {len(invocation.body):,} bytes", cure))
        deployment = self.store.existing(caller.tenant, deployment_id)
        if not deployment.answers():
            raise Conflict(f"The deployment is {deployment.status.value} and answers no predictions.")
        answer = self.endpoint.invoke(deployment.endpoint, self._assigned(caller, deployment, invocation))
        exchange = Exchange(
            request=invocation.body,
            request_type=invocation.media_type,
            answer=answer.body,
            answer_type=answer.media_type,
            variant=answer.variant,
            request_id=invocation.request_id,
        )
        self.capturing.keep(deployment, exchange)
        return replace(answer, exposure=self._exposed(caller, invocation, answer))

    def invoke_place(self, caller: Caller, name: str, environment: str, invocation: Invocation) -> Answer:
        """The same for whatever is deployed of a model's name in an environment."""
        caller.require(Permission.DEPLOYMENTS_INVOKE)
        deployment = self.store.at(caller.tenant, name, environment)
        if deployment is None:
            raise NotFound("endpoint")
        return self.invoke(caller, deployment.deployment_id, invocation)

    def _exposed(self, caller: Caller, invocation: Invocation, answer: Answer) -> str | None:
        """The prediction is the caller's, whatever becomes of its exposure."""
        if invocation.experiment is None:
            return None
        try:
            unit = ExposureRequest(variant=answer.variant, key=invocation.key, request_id=invocation.request_id)
            self.expose(caller, invocation.experiment, [unit])
        except ServiceError as refusal:
            return refusal.code.value
        except ValueError:
            # A key, or the variant's name, is none that experiments know.
            return ErrorCode.INVALID_REQUEST.value
        except AwsError:
            logger.exception("an exposure was not recorded", extra={"request_id": invocation.request_id})
            return ErrorCode.UNAVAILABLE.value
        return RECORDED

    def _assigned(self, caller: Caller, deployment: Deployment, invocation: Invocation) -> Invocation:
        """With the variant that is to answer, where that is not left to SageMaker."""
        weights = deployment.active.weights if deployment.active else {}
        if invocation.variant is not None:
            caller.require(Permission.DEPLOYMENTS_TARGET)
            if invocation.variant not in weights:
                cure = f"Use one of {', '.join(weights)}."
                raise InvalidRequest.about(FieldProblem("X-Variant", f"is {invocation.variant[:64]!r}", cure))
            return invocation
        if invocation.key is None:
            return invocation
        if not 0 < len(invocation.key) <= MAX_KEY:
            cure = f"Use 1 to {MAX_KEY} characters."
            raise InvalidRequest.about(FieldProblem("X-Assignment-Key", f"has {len(invocation.key)} characters", cure))
        if len(weights) == 1:
            # A serverless endpoint has no other, and knows no variants by name.
            return invocation
        return replace(invocation, variant=assigned(deployment.deployment_id, invocation.key, weights))
