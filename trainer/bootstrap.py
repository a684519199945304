"""Fetches the agent from AIMATRIX_AGENT_URI and becomes it. A Batch job definition's command carries this source."""

# ruff: noqa: S310, S311, S606, PTH118, PTH123
from __future__ import annotations

import hashlib
import hmac
import json
import os
import random
import sys
import tempfile
import time
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen


def keys(env: dict[str, str]) -> tuple[str, str, str | None]:
    if env.get("AWS_ACCESS_KEY_ID"):
        return env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], env.get("AWS_SESSION_TOKEN")
    path = env.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    url = f"http://169.254.170.2{path}" if path else env["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    token = env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN")
    with urlopen(Request(url, headers={"Authorization": token} if token else {}), timeout=5) as answer:
        found = json.load(answer)
    return found["AccessKeyId"], found["SecretAccessKey"], found.get("Token")


def fetch(env: dict[str, str]) -> bytes:
    uri = urlsplit(env["AIMATRIX_AGENT_URI"])
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1"
    base = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or f"https://s3.{region}.amazonaws.com"
    url = f"{base.rstrip('/')}/{uri.netloc}{quote(uri.path)}"
    key_id, secret, token = keys(env)
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    body = hashlib.sha256().hexdigest()
    headers = {"host": urlsplit(url).netloc, "x-amz-content-sha256": body, "x-amz-date": now}
    if token:
        headers["x-amz-security-token"] = token
    names = ";".join(headers)
    signed = "".join(f"{name}:{value}\n" for name, value in headers.items())
    request = "\n".join(("GET", urlsplit(url).path, "", signed, names, body))
    scope = f"{now[:8]}/{region}/s3/aws4_request"
    key = b"AWS4" + secret.encode()
    for part in (
        *scope.split("/"),
        f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}",
    ):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    )
    with urlopen(Request(url, headers=headers), timeout=60) as answer:
        content: bytes = answer.read()
        return content


def passing(error: Exception) -> bool:
    if not isinstance(error, HTTPError):
        return True
    # Keys that S3 does not know any more: the next try asks for others.
    text = error.read(65536)
    return error.code >= 429 or b"InvalidAccessKeyId" in text or b"ExpiredToken" in text


begun, wait = time.monotonic(), 0.25
while True:
    try:
        agent = fetch(dict(os.environ))
        break
    except (OSError, ValueError) as error:
        if time.monotonic() - begun > 60 or not passing(error):
            sys.exit(f"aimatrix: the agent can't be fetched: {error}")
    time.sleep(random.random() * wait)
    wait = min(8, 2 * wait)
path = os.path.join(tempfile.mkdtemp(), "agent.zip")
with open(path, "wb") as file:
    file.write(agent)
os.execv(sys.executable, [sys.executable, path, *sys.argv[1:]])
