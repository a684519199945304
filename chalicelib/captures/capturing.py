"""Keeps a part of what an endpoint is asked, with its answers, as an object each.

captures/<tenant>/<deployment>/<variant>/<yyyy>/<mm>/<dd>/<hh>/<mm>-<ss>-<ms>-<event id>.jsonl

Key and line are those of https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html: a
variant's keys are in the order of time.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from chalicelib.aws import AwsError
from chalicelib.captures.redaction import redacted
from chalicelib.clock import Clock, IdMaker, to_text
from chalicelib.deployments.deployment import DataCapture, Deployment
from chalicelib.log import logger

PREFIX = "captures"
_ENCODINGS = {"application/json": "JSON", "text/csv": "CSV"}
_WHOLE = 100.0


class Stored(Protocol):
    """Where objects are kept."""

    def write(self, key: str, body: bytes, media_type: str) -> None: ...


@dataclass(frozen=True)
class Exchange:
    """A request that was answered.

    Attributes:
        request_id: as the caller is told it.
    """

    request: bytes
    request_type: str
    answer: bytes
    answer_type: str
    variant: str
    request_id: str


@dataclass(frozen=True)
class Capturing:
    """
    Args:
        uniform: a number between two others, by chance.
    """

    objects: Stored
    now: Clock
    new_id: IdMaker
    uniform: Callable[[float, float], float]

    def keep(self, deployment: Deployment, exchange: Exchange) -> None:
        """Keep it, if the deployment is captured and chance wants it. What can't be kept fails nobody's prediction."""
        capture = deployment.capture
        if capture is None or self.uniform(0.0, _WHOLE) >= capture.percentage:
            return
        now, event_id = self.now(), self.new_id()
        line = json.dumps(_line(capture, exchange, event_id, to_text(now)), ensure_ascii=False, separators=(",", ":"))
        where = (
            f"{prefix(deployment.tenant, deployment.deployment_id)}{exchange.variant}/{moment(now)}-{event_id}.jsonl"
        )
        try:
            self.objects.write(where, f"{line}\n".encode(), "application/jsonlines")
        except AwsError:
            logger.exception("a request was not captured", extra={"deployment_id": deployment.deployment_id})


def prefix(tenant: str, deployment_id: str) -> str:
    """Where all that is captured of a deployment lies."""
    return f"{PREFIX}/{tenant}/{deployment_id}/"


def moment(at: datetime) -> str:
    """What the keys of a variant begin with that are of this moment: `2026/03/01/12/04-59-120`."""
    return f"{at:%Y/%m/%d/%H/%M-%S}-{at.microsecond // 1000:03d}"


def _line(capture: DataCapture, exchange: Exchange, event_id: str, at: str) -> dict[str, Any]:
    return {
        "captureData": {
            "endpointInput": _side("INPUT", exchange.request, exchange.request_type, capture),
            "endpointOutput": _side("OUTPUT", exchange.answer, exchange.answer_type, capture),
        },
        "eventMetadata": {"eventId": event_id, "inferenceId": exchange.request_id, "inferenceTime": at},
        "eventVersion": "0",
    }


def _side(mode: str, body: bytes, media_type: str, capture: DataCapture) -> dict[str, Any]:
    plain = media_type.partition(";")[0].strip().lower()
    return {
        "observedContentType": media_type,
        "mode": mode,
        "data": redacted(body.decode("utf-8", "replace"), plain, capture.redact),
        "encoding": _ENCODINGS.get(plain, "NONE"),
    }
