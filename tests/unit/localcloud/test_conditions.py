"""What policies may ask of a request to KMS."""

from __future__ import annotations

import json

import pytest

from localcloud.seam.conditions import encryption_context_keys


def test_an_encryption_context_becomes_condition_keys() -> None:
    body = json.dumps({"KeyId": "k", "EncryptionContext": {"aimatrix:tenant": "acme", "b": "c"}}).encode()
    assert encryption_context_keys(body) == {
        "kms:EncryptionContext:aimatrix:tenant": "acme",
        "kms:EncryptionContext:b": "c",
        "kms:EncryptionContextKeys": ["aimatrix:tenant", "b"],
    }


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"no json", b'{"EncryptionContext": {}}', b'{"EncryptionContext": 5}']
)
def test_without_one_there_are_none(body: bytes) -> None:
    assert encryption_context_keys(body) == {}
