"""Begin, change and end capturing; list what was captured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.captures.capturing import prefix
from chalicelib.captures.request import DataCaptureRequest
from chalicelib.clock import Clock
from chalicelib.cursor import Cursor
from chalicelib.deployments.deployment import DataCapture, Deployment, DeploymentStatus
from chalicelib.deployments.store import DeploymentStore, StaleDeployment
from chalicelib.errors import Conflict
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.objects import Listed, Objects

URL_SECONDS = 900


@dataclass(frozen=True)
class CapturePage:
    captures: tuple[Mapping[str, Any], ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class CaptureService:
    store: DeploymentStore
    objects: Objects
    now: Clock
    audit: Recorder

    def set(self, caller: Caller, deployment_id: str, request: DataCaptureRequest) -> Deployment:
        """Capture a part of the requests from now on, whichever revision answers them. The endpoint is not touched.

        Raises:
            NotFound: no such deployment, or another tenant's.
            Conflict: it has been taken down, or is being taken down.
        """
        capture = DataCapture(request.percentage, tuple(dict.fromkeys(request.redact)))
        return self._change(caller, deployment_id, capture, Action.SET_DATA_CAPTURE)

    def end(self, caller: Caller, deployment_id: str) -> Deployment:
        """Capture nothing from now on. What was captured stays. Raises as `set`."""
        return self._change(caller, deployment_id, None, Action.END_DATA_CAPTURE)

    def search(
        self, caller: Caller, deployment_id: str, variant: str | None, day: date | None, limit: int, cursor: str | None
    ) -> CapturePage:
        """What was captured of a variant on a day, hour by hour, each with an address that gives it for a while.

        Args:
            variant: None: the one that has most of the requests.
            day: in UTC; None: today.

        Raises:
            NotFound: no such deployment, or another tenant's.
        """
        caller.require(Permission.DEPLOYMENTS_CAPTURES)
        deployment = self.store.existing(caller.tenant, deployment_id)
        of, on = variant or deployment.current.main.name, day or self.now().date()
        below = f"{prefix(caller.tenant, deployment_id)}{of}/{on:%Y/%m/%d}/"
        after = Cursor.decode(cursor, names=frozenset({"after"}))
        page = self.objects.page(below, limit, f"{below}{after.key['after']}" if after else None)
        captures = tuple(self._document(each, below) for each in page)
        following = Cursor({"after": captures[-1]["name"]}) if len(page) == limit else None
        return CapturePage(captures, following)

    def _document(self, found: Listed, below: str) -> dict[str, Any]:
        return {
            "name": found.key.removeprefix(below),
            "uri": self.objects.uri(found.key),
            "size": found.size,
            "url": self.objects.presigned_get(found.key, URL_SECONDS),
        }

    def _change(self, caller: Caller, deployment_id: str, capture: DataCapture | None, action: Action) -> Deployment:
        caller.require(Permission.DEPLOYMENTS_CAPTURES)
        while True:
            deployment = self.store.existing(caller.tenant, deployment_id)
            if deployment.status in {DeploymentStatus.INACTIVE, DeploymentStatus.TERMINATED}:
                raise Conflict(f"The deployment is {deployment.status.value}: there is nothing to capture.")
            if deployment.capture == capture:
                return deployment
            entry = self.audit.entry(
                caller,
                action,
                subject("deployment", deployment_id),
                percentage=f"{capture.percentage:g}" if capture else "0",
                redact=" ".join(capture.redact) if capture else "",
            )
            try:
                return self.store.update(deployment, replace(deployment, capture=capture), self.now(), entry)
            except StaleDeployment:
                continue
