"""The S3 client against a server that fails in every way S3 fails."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.functional.trainer.fake_s3 import FakeS3
from trainer.credentials import CredentialChain
from trainer.errors import ObjectMissing, OutOfReach, StorageError
from trainer.s3 import S3Client, S3Uri
from trainer.transport import Backoff, FileSlice, Transport
from trainer.upload import upload

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}


class Pauses:
    """Stands in for sleep, and remembers."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def transport() -> Iterator[Transport]:
    transport = Transport(connect_seconds=2, read_seconds=5)
    yield transport
    transport.close()


@pytest.fixture
def client(s3: FakeS3, pauses: Pauses, transport: Transport) -> S3Client:
    backoff = Backoff(tries=4, sleep=pauses, draw=lambda: 1.0)
    return S3Client(CredentialChain(KEYS), region="us-east-1", endpoint=s3.url, transport=transport, backoff=backoff)


URI = S3Uri("b", "dir/a b+ü.bin")


class TestGet:
    def test_reads_keys_with_any_character(self, client: S3Client, s3: FakeS3) -> None:
        s3.objects["b/dir/a b+ü.bin"] = b"content"
        assert client.get(URI, limit=100) == b"content"

    def test_an_object_that_is_not_there_is_told_apart(self, client: S3Client) -> None:
        with pytest.raises(ObjectMissing, match="does not exist"):
            client.get(URI, limit=100)

    def test_an_object_above_the_limit_is_refused(self, client: S3Client, s3: FakeS3) -> None:
        s3.objects["b/dir/a b+ü.bin"] = b"x" * 101
        with pytest.raises(StorageError, match="larger than 100 bytes"):
            client.get(URI, limit=100)

    def test_server_errors_are_tried_again_after_growing_pauses(
        self, client: S3Client, s3: FakeS3, pauses: Pauses
    ) -> None:
        s3.objects["b/dir/a b+ü.bin"] = b"content"
        s3.faults = [500, 503, 429]
        assert client.get(URI, limit=100) == b"content"
        assert pauses.seconds == [0.1, 0.2, 0.4]

    def test_gives_up_with_what_the_server_said(self, client: S3Client, s3: FakeS3) -> None:
        s3.faults = [503] * 4
        with pytest.raises(StorageError, match="InternalError 503: try again"):
            client.get(URI, limit=100)

    def test_a_refusal_is_not_tried_again(self, client: S3Client, s3: FakeS3) -> None:
        s3.faults = [403]
        with pytest.raises(StorageError, match="403"):
            client.get(URI, limit=100)
        assert len(s3.requests) == 1


class TestDownload:
    def test_goes_on_where_it_broke_off(self, client: S3Client, s3: FakeS3, tmp_path: Path) -> None:
        body = bytes(range(256)) * 4000
        s3.objects["b/dir/a b+ü.bin"] = body
        s3.faults = [-1]
        assert client.download(URI, tmp_path / "deep" / "file") == len(body)
        assert (tmp_path / "deep" / "file").read_bytes() == body
        assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file"]

    def test_leaves_no_half_file_under_the_final_name(self, client: S3Client, s3: FakeS3, tmp_path: Path) -> None:
        s3.objects["b/dir/a b+ü.bin"] = b"x" * 1000
        s3.faults = [-1, 503, 503, 503]
        with pytest.raises(StorageError):
            client.download(URI, tmp_path / "file")
        assert not (tmp_path / "file").exists()


