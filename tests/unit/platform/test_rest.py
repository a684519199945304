"""REST against an application of its own: what a view raises, and what a client may send, comes back as documented."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from chalice.test import Client

from chalicelib import errors
from chalicelib.api.rest import PROBLEM, STATUS, Application, Reply, Request, Room
from chalicelib.errors import ErrorCode, FieldProblem, InvalidRequest, NotFound, ServiceError
from chalicelib.shape import Shape


class Thing(Shape):
    name: str


KINDS = {
    kind.code: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, ServiceError) and name[0] != "_"
}


@dataclass
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def problem(self) -> Any:
        """The problem document, whose form is checked on the way."""
        assert self.headers["Content-Type"] == PROBLEM
        document = self.json
        assert set(document) == {"type", "title", "status", "detail", "code", "request_id", "errors"}
        assert document["status"] == self.status
        assert document["code"] in {code.value for code in ErrorCode}
        assert document["type"] == f"urn:aimatrix:error:{document['code']}"
        assert document["title"]
        assert document["detail"]
        return document


def raising(error: BaseException) -> Callable[[Request], Reply]:
    def view(request: Request) -> Reply:
        raise error

    return view


def serving(view: Callable[..., Reply], method: str = "GET") -> Application:
    """An application with one route, /v1/things."""
    application = Application(app_name="tests")
    room = Room(__name__)
    room.view(method, "/v1/things", authorizer=None)(view)
    application.register_blueprint(room)
    return application


def serve(view: Callable[..., Reply], method: str = "GET") -> Callable[..., Response]:
    """Send requests to an application with one route as a client sees it, through Chalice's own stand-in for a gateway."""
    application = serving(view, method)

    def send(path: str = "/v1/things", verb: str = method, body: str = "", **headers: str) -> Response:
        with Client(application) as client:
            answer = client.http.request(verb, path, body=body, headers={"Content-Type": "application/json", **headers})
        return Response(answer.status_code, answer.headers, answer.body)

    return send


def invoke(application: Application, **changes: Any) -> Response:
    """Give an application the very event that API Gateway gives it."""
    answer = application(event(**changes), None)
    return Response(answer["statusCode"], answer["headers"], str(answer["body"]).encode())


def client_error(code: str, status: int = 400, **more: Any) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": "secret detail"},
        "ResponseMetadata": {"HTTPStatusCode": status},
        **more,
    }
    return ClientError(response, "Operation")


class TestServiceErrors:
    @pytest.mark.parametrize("code", KINDS, ids=lambda code: str(code.value))
    def test_become_problem_documents_of_their_own_status(self, code: ErrorCode) -> None:
        error = NotFound("job") if code is ErrorCode.NOT_FOUND else KINDS[code]("what happened")
        response = serve(raising(error))()
        assert response.status == STATUS[code]
        assert response.problem()["code"] == code.value
        assert response.problem()["detail"] == error.detail

    def test_have_a_status_for_every_code_and_a_status_of_its_own(self) -> None:
        assert set(STATUS) == set(ErrorCode)
        assert len(set(STATUS.values())) >= len(STATUS) - 1
        assert all(400 <= status < 600 for status in STATUS.values())

    def test_carry_each_field_with_its_cure(self) -> None:
        error = InvalidRequest.about(FieldProblem("a", "is 1", "Use 2."), FieldProblem("b", "is missing", "Add it."))
        assert serve(raising(error))().problem()["errors"] == [
            {"field": "a", "message": "is 1", "cure": "Use 2."},
            {"field": "b", "message": "is missing", "cure": "Add it."},
        ]

    def test_say_when_to_come_back_only_when_that_helps(self) -> None:
        for code, kind in KINDS.items():
            error = NotFound("job") if code is ErrorCode.NOT_FOUND else kind("what happened")
            headers = serve(raising(error))().headers
            assert ("Retry-After" in headers) == (code is ErrorCode.UNAVAILABLE)
            assert headers.get("Retry-After", "1").isdigit()


