"""One call: its address, its signature, its repetitions, and real sockets."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from botocore.credentials import Credentials

from chalicelib.aws import signed_headers
from chalicelib.errors import Unavailable
from chalicelib.tracking.address import SERVER_HEADER, TrackingAddress
from chalicelib.tracking.client import MAX_ANSWER_BYTES, ConnectionFailed, MlflowRefused, http_send
from tests.unit.tracking.fake_mlflow import FakeMlflow

ARN = "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/team-server"


class TestAddress:
    def test_takes_an_http_address_without_a_signature(self) -> None:
        assert TrackingAddress.parse("http://127.0.0.1:5000/") == TrackingAddress("http://127.0.0.1:5000")

    @pytest.mark.parametrize("kind", ["mlflow-tracking-server", "mlflow-app"])
    def test_finds_a_managed_server_by_its_region_and_names_it_in_a_header(self, kind: str) -> None:
        arn = ARN.replace("mlflow-tracking-server", kind)
        address = TrackingAddress.parse(arn)
        assert address.base == "https://eu-west-1.experiments.sagemaker.aws"
        assert address.headers == {SERVER_HEADER: arn}
        assert address.signing_region == "eu-west-1"

    @pytest.mark.parametrize(
        "uri",
        ["", "file:///tmp/mlruns", "sqlite:///x.db", "arn:aws:s3:::bucket", ARN + "/../other", "arn:aws:sagemaker"],
    )
    def test_refuses_anything_else(self, uri: str) -> None:
        with pytest.raises(ValueError, match="neither"):
            TrackingAddress.parse(uri)


class TestCall:
    def test_signs_for_a_managed_server_with_the_hash_of_the_body(self) -> None:
        mlflow = FakeMlflow()
        credentials = Credentials("AKIDEXAMPLE", "secret", "session")

        def sign(*arguments: Any) -> Mapping[str, str]:
            return signed_headers(credentials, *arguments)

        mlflow.client(ARN, sign).post("registered-models/create", {"name": "churn"})
        (headers,) = mlflow.headers
        assert "/eu-west-1/sagemaker-mlflow/aws4_request" in headers["Authorization"]
        assert SERVER_HEADER in headers["Authorization"]
        assert headers["X-Amz-Content-SHA256"] == hashlib.sha256(b'{"name": "churn"}').hexdigest()
        assert headers["X-Amz-Security-Token"] == "session"

    def test_pauses_longer_between_attempts_and_gives_up(self) -> None:
        mlflow = FakeMlflow(troubles={"registered-models/create": [500, 429, "lost", 503]})
        with pytest.raises(Unavailable, match="status 503"):
            mlflow.client().post("registered-models/create", {"name": "churn"})
        assert mlflow.pauses == sorted(mlflow.pauses)
        assert len(mlflow.pauses) == 3

    def test_does_not_repeat_a_refusal(self) -> None:
        mlflow = FakeMlflow(troubles={"registered-models/create": [403]})
        with pytest.raises(MlflowRefused):
            mlflow.client().post("registered-models/create", {"name": "churn"})
        assert len(mlflow.calls) == 1

    def test_does_not_take_a_page_of_html_for_an_answer(self) -> None:
        mlflow = FakeMlflow(troubles={"registered-models/create": [200] * 4})
        with pytest.raises(Unavailable):
            mlflow.client().post("registered-models/create", {"name": "churn"})


class _Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = b"x" * (MAX_ANSWER_BYTES + 1) if self.path == "/huge" else body + self.headers["X-Test"].encode()
        self.send_response(302 if self.path == "/moved" else 200)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments: Any) -> None:
        return


@pytest.fixture
def server() -> Iterator[str]:
    httpd = HTTPServer(("127.0.0.1", 0), _Server)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


class TestHttpSend:
    def test_sends_body_and_headers_and_reads_the_answer(self, server: str) -> None:
        answer = http_send()("POST", f"{server}/a", b"body ", {"X-Test": "header"})
        assert (answer.status, answer.body) == (200, b"body header")

    def test_does_not_follow_a_redirect_to_somewhere_else(self, server: str) -> None:
        assert http_send()("POST", f"{server}/moved", b"b", {"X-Test": "h"}).status == 302

    def test_gives_up_on_an_endless_answer(self, server: str) -> None:
        with pytest.raises(ConnectionFailed, match="more than"):
            http_send()("POST", f"{server}/huge", b"b", {"X-Test": "h"})

    def test_says_so_when_nobody_listens(self) -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{bound.getsockname()[1]}/"
        with pytest.raises(ConnectionFailed):
            http_send()("GET", address, b"", {})