class TestUpload:
    @pytest.mark.parametrize("size", [0, 1, 300_000])
    def test_sends_checksum_and_metadata(self, client: S3Client, s3: FakeS3, tmp_path: Path, size: int) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"z" * size)
        sha256 = hashlib.sha256(b"z" * size).hexdigest()
        assert upload(client, path, URI) == (size, sha256)
        assert s3.objects["b/dir/a b+ü.bin"] == b"z" * size
        assert s3.metadata["b/dir/a b+ü.bin"] == {"sha256": sha256}

    def test_repeats_a_body_that_was_sent_already(self, client: S3Client, s3: FakeS3, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"z" * 1000)
        s3.faults = [503, 500]
        upload(client, path, URI)
        assert s3.objects["b/dir/a b+ü.bin"] == b"z" * 1000

    def test_large_files_go_in_parts(self, client: S3Client, s3: FakeS3, tmp_path: Path) -> None:
        path = tmp_path / "file"
        body = bytes(range(256)) * (70 * 4096)
        path.write_bytes(body)
        s3.faults = [0, 503]
        size, sha256 = upload(client, path, URI)
        assert (size, sha256) == (len(body), hashlib.sha256(body).hexdigest())
        assert s3.objects["b/dir/a b+ü.bin"] == body
        assert s3.metadata["b/dir/a b+ü.bin"] == {"sha256": sha256}
        assert sum("partNumber" in path for _, path in s3.requests) >= 3

    def test_an_upload_in_parts_that_fails_is_taken_back(self, client: S3Client, s3: FakeS3, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"x" * 1000)
        s3.faults = [0, 403]
        with pytest.raises(StorageError):
            upload(client, path, URI, multipart_above=10)
        assert s3.uploads == {}
        assert s3.requests[-1][0] == "DELETE"


class TestList:
    def test_follows_pages_and_decodes_names(self, client: S3Client, s3: FakeS3) -> None:
        names = ["p/a&b.csv", "p/b c.csv", "p/ü.csv", "p/x/y.csv", "p/%41.csv"]
        for name in names:
            s3.objects[f"b/{name}"] = b"12"
        found = {uri.key: size for uri, size in client.list(S3Uri("b", "p/"))}
        assert found == dict.fromkeys(names, 2)


class TestTransport:
    def test_replaces_a_connection_that_the_server_has_closed(self, client: S3Client, s3: FakeS3) -> None:
        s3.objects["b/dir/a b+ü.bin"] = b"1"
        s3.faults = [0, -1]
        assert client.get(URI, limit=10) == b"1"
        assert client.get(URI, limit=10) == b"1"

    def test_says_when_nobody_answers(self, pauses: Pauses) -> None:
        backoff = Backoff(tries=2, sleep=pauses)
        client = S3Client(CredentialChain(KEYS), region="x", endpoint="http://127.0.0.1:1", backoff=backoff)
        with pytest.raises(StorageError, match="can't be reached"):
            client.get(URI, limit=10)

    def test_a_server_that_is_started_again_is_waited_for(self, s3: FakeS3, transport: Transport) -> None:
        """For a time, however many tries that takes; the clock goes on with each pause."""
        s3.objects["b/dir/a b+ü.bin"] = b"1"
        s3.faults = [503] * 20
        now = 0.0

        def pause(seconds: float) -> None:
            nonlocal now
            now += seconds

        def waiting(patience: float) -> S3Client:
            backoff = Backoff(tries=2, patience=patience, cap=2, sleep=pause, draw=lambda: 1.0, clock=lambda: now)
            chain = CredentialChain(KEYS)
            return S3Client(chain, region="x", endpoint=s3.url, transport=transport, backoff=backoff)

        with pytest.raises(OutOfReach, match="503"):
            waiting(10).get(URI, limit=10)
        assert 10 <= now < 12
        assert waiting(60).get(URI, limit=10) == b"1"

    def test_a_slice_of_a_file_that_shrinks_is_an_error(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"12345")
        with pytest.raises(OSError, match="shorter"):
            list(FileSlice(path, 0, 10))