class TestAwsErrors:
    @pytest.mark.parametrize(
        "error",
        [
            client_error("ThrottlingException"),
            client_error("ProvisionedThroughputExceededException"),
            client_error("TooManyRequestsException", 429),
            client_error("TransactionConflictException"),
            client_error("TransactionInProgressException"),
            client_error("SlowDown", 503),
            client_error("InternalServerError", 500),
            client_error("503", 503),
            client_error("SomethingNew", 500),
            client_error(
                "TransactionCanceledException", CancellationReasons=[{"Code": "None"}, {"Code": "TransactionConflict"}]
            ),
            client_error("TransactionCanceledException", CancellationReasons=[{"Code": "ThrottlingError"}]),
            ConnectTimeoutError(endpoint_url="https://x"),
            ReadTimeoutError(endpoint_url="https://x"),
            EndpointConnectionError(endpoint_url="https://x"),
            ConnectionClosedError(endpoint_url="https://x"),
        ],
        ids=repr,
    )
    def test_that_pass_are_503_with_the_time_to_wait(self, error: Exception) -> None:
        response = serve(raising(error))()
        assert (response.status, response.problem()["code"]) == (503, "unavailable")
        assert response.headers["Retry-After"] == "1"
        assert b"secret" not in response.body

    @pytest.mark.parametrize(
        "error",
        [
            client_error("AccessDeniedException"),
            client_error("ValidationException"),
            client_error("ResourceNotFoundException"),
            client_error("403", 403),
            client_error("TransactionCanceledException", CancellationReasons=[{"Code": "ValidationError"}]),
            NoCredentialsError(),
            ParamValidationError(report="secret"),
            BotoCoreError(),
        ],
        ids=repr,
    )
    def test_that_stay_are_500_and_tell_nothing(self, error: Exception) -> None:
        response = serve(raising(error))()
        assert (response.status, response.problem()["code"]) == (500, "internal")
        assert "Retry-After" not in response.headers
        assert b"secret" not in response.body


class TestBugs:
    @pytest.mark.parametrize("error", [ValueError("secret"), KeyError("secret"), RecursionError(), ZeroDivisionError()])
    def test_are_500_with_a_request_id_and_no_trace(self, error: Exception) -> None:
        response = invoke(serving(raising(error), "POST"))
        assert (response.status, response.problem()["code"]) == (500, "internal")
        assert response.problem()["request_id"] == response.headers["X-Request-Id"] == "r-1"
        assert b"secret" not in response.body
        assert b"Traceback" not in response.body

    @pytest.mark.parametrize(
        "body",
        [{"x": float("nan")}, {"x": float("inf")}, {"x": object()}, object()],
        ids=["nan", "inf", "member", "whole"],
    )
    def test_in_an_answers_body_are_500_and_never_half_json(self, body: Any) -> None:
        assert serve(lambda request: Reply(body))().problem()["code"] == "internal"


class TestChalicesOwnRefusals:
    @pytest.fixture
    def send(self) -> Callable[..., Response]:
        return serve(lambda request: Reply({}), "POST")

    def test_of_an_unknown_path_are_404(self) -> None:
        response = invoke(
            serving(raising(KeyError()), "POST"), requestContext={"resourcePath": "/v1/nothing", "httpMethod": "POST"}
        )
        assert (response.status, response.problem()["code"]) == (404, "not-found")

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
    def test_of_another_method_are_405(self, send: Callable[..., Response], method: str) -> None:
        response = send(verb=method)
        assert (response.status, response.problem()["code"]) == (405, "method-not-allowed")

    @pytest.mark.parametrize("media_type", ["application/xml", "text/html", "multipart/form-data", "nonsense"])
    def test_of_another_media_type_are_415(self, send: Callable[..., Response], media_type: str) -> None:
        response = send(body="<a/>", **{"Content-Type": media_type})
        assert (response.status, response.problem()["code"]) == (415, "unsupported-media-type")

    def test_carry_the_request_id_too(self) -> None:
        response = invoke(serving(raising(KeyError()), "POST"), headers={"content-type": "text/html"}, body="<a/>")
        assert response.status == 415
        assert response.problem()["request_id"] == response.headers["X-Request-Id"] == "r-1"


