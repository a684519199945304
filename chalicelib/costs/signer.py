"""The key that seals receipts: KMS holds the private half, everybody may have the public one."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from chalicelib.costs.receipt import ALGORITHM, Sealed, digest, sealed

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

_PEM_WIDTH = 64


@dataclass(frozen=True)
class PublicKey:
    key_id: str
    pem: str


@dataclass(frozen=True)
class Signer:
    client: KMSClient
    key_id: str

    def seal(self, text: str) -> Sealed:
        answer = self.client.sign(
            KeyId=self.key_id, Message=digest(text), MessageType="DIGEST", SigningAlgorithm=ALGORITHM
        )
        return sealed(text, answer["Signature"], answer["KeyId"])

    @cached_property
    def public_key(self) -> PublicKey:
        """Asked for once in a process's life: the key never changes."""
        answer = self.client.get_public_key(KeyId=self.key_id)
        encoded = base64.b64encode(answer["PublicKey"]).decode()
        lines = [encoded[start : start + _PEM_WIDTH] for start in range(0, len(encoded), _PEM_WIDTH)]
        pem = "\n".join(("-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""))
        return PublicKey(answer["KeyId"], pem)
