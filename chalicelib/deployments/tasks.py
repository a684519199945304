"""The functions that the state machines and SageMaker's events call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chalicelib import machine
from chalicelib.deployments.waiting import ENDPOINT_FAILED
from chalicelib.log import logger

if TYPE_CHECKING:
    from chalicelib.bootstrap import Platform

Event = Mapping[str, Any]

UNDEPLOY = "undeploy"


def plan_deployment(platform: Platform, event: Event) -> dict[str, Any]:
    answer: dict[str, Any]
    if event.get("action") == UNDEPLOY:
        answer = platform.deployment_planning.plan_undeploy(event["tenant"], event["deployment_id"])
    else:
        answer = platform.deployment_planning.plan(event["tenant"], event["deployment_id"], int(event["revision"]))
    logger.info("planned", extra={"deployment_id": event["deployment_id"], "next": answer["next"]})
    return answer


def await_endpoint(platform: Platform, event: Event) -> dict[str, Any]:
    tenant, deployment_id, revision = event["tenant"], event["deployment_id"], int(event["revision"])
    is_answered = platform.deployment_waiting.begin(tenant, deployment_id, revision, event["token"])
    logger.info("waiting", extra={"deployment_id": deployment_id, "revision": revision, "answered": is_answered})
    return {"answered": is_answered}


def on_endpoint_event(platform: Platform, event: Event) -> None:
    """A "SageMaker Endpoint State Change": only a hint to look."""
    endpoint = event["detail"].get("EndpointName", "")
    is_answered = platform.deployment_waiting.look(endpoint)
    logger.info("looked", extra={"endpoint": endpoint, "answered": is_answered})


def smoke_test(platform: Platform, event: Event) -> dict[str, Any]:
    tenant, deployment_id, revision = event["tenant"], event["deployment_id"], int(event["revision"])
    evidence = platform.smoke_test.run(tenant, deployment_id, revision)
    logger.info("tested", extra={"deployment_id": deployment_id, "revision": revision, "evidence": evidence})
    return {"evidence": evidence}


def finish_deployment(platform: Platform, event: Event) -> dict[str, Any]:
    tenant, deployment_id, error = event["tenant"], event["deployment_id"], error_text(event.get("error"))
    if event.get("action") == UNDEPLOY:
        deployment = platform.deployment_finishing.finish_undeploy(tenant, deployment_id, error)
    else:
        deployment = platform.deployment_finishing.finish(tenant, deployment_id, int(event["revision"]), error)
    logger.info("finished", extra={"deployment_id": deployment_id, "status": deployment.status.value, "error": error})
    return {"status": deployment.status.value}


def error_text(error: Any) -> str | None:
    """What a machine caught, in words; of an endpoint that failed just SageMaker's own."""
    if isinstance(error, Mapping) and error.get("Error") == ENDPOINT_FAILED:
        return str(error.get("Cause") or "")
    return machine.error_text(error, timed_out="The endpoint did not settle in time.")
