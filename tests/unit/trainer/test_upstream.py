"""Requests to a SageMaker-managed MLflow server, and the queue for those that wait."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from trainer.credentials import CredentialChain
from trainer.errors import AgentError
from trainer.sigv4 import EMPTY_SHA256, sign
from trainer.tracking.spool import Spool, Write
from trainer.tracking.upstream import Upstream
from trainer.transport import BROKEN, Transport

ARN = "arn:aws:sagemaker:eu-central-1:123456789012:mlflow-tracking-server/team"
CHAIN = CredentialChain({"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "t"})


class Recorder(Transport):
    """Keeps requests and answers none."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, str, dict[str, str]]] = []

    def send(self, method, url, headers, body=b""):  # type: ignore[no-untyped-def]
        self.sent.append((method, url, dict(headers)))
        raise ConnectionRefusedError("recorded")


def sent(uri: str, target: str) -> tuple[str, str, dict[str, str]]:
    recorder = Recorder()
    upstream = Upstream.from_uri(uri, credentials=CHAIN, transport=recorder, clock=lambda: 1_700_000_000.0)
    with pytest.raises(Exception, match="can't be reached"):
        upstream.send("GET", target, {"Accept": "*/*"})
    return recorder.sent[0]


class TestUpstream:
    def test_a_managed_server_gets_a_signature_and_its_own_name(self) -> None:
        method, url, headers = sent(ARN, "/api/2.0/mlflow/experiments/get-by-name?experiment_name=a+b")
        assert url == (
            "https://eu-central-1.experiments.sagemaker.aws/api/2.0/mlflow/experiments/get-by-name?experiment_name=a%20b"
        )
        assert headers["x-mlflow-sm-tracking-server-arn"] == ARN
        expected = sign(
            method,
            url,
            {"x-mlflow-sm-tracking-server-arn": ARN},
            payload_sha256=EMPTY_SHA256,
            credentials=CHAIN.get(),
            region="eu-central-1",
            service="sagemaker-mlflow",
            now=1_700_000_000.0,
        )
        assert headers == {"Accept": "*/*", **expected}

    def test_a_server_by_url_keeps_its_path_and_gets_its_password(self) -> None:
        _, url, headers = sent("http://user:pa%40ss@mlflow.example:5000/base/", "/api/2.0/x")
        assert url == "http://mlflow.example:5000/base/api/2.0/x"
        assert headers["Authorization"] == "Basic dXNlcjpwYUBzcw=="

    @pytest.mark.parametrize(
        "uri",
        [
            "",
            "mlflow",
            "file:///x",
            "http://",
            "arn:aws:s3:::b",
            "arn:aws-cn:sagemaker:x:1:a/b",
            "arn:aws:sagemaker::1:a/b",
        ],
    )
    def test_any_other_address_is_refused(self, uri: str) -> None:
        with pytest.raises(AgentError, match="AIMATRIX_MLFLOW_TRACKING_URI"):
            Upstream.from_uri(uri, credentials=CHAIN)

    def test_a_refused_connection_counts_as_broken(self) -> None:
        assert issubclass(ConnectionRefusedError, BROKEN)


class TestSpool:
    def test_gives_back_in_order_what_it_took(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path)
        for number in range(100):
            assert spool.append(Write("POST", f"/{number}", b"\xff" * number * 1000))
        for number in range(100):
            write = spool.peek()
            assert write is not None
            assert (write.target, write.body) == (f"/{number}", b"\xff" * number * 1000)
            spool.pop()
        assert len(spool) == 0

    def test_leaves_no_file_behind(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path)
        spool.append(Write("POST", "/", b"1"))
        assert list(tmp_path.iterdir()) == []

    def test_refuses_above_its_limit_and_counts(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path, limit=100)
        assert spool.append(Write("POST", "/", b"1"))
        assert not spool.append(Write("POST", "/", b"1" * 200))
        assert spool.dropped == 1
        spool.pop()
        assert spool.append(Write("POST", "/", b"1" * 50))

    def test_a_reader_waits_for_a_write_and_learns_of_the_end(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path)
        found: list[Write | None] = []
        reader = threading.Thread(target=lambda: found.append(spool.peek()))
        reader.start()
        spool.append(Write("POST", "/x", b""))
        reader.join(5)
        assert [write.target for write in found if write] == ["/x"]
        spool.pop()
        spool.close()
        assert spool.peek() is None

    def test_shows_what_is_left(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path)
        for name in "ab":
            spool.append(Write("POST", name, b"{}"))
        spool.pop()
        assert spool.rest() == b'["POST", "b", "{}"]\n'
        assert not spool.wait_empty(0)
