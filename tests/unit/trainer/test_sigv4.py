"""The signer, with botocore as the oracle."""

from __future__ import annotations

import datetime
import hashlib
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from trainer.credentials import Credentials, parse_time
from trainer.sigv4 import sign

NOW = 1_700_000_000.0
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_categories=["Cs", "Cc"]), max_size=12)


def oracle(method: str, url: str, headers: dict[str, str], body: bytes, token: str | None, service: str) -> str:
    """The Authorization header that botocore makes at the same moment."""
    kind = S3SigV4Auth if service == "s3" else SigV4Auth
    auth = kind(BotoCredentials("AKID", "secret/+", token), service, "eu-central-1")
    moment = datetime.datetime.fromtimestamp(NOW, datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    request = AWSRequest(method, url, headers=dict(headers), data=body)
    request.context["timestamp"] = moment
    request.context["payload_signing_enabled"] = True
    request.headers["X-Amz-Date"] = moment
    if token:
        request.headers["X-Amz-Security-Token"] = token
    request.headers["X-Amz-Content-SHA256"] = hashlib.sha256(body).hexdigest()
    canonical = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, canonical), request)
    names = auth.signed_headers(auth.headers_to_sign(request))
    return f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, SignedHeaders={names}, Signature={signature}"


def ours(method: str, url: str, headers: dict[str, str], body: bytes, token: str | None, service: str) -> str:
    return sign(
        method,
        url,
        headers,
        payload_sha256=hashlib.sha256(body).hexdigest(),
        credentials=Credentials("AKID", "secret/+", token),
        region="eu-central-1",
        service=service,
        now=NOW,
    )["Authorization"]


@pytest.mark.parametrize("service", ["s3", "sagemaker-mlflow"])
@given(
    segments=st.lists(TEXT.filter(lambda text: text not in {"", ".", ".."}), max_size=4),
    query=st.dictionaries(TEXT.filter(bool), TEXT, max_size=4),
    body=st.binary(max_size=20),
    token=st.sampled_from([None, "a/token+with=signs"]),
    header=st.text("abc  xyz", max_size=10),
)
def test_signs_as_botocore_does(
    service: str, segments: list[str], query: dict[str, str], body: bytes, token: str | None, header: str
) -> None:
    url = "https://bucket.s3.eu-central-1.amazonaws.com:8443/" + "/".join(quote(part, safe="-_.~") for part in segments)
    if query:
        url += "?" + "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in query.items())
    headers = {"Content-Type": "application/json", "X-Amz-Meta-Note": header}
    expected = oracle("PUT", url, headers, body, token, service)
    assert ours("PUT", url, headers, body, token, service) == expected


def test_an_empty_path_is_the_root() -> None:
    url = "https://experiments.example"
    assert ours("GET", url, {}, b"", None, "sagemaker-mlflow") == oracle("GET", url, {}, b"", None, "sagemaker-mlflow")


@pytest.mark.parametrize("text", ["2030-01-31T12:00:00Z", "2030-01-31T12:00:00.123456Z", "2030-01-31T12:00:00+00:00"])
def test_expirations_are_utc_whatever_follows_the_seconds(text: str) -> None:
    assert parse_time(text) == datetime.datetime(2030, 1, 31, 12, tzinfo=datetime.UTC).timestamp()