@contextmanager
def credentials_server(answer: Callable[[str | None], tuple[int, Any]]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, document = answer(self.headers.get("Authorization"))
            body = json.dumps(document).encode()
            self.send_response_only(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing to say."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/creds"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class TestCredentials:
    def test_come_from_the_container_endpoint_with_its_token_and_are_renewed(
        self, pauses: Pauses, transport: Transport
    ) -> None:
        asked: list[str | None] = []

        def answer(authorization: str | None) -> tuple[int, Any]:
            asked.append(authorization)
            key = f"AK{len(asked)}"
            document = {
                "AccessKeyId": key,
                "SecretAccessKey": "s",
                "Token": "t",
                "Expiration": "1970-01-01T01:00:00Z",
            }
            return 200, document

        now = 0.0
        with credentials_server(answer) as url:
            environ = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": url, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "secret"}
            chain = CredentialChain(environ, clock=lambda: now, transport=transport, backoff=Backoff(sleep=pauses))
            assert chain.get().access_key == "AK1"
            now = 3299
            assert chain.get().access_key == "AK1"
            now = 3301
            assert chain.get().access_key == "AK2"
            assert chain.get(renew=True).access_key == "AK3"
        assert set(asked) == {"secret"}

    def test_ones_that_s3_has_forgotten_are_replaced(self, s3: FakeS3, pauses: Pauses, transport: Transport) -> None:
        given = iter(("AK1", "AK2", "AK2", "AK2"))

        def answer(_: str | None) -> tuple[int, Any]:
            return 200, {"AccessKeyId": next(given), "SecretAccessKey": "s", "Expiration": "2999-01-01T00:00:00Z"}

        s3.objects["b/dir/a b+ü.bin"] = b"content"
        s3.forgotten_keys = {"AK1"}
        with credentials_server(answer) as url:
            chain = CredentialChain({"AWS_CONTAINER_CREDENTIALS_FULL_URI": url}, transport=transport)
            client = S3Client(chain, region="x", endpoint=s3.url, transport=transport, backoff=Backoff(sleep=pauses))
            assert client.get(URI, limit=100) == b"content"
            assert len(s3.requests) == 2
            # Where the same keys come again, asking again is of no use.
            s3.forgotten_keys.add("AK2")
            with pytest.raises(StorageError, match="InvalidAccessKeyId"):
                client.get(URI, limit=100)
            assert len(s3.requests) == 3

    def test_fixed_ones_that_s3_does_not_know_fail_at_once(self, client: S3Client, s3: FakeS3) -> None:
        s3.forgotten_keys = {"AKIDEXAMPLE"}
        with pytest.raises(StorageError, match="InvalidAccessKeyId"):
            client.get(URI, limit=100)
        assert len(s3.requests) == 1

    def test_old_ones_are_used_while_the_endpoint_is_away(self, pauses: Pauses, transport: Transport) -> None:
        up = True

        def answer(_: str | None) -> tuple[int, Any]:
            document = {"AccessKeyId": "A", "SecretAccessKey": "s", "Token": "t", "Expiration": "1970-01-01T01:00:00Z"}
            return (200, document) if up else (500, {})

        now = 0.0
        with credentials_server(answer) as url:
            chain = CredentialChain(
                {"AWS_CONTAINER_CREDENTIALS_FULL_URI": url},
                clock=lambda: now,
                transport=transport,
                backoff=Backoff(tries=2, sleep=pauses),
            )
            chain.get()
            up, now = False, 3500
            assert chain.get().access_key == "A"
            now = 3601
            with pytest.raises(StorageError, match="can't be reached"):
                chain.get()

    def test_keys_in_the_environment_win(self) -> None:
        credentials = CredentialChain({**KEYS, "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1"}).get()
        assert (credentials.access_key, credentials.secret_key, credentials.token) == ("AKIDEXAMPLE", "secret", None)

    def test_plain_http_goes_to_the_containers_own_addresses_only(self) -> None:
        chain = CredentialChain({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.169.254/latest"})
        with pytest.raises(StorageError, match="only https, loopback"):
            chain.get()

    def test_their_absence_names_the_variables(self) -> None:
        with pytest.raises(StorageError, match="AWS_ACCESS_KEY_ID"):
            CredentialChain({}).get()
