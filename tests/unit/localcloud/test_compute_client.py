"""What the Step Functions integrations make of the compute emulator's answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from localcloud.seam.compute_client import ComputeClient, ComputeError, ComputeUnavailableError, Keys


@contextmanager
def answering(status: int, body: bytes) -> Iterator[ComputeClient]:
    """A client of an emulator that answers everything alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield ComputeClient(f"http://127.0.0.1:{server.server_port}", "secret")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class TestAnswers:
    def test_an_error_of_the_emulator_keeps_its_name(self) -> None:
        with answering(400, b'{"__type": "ResourceInUse", "message": "it exists"}') as client:
            with pytest.raises(ComputeError) as error:
                client.sagemaker("CreateTrainingJob", {}, Keys("key", "secret"))
            assert error.value.code == "ResourceInUse"

    @pytest.mark.parametrize("status", [200, 500])
    def test_words_that_are_not_the_emulators_mean_that_nothing_is_known(self, status: int) -> None:
        with (
            answering(status, b"Internal Server Error") as client,
            pytest.raises(ComputeUnavailableError, match="Internal"),
        ):
            client.sagemaker("CreateTrainingJob", {}, Keys("key", "secret"))
