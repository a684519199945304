"""A part of what an endpoint is asked is kept, without the fields that nobody is to see."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from chalicelib.captures.request import DataCaptureRequest
from chalicelib.deployments.deployment import Deployment
from chalicelib.deployments.invocations import Answer, Invocation
from chalicelib.errors import Conflict, ModelFailed
from tests.functional.captures.conftest import Room
from tests.functional.deployments.conftest import DEPLOYER, STRANGER, USER
from tests.functional.rest import Gateway

BODY = b'{"dataframe_records": [{"age": 3, "email": "ada@example.com"}]}'


def captured(room: Room, percentage: float = 100.0, *redact: str) -> Deployment:
    active = room.deployments.active(room.deployments.model())
    request = DataCaptureRequest(percentage=percentage, redact=list(redact))
    return room.service.set(DEPLOYER, active.deployment_id, request)


def ask(room: Room, deployment: Deployment) -> Answer:
    invocation = Invocation(BODY, "application/json", "application/json", request_id="r-7")
    return room.invocations.invoke(USER, deployment.deployment_id, invocation)


def lines(room: Room) -> list[dict[str, Any]]:
    return [json.loads(body) for body in room.objects.stored.values()]


class TestCapturing:
    def test_keeps_request_and_answer_in_sagemakers_form(self, room: Room) -> None:
        deployment = captured(room)
        answer = ask(room, deployment)
        (key,) = room.objects.stored
        where = f"captures/acme/{deployment.deployment_id}/v1/2026/03/01/12/"
        assert re.fullmatch(rf"{where}\d\d-\d\d-000-event-1\.jsonl", key)
        (line,) = lines(room)
        assert line["captureData"]["endpointInput"] == {
            "observedContentType": "application/json",
            "mode": "INPUT",
            "data": BODY.decode(),
            "encoding": "JSON",
        }
        assert line["captureData"]["endpointOutput"]["data"] == answer.body.decode()
        assert line["eventMetadata"]["inferenceId"] == "r-7"
        assert line["eventVersion"] == "0"

    def test_takes_named_fields_out(self, room: Room) -> None:
        ask(room, captured(room, 100, "email"))
        (line,) = lines(room)
        assert json.loads(line["captureData"]["endpointInput"]["data"]) == {
            "dataframe_records": [{"age": 3, "email": "[redacted]"}]
        }
        assert "ada@example.com" not in str(room.objects.stored)

    @pytest.mark.parametrize(("chance", "kept"), [(9.99, 1), (10.0, 0), (99.0, 0)])
    def test_keeps_as_many_as_were_asked_for(self, room: Room, chance: float, kept: int) -> None:
        room.chance[0] = chance
        ask(room, captured(room, 10))
        assert len(room.objects.stored) == kept

    def test_that_fails_fails_no_prediction(self, room: Room) -> None:
        deployment = captured(room)
        room.objects.refusing = EndpointConnectionError(endpoint_url="https://s3")
        assert ask(room, deployment).body

    def test_keeps_nothing_that_was_not_answered(self, room: Room) -> None:
        deployment = captured(room)
        room.deployments.runtime.answers = [ModelFailed("the model failed")]
        with pytest.raises(ModelFailed):
            ask(room, deployment)
        assert room.objects.stored == {}

    def test_goes_on_with_another_revision_and_ends_when_told_to(self, room: Room) -> None:
        deployment = captured(room)
        later = room.deployments.active(room.deployments.model("2"))
        assert later.capture == deployment.capture
        ask(room, later)
        room.service.end(DEPLOYER, later.deployment_id)
        ask(room, later)
        assert len(room.objects.stored) == 1
        told = [action for _, action, _ in room.deployments.log.told()]
        assert told.count("set_data_capture") == told.count("end_data_capture") == 1

    def test_asked_for_twice_is_one_change(self, room: Room) -> None:
        deployment = captured(room, 10, "email")
        request = DataCaptureRequest(percentage=10, redact=["email"])
        assert room.service.set(DEPLOYER, deployment.deployment_id, request) == deployment


class TestApi:
    def test_sets_shows_and_ends(self, room: Room, api: Gateway) -> None:
        active = room.deployments.active(room.deployments.model())
        path = f"/v1/deployments/{active.deployment_id}/capture"
        made = api.send(DEPLOYER, "PUT", path, {"percentage": 12.5, "redact": ["email", "email"]})
        assert made.json["data_capture"] == {"percentage": 12.5, "redact": ["email"]}
        assert "data_capture" not in api.send(DEPLOYER, "DELETE", path).json

    def test_lists_a_day_page_by_page(self, room: Room, api: Gateway) -> None:
        deployment = captured(room)
        for _ in range(3):
            ask(room, deployment)
        path = f"/v1/deployments/{deployment.deployment_id}/captures?variant=v1&date=2026-03-01&limit=2"
        first = api.send(DEPLOYER, "GET", path).json
        rest = api.send(DEPLOYER, "GET", f"{path}&cursor={first['next_cursor']}").json
        found = first["captures"] + rest["captures"]
        assert [each["name"][-14:] for each in found] == [f"-event-{number}.jsonl" for number in (1, 2, 3)]
        assert all(each["url"].startswith("https://bucket/captures/acme/") for each in found)
        assert "next_cursor" not in rest
        assert api.send(DEPLOYER, "GET", path.partition("?")[0]).json["captures"] == found
        assert api.send(DEPLOYER, "GET", path.replace("03-01", "03-02")).json["captures"] == []

    def test_is_for_deployers_of_the_tenant(self, room: Room, api: Gateway) -> None:
        deployment = captured(room)
        path = f"/v1/deployments/{deployment.deployment_id}"
        query = "?variant=v1&date=2026-03-01"
        for method, what in (("PUT", "/capture"), ("DELETE", "/capture"), ("GET", f"/captures{query}")):
            body: Any = {} if method == "PUT" else None
            assert api.send(USER, method, f"{path}{what}", body).status == 403
            assert api.send(STRANGER, method, f"{path}{what}", body).status == 404

    @pytest.mark.parametrize(
        ("body", "field"),
        [({"percentage": 0}, "percentage"), ({"percentage": 101}, "percentage"), ({"redact": [""]}, "redact.0")],
    )
    def test_names_the_field_that_is_wrong(self, room: Room, api: Gateway, body: Any, field: str) -> None:
        deployment = captured(room)
        answer = api.send(DEPLOYER, "PUT", f"/v1/deployments/{deployment.deployment_id}/capture", body)
        assert (answer.status, [error["field"] for error in answer.json["errors"]]) == (400, [field])

    @pytest.mark.parametrize(
        "query", ["variant=&date=2026-03-01", "variant=v1&date=today", "variant=../x&date=2026-03-01"]
    )
    def test_names_the_parameter_that_is_wrong(self, room: Room, api: Gateway, query: str) -> None:
        deployment = captured(room)
        assert api.send(DEPLOYER, "GET", f"/v1/deployments/{deployment.deployment_id}/captures?{query}").status == 400

    def test_of_what_is_taken_down_is_refused(self, room: Room) -> None:
        deployment = captured(room)
        room.deployments.service.undeploy(DEPLOYER, deployment.deployment_id)
        with pytest.raises(Conflict):
            room.service.end(DEPLOYER, deployment.deployment_id)