class TestReply:
    def test_is_json_without_spaces(self) -> None:
        response = serve(lambda request: Reply({"a": [1, "ü"]}, 201, {"Location": "/x"}))()
        assert (response.status, response.headers["Content-Type"]) == (201, "application/json")
        assert response.headers["Location"] == "/x"
        assert response.json == {"a": [1, "ü"]}
        assert b" " not in response.body

    def test_of_text_is_sent_as_it_is(self) -> None:
        response = serve(lambda request: Reply("a\nb", media_type="text/plain"))()
        assert (response.body, response.headers["Content-Type"]) == (b"a\nb", "text/plain")

    def test_has_the_request_id(self) -> None:
        response = invoke(serving(lambda request: Reply({"id": request.request_id}), "POST"))
        assert (response.json, response.headers["X-Request-Id"]) == ({"id": "r-1"}, "r-1")


class TestBodies:
    def send(self, body: str) -> Response:
        return serve(lambda request: Reply(request.shape(Thing).name), "POST")(body=body)

    def test_are_read_as_a_shape(self) -> None:
        assert self.send('{"name": "a"}').body == b"a"

    @pytest.mark.parametrize("body", ["", "{", "[]", '{"name": 1}', '{"name": "a", "x": 1}', "[" * 100_000])
    def test_of_another_shape_are_400(self, body: str) -> None:
        response = self.send(body)
        assert (response.status, response.problem()["code"]) == (400, "invalid-request")
        assert response.problem()["errors"]

    def test_of_more_than_a_megabyte_are_413(self) -> None:
        assert self.send(" " * (1024 * 1024 + 1)).problem()["code"] == "too-large"

    def test_with_half_a_character_are_400(self) -> None:
        application = serving(lambda request: Reply(request.shape(Thing).name), "POST")
        assert invoke(application, body='{"name": "\ud800"}').problem()["code"] == "invalid-request"

    def test_in_base64_are_decoded(self) -> None:
        application = serving(lambda request: Reply(request.shape(Thing).name), "POST")
        assert invoke(application, body="eyJuYW1lIjogImEifQ==", isBase64Encoded=True).body == b"a"


def event(**changes: Any) -> dict[str, Any]:
    """What API Gateway gives to the function."""
    return {
        "httpMethod": "POST",
        "path": "/v1/things",
        "headers": {"content-type": "application/json"},
        "multiValueQueryStringParameters": None,
        "queryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "body": "",
        "isBase64Encoded": False,
        "requestContext": {"resourcePath": "/v1/things", "httpMethod": "POST", "requestId": "r-1"},
        **changes,
    }


def query(read: Callable[[Request], Any]) -> Callable[[str], Response]:
    send = serve(lambda request: Reply({"value": read(request)}))
    return lambda text: send(f"/v1/things?{text}")


class TestQuery:
    def test_reads_numbers_within_bounds(self) -> None:
        send = query(lambda request: request.integer("limit", 20, 1, 100))
        assert [send(text).json["value"] for text in ("", "limit=1", "limit=100", "limit=007")] == [20, 1, 100, 7]

    @pytest.mark.parametrize(
        "text",
        [
            "0",
            "101",
            "-1",
            "",
            "x",
            "1.5",
            "1e2",
            "0x10",
            "1_0",
            "%201",
            "1%20",
            "+1",
            "%D9%A1",
            "9" * 5000,
            "1%00",
            "null",
        ],
    )
    def test_refuses_what_is_no_number_within_bounds(self, text: str) -> None:
        send = query(lambda request: request.integer("limit", 20, 1, 100))
        (problem,) = send(f"limit={text}").problem()["errors"]
        assert problem["field"] == "limit"
        assert "1 to 100" in problem["cure"]
        assert len(problem["message"]) < 60

    def test_reads_choices_and_flags(self) -> None:
        choice = query(lambda request: request.choice("status", ("on", "off")))
        assert [choice(text).json["value"] for text in ("", "status=on")] == [None, "on"]
        assert "on, off" in choice("status=ON").problem()["errors"][0]["cure"]
        flag = query(lambda request: request.flag("follow"))
        assert [flag(text).json["value"] for text in ("", "follow=true", "follow=false")] == [False, True, False]
        assert flag("follow=1").status == 400

    def test_refuses_what_the_route_does_not_know(self) -> None:
        send = query(lambda request: request.only("limit"))
        assert send("limit=1").status == 200
        (problem,) = send("limit=1&limt=2").problem()["errors"]
        assert (problem["field"], "limit" in problem["cure"]) == ("limt", True)

    def test_refuses_a_parameter_that_is_given_twice(self) -> None:
        send = query(lambda request: request.integer("limit", 20, 1, 100))
        assert send("limit=1&limit=2").problem()["errors"][0]["message"] == "is given more than once"


