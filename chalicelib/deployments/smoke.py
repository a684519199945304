"""One prediction shows that a new endpoint works: InService only means that the container answers a ping."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from chalicelib.clock import Clock
from chalicelib.deployments.deployment import Deployment, DeploymentStatus, Variant
from chalicelib.deployments.invocations import Answer, Invocation, ModelEndpoint
from chalicelib.deployments.store import DeploymentStore, StaleDeployment
from chalicelib.errors import ServiceError, Unavailable
from chalicelib.models.store import ModelStore

ATTEMPTS = 3
PAUSE_SECONDS = 2.0

NO_EXAMPLE = "The endpoint is in service. The model has no input example, so no prediction was tried."


class SmokeTestFailed(Exception):
    """The endpoint is in service and does not predict."""


@dataclass(frozen=True)
class SmokeTest:
    store: DeploymentStore
    models: ModelStore
    endpoint: ModelEndpoint
    sleep: Callable[[float], None]
    now: Clock

    def run(self, tenant: str, deployment_id: str, revision: int) -> str:
        """Ask for the predictions of the model's own input example, and note on the record what that showed.

        Returns:
            The evidence.

        Raises:
            SmokeTestFailed: no answer, or one that is none.
        """
        deployment = self.store.require(tenant, deployment_id)
        if deployment.status is not DeploymentStatus.DEPLOYING or deployment.target.number != revision:
            return "This revision is not being deployed any more."
        variants = deployment.target.variants
        found = {variant.name: self._try(deployment, variant) for variant in variants}
        evidence = " ".join(f"{name}: {said}" if len(variants) > 1 else said for name, said in found.items())
        self._note(deployment, revision, evidence)
        return evidence

    def _try(self, deployment: Deployment, variant: Variant) -> str:
        model = self.models.get(deployment.tenant, variant.model_id)
        if model is None:
            raise LookupError(f"there is no model {variant.model_id} of tenant {deployment.tenant}")
        if model.input_example is None:
            return NO_EXAMPLE
        # Of one variant SageMaker knows which is meant; a serverless endpoint has no other.
        name = variant.name if len(deployment.target.variants) > 1 else None
        answer = self._predict(deployment.endpoint, name, model.input_example)
        return judge(model.input_example, answer, strict=model.kind != "custom")

    def _predict(self, endpoint: str, variant: str | None, example: Any) -> Answer:
        invocation = Invocation(json.dumps(example).encode(), "application/json", "application/json", variant)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self.endpoint.invoke(endpoint, invocation)
            except ServiceError as error:
                # The workers of a container may still be loading the model after its first ping.
                if attempt == ATTEMPTS:
                    raise SmokeTestFailed(_refusal(error)) from error
                self.sleep(PAUSE_SECONDS)
        raise AssertionError("unreachable")

    def _note(self, deployment: Deployment, revision: int, evidence: str) -> None:
        while deployment.status is DeploymentStatus.DEPLOYING and deployment.target.number == revision:
            try:
                self.store.update(deployment, replace(deployment, evidence=evidence), self.now())
            except StaleDeployment:
                deployment = self.store.require(deployment.tenant, deployment.deployment_id)
            else:
                return


def _refusal(error: ServiceError) -> str:
    if isinstance(error, Unavailable):
        return f"The model did not answer its input example, asked {ATTEMPTS} times: {error.detail}"
    return f"The model's input example was refused: {error.detail}"


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def judge(example: Any, answer: Answer, *, strict: bool) -> str:
    """Whether an answer has a prediction for each row of the request.

    Args:
        strict: False for a model whose user wrote its own input and output functions: its answers have any form, which
            is the one that they say.

    Raises:
        SmokeTestFailed: it has not.
    """
    if not strict:
        if answer.media_type.partition(";")[0].strip() == "application/json" and not _is_json(answer.body):
            raise SmokeTestFailed("The answer to the model's input example is said to be JSON, and is not.")
        return "The endpoint answered the model's input example."
    try:
        predictions = json.loads(answer.body)["predictions"]
    except (ValueError, KeyError, TypeError):
        raise SmokeTestFailed("The answer to the model's input example has no predictions.") from None
    rows, found = rows_of(example), rows_of({"inputs": predictions})
    if rows is not None and rows != found:
        raise SmokeTestFailed(f"The model's input example has {rows} row(s), and the answer {found} prediction(s).")
    return f"The endpoint answered the model's input example with {found} prediction(s)."


def rows_of(body: Any) -> int | None:
    """How many instances a request of the MLflow scoring protocol holds; None when that can't be told."""
    if isinstance(body, list):
        return len(body)
    if not isinstance(body, dict):
        return None
    for name in ("inputs", "instances", "dataframe_records"):
        value = body.get(name)
        if isinstance(value, list):
            return len(value)
        if isinstance(value, dict) and value and isinstance(first := next(iter(value.values())), list):
            return len(first)
    split = body.get("dataframe_split")
    return len(split["data"]) if isinstance(split, dict) and isinstance(split.get("data"), list) else None
