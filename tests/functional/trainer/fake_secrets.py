"""KMS and Secrets Manager in memory, over the JSON protocol, which check what the real ones would check."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Context = dict[str, str]


@dataclass
class FakeSecrets:
    """`secrets` maps ARN to what GetSecretValue answers. `refusals` is taken from the front: one answers one request."""

    sealed: dict[str, tuple[str, Context]] = field(default_factory=dict)
    secrets: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    refusals: list[tuple[int, str]] = field(default_factory=list)
    url: str = ""

    def seal(self, value: str, variable: str, **changes: str) -> dict[str, str]:
        """A value as the service puts it into spec.json."""
        ciphertext = base64.b64encode(f"ciphertext {len(self.sealed)}".encode()).decode()
        context = {"aimatrix:tenant": "default", "aimatrix:job-id": "job-1", "aimatrix:variable": variable}
        self.sealed[ciphertext] = (value, {**context, **changes})
        return {"ciphertext": ciphertext}

    def answer(self, target: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.refusals:
            status, code = self.refusals.pop(0)
            return status, {"__type": f"com.amazonaws#{code}", "message": "not today"}
        if target == "TrentService.Decrypt":
            value, context = self.sealed.get(asked["CiphertextBlob"], ("", {}))
            if context != asked["EncryptionContext"]:
                return 400, {"__type": "InvalidCiphertextException"}
            return 200, {"Plaintext": base64.b64encode(value.encode()).decode()}
        if target == "secretsmanager.GetSecretValue":
            found = self.secrets.get(asked["SecretId"])
            if found is None:
                message = "Secrets Manager can't find the specified secret."
                return 400, {"__type": "ResourceNotFoundException", "Message": message}
            return 200, found
        return 400, {"__type": "UnknownOperationException"}


@contextmanager
def serve_secrets() -> Iterator[FakeSecrets]:
    """Runs both on a free port."""
    fake = FakeSecrets()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            target = self.headers["X-Amz-Target"]
            fake.requests.append(target)
            fake.authorizations.append(self.headers["Authorization"])
            assert self.headers["Content-Type"] == "application/x-amz-json-1.1"
            status, document = fake.answer(target, json.loads(body))
            answer = json.dumps(document).encode()
            self.send_response_only(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Tests read `requests`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