class TestCaller:
    def test_comes_from_the_authorizer(self) -> None:
        assert self.ask({"tenant": "acme", "user": "ada", "roles": "USER"}) == (200, "acme/ada")

    @pytest.mark.parametrize("context", [None, {}, {"tenant": "acme"}])
    def test_that_the_authorizer_did_not_name_is_401(self, context: dict[str, str] | None) -> None:
        assert self.ask(context)[0] == 401

    def test_is_not_what_a_header_or_the_body_says(self) -> None:
        headers = {"content-type": "application/json", "x-user": "root", "x-tenant": "other"}
        asked = self.ask({"tenant": "acme", "user": "ada"}, headers=headers, body='{"user": "root"}')
        assert asked == (200, "acme/ada")

    def test_has_its_origin_from_the_gateway_whatever_the_headers_claim(self) -> None:
        def view(request: Request) -> Reply:
            return Reply(vars(request.caller.origin))

        context = {
            **event()["requestContext"],
            "identity": {"sourceIp": "192.0.2.7"},
            "authorizer": {"tenant": "acme", "user": "ada", "key_id": "k-1"},
        }
        headers = {**event()["headers"], "X-Forwarded-For": "203.0.113.9", "X-Request-Id": "mine"}
        response = invoke(serving(view, "POST"), requestContext=context, headers=headers)
        assert response.json == {"request_id": "r-1", "source_ip": "192.0.2.7", "key_id": "k-1"}

    @staticmethod
    def ask(authorizer: dict[str, str] | None, **changes: Any) -> tuple[int, str]:
        application = serving(
            lambda request: Reply(f"{request.caller.tenant}/{request.caller.user}", media_type="text/plain"), "POST"
        )
        context = {**event()["requestContext"], **({} if authorizer is None else {"authorizer": authorizer})}
        response = invoke(application, requestContext=context, **changes)
        return response.status, response.body.decode()


class TestRefusals:
    """What the audit log is told."""

    def test_are_told_with_caller_operation_path_and_reason(self) -> None:
        told = self.send(NotFound("job"), {"tenant": "acme", "user": "ada"})
        ((caller, operation, path, error),) = told
        assert (caller.user, caller.origin.request_id) == ("ada", "r-1")
        assert (operation, path) == ("cancel_thing", {"thing_id": "t-1"})
        assert error.code is ErrorCode.NOT_FOUND

    def test_of_nobody_are_not_told(self) -> None:
        assert self.send(NotFound("job"), {}) == []

    def test_that_are_faults_of_ours_are_not_told(self) -> None:
        assert self.send(RuntimeError("oops"), {"tenant": "acme", "user": "ada"}, status=500) == []

    def test_that_can_not_be_noted_are_answered_all_the_same(self) -> None:
        def fail(*_: Any) -> None:
            raise RuntimeError("the table is away")

        self.send(NotFound("job"), {"tenant": "acme", "user": "ada"}, on_refusal=fail)

    @staticmethod
    def send(
        error: Exception,
        authorizer: dict[str, str],
        status: int = 404,
        on_refusal: Callable[..., None] | None = None,
    ) -> list[tuple[Any, ...]]:
        told: list[tuple[Any, ...]] = []
        application = Application(app_name="tests", on_refusal=on_refusal or (lambda *refusal: told.append(refusal)))
        room = Room(__name__)

        @room.view("DELETE", "/v1/things/{thing_id}", authorizer=None)
        def cancel_thing(request: Request, thing_id: str) -> Reply:
            raise error

        application.register_blueprint(room)
        context = {"resourcePath": "/v1/things/{thing_id}", "httpMethod": "DELETE", "requestId": "r-1"}
        response = invoke(
            application,
            httpMethod="DELETE",
            pathParameters={"thing_id": "t-1"},
            requestContext={**context, "authorizer": authorizer},
        )
        assert response.status == status
        return told
