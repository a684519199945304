"""The calls about deployments, prediction among them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aimatrix.client.deployments import Deployment, Revision, weighed
from aimatrix.client.errors import NotFoundError
from aimatrix.client.paging import each_document
from aimatrix.client.transport import Transport
from aimatrix.client.waiting import wait_until

DEPLOYMENTS = "/deployments"


@dataclass(frozen=True)
class DeploymentCalls:
    """``client.deployments``."""

    transport: Transport
    monotonic: Callable[[], float] = time.monotonic

    def list(self, *, page_size: int = 50) -> Iterator[Deployment]:
        """The deployments the caller may see."""

        def fetch(cursor: str | None) -> dict[str, Any]:
            return self.transport.document("GET", DEPLOYMENTS, params={"limit": page_size, "cursor": cursor})

        return (Deployment.from_document(each) for each in each_document(fetch, "deployments"))

    def get(self, deployment_id: str) -> Deployment:
        return Deployment.from_document(self.transport.document("GET", _path(deployment_id)))

    def find(self, reference: str) -> Deployment:
        """The deployment that ``name@environment`` means.

        Raises:
            NotFoundError: that model isn't deployed there (any more).
        """
        for deployment in self.list():
            if deployment.reference == reference and not deployment.is_down():
                return deployment
        raise NotFoundError(404, "deployment_not_found", f"nothing is deployed as {reference}")

    def change_weights(self, deployment_id: str, weights: Mapping[str, float]) -> Deployment:
        """Splits the requests anew among the variants that an endpoint has; `wait` says when that is so.

        Args:
            weights: by model id, one for each variant.

        Raises:
            ConflictError: it is not active, or busy.
            InvalidRequestError: the models are not those of its variants.
        """
        body = {"variants": weighed(weights)}
        return Deployment.from_document(self.transport.document("PUT", f"{_path(deployment_id)}/weights", body=body))

    def revisions(self, deployment_id: str, *, page_size: int = 50) -> Iterator[Revision]:
        """What has settled of a deployment, newest first."""
        path = f"{_path(deployment_id)}/revisions"

        def fetch(cursor: str | None) -> dict[str, Any]:
            return self.transport.document("GET", path, params={"limit": page_size, "cursor": cursor})

        return (Revision.from_document(each) for each in each_document(fetch, "revisions"))

    def roll_back(self, deployment_id: str, revision: int | None = None) -> Deployment:
        """Lets an earlier revision serve again; `wait` says when that is so.

        Args:
            revision: which one; None: the last one without the version that has most of the requests now.

        Raises:
            ConflictError: it is busy or going, nothing served before, or a version can't be served any more.
            InvalidRequestError: that revision never answered.
        """
        body = {"revision": revision} if revision is not None else {}
        return Deployment.from_document(self.transport.document("POST", f"{_path(deployment_id)}/rollback", body=body))

    def capture(self, deployment_id: str, percentage: float = 100.0, redact: Sequence[str] = ()) -> Deployment:
        """Keeps a part of the requests and answers from now on, whichever revision answers.

        Args:
            redact: fields whose values are not kept, by name.
        """
        body = {"percentage": percentage, "redact": [*redact]}
        return Deployment.from_document(self.transport.document("PUT", f"{_path(deployment_id)}/capture", body=body))

    def end_capture(self, deployment_id: str) -> Deployment:
        """Keeps nothing from now on; what was captured stays."""
        return Deployment.from_document(self.transport.document("DELETE", f"{_path(deployment_id)}/capture"))

    def captures(
        self, deployment_id: str, variant: str, day: str, *, page_size: int = 100
    ) -> Iterator[Mapping[str, Any]]:
        """What was captured of a variant on a day: ``name``, ``uri``, ``size``, and a ``url`` that gives it for a while.

        Args:
            day: in UTC, as ``2026-03-01``.
        """

        def fetch(cursor: str | None) -> dict[str, Any]:
            params = {"variant": variant, "date": day, "limit": page_size, "cursor": cursor}
            return self.transport.document("GET", f"{_path(deployment_id)}/captures", params=params)

        return iter(each_document(fetch, "captures"))

    def scaling(self, deployment_id: str) -> dict[str, Any]:
        """How many instances each variant has now, within which bounds, and what auto scaling did lately.

        Raises:
            ConflictError: nothing serves.
        """
        return self.transport.document("GET", f"{_path(deployment_id)}/scaling")

    def delete(self, deployment_id: str) -> None:
        """Takes the endpoint down; the record stays, as ``terminated``."""
        self.transport.call("DELETE", _path(deployment_id))

    def wait(
        self,
        deployment_id: str,
        timeout: float | None = None,
        observe: Callable[[Deployment], None] | None = None,
    ) -> Deployment:
        """The deployment, once it is active or has failed (ask ``is_active()``).

        Args:
            observe: told each state as it is fetched.

        Raises:
            WaitTimeoutError: neither after ``timeout`` seconds; it goes on.
        """
        return self._wait(deployment_id, Deployment.is_settled, timeout, observe)

    def wait_down(self, deployment_id: str, timeout: float | None = None) -> Deployment:
        """The deployment, once its endpoint is gone.

        Raises:
            WaitTimeoutError: it wasn't after ``timeout`` seconds.
        """
        return self._wait(deployment_id, Deployment.is_down, timeout)

    def predict(
        self,
        deployment_id: str,
        inputs: object,
        *,
        key: str | None = None,
        variant: str | None = None,
        experiment: str | None = None,
    ) -> Any:
        """The endpoint's answer to a JSON body of MLflow's scoring protocol.

        Args:
            inputs: ``{"inputs": ...}``, ``{"dataframe_split": ...}``, ``{"dataframe_records": ...}`` or
                ``{"instances": ...}``.
            key: what callers are told apart by: the same key is answered by the same variant.
            variant: the one that is to answer; takes a permission.
            experiment: the id of the one whose exposure this is.
        """
        body = json.dumps(inputs).encode()
        return self.predict_raw(
            deployment_id, body, "application/json", key=key, variant=variant, experiment=experiment
        )

    def predict_raw(
        self,
        deployment_id: str,
        body: bytes,
        content_type: str,
        *,
        key: str | None = None,
        variant: str | None = None,
        experiment: str | None = None,
    ) -> Any:
        """The endpoint's answer to a body as it is (``application/json`` or ``text/csv``).

        Sent again after a passing failure only when nothing of it was taken: a prediction has no side effect of ours,
        but a custom handler may have one of its own.
        """
        headers = {"Content-Type": content_type}
        named = {"X-Assignment-Key": key, "X-Variant": variant, "X-Experiment": experiment}
        headers |= {name: text for name, text in named.items() if text}
        return self.transport.call("POST", f"{_path(deployment_id)}/invocations", content=body, headers=headers).json()

    def _wait(
        self,
        deployment_id: str,
        settled: Callable[[Deployment], bool],
        timeout: float | None,
        observe: Callable[[Deployment], None] | None = None,
    ) -> Deployment:
        return wait_until(
            lambda: self.get(deployment_id),
            settled,
            describe=f"deployment {deployment_id}",
            timeout=timeout,
            sleep=self.transport.sleep,
            monotonic=self.monotonic,
            observe=observe,
        )


def _path(deployment_id: str) -> str:
    return f"{DEPLOYMENTS}/{quote(deployment_id, safe='')}"
