"""The signing secrets: encrypted by KMS for one webhook, opened by the function that signs, and by no other."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from chalicelib.webhooks.signature import SECRET_BYTES
from chalicelib.webhooks.webhook import SealedSecret, Webhook

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

# Of a process: a webhook is delivered to more than once, and KMS asks for money each time.
_KEPT_OPEN = 1000


def encryption_context(tenant: str, webhook_id: str) -> dict[str, str]:
    """What a ciphertext is bound to: KMS decrypts it for exactly these words."""
    return {"aimatrix:tenant": tenant, "aimatrix:webhook-id": webhook_id}


@dataclass(frozen=True)
class Vault:
    """
    Args:
        kms: the client, made when there is a secret.
        key: ARN of the key that encrypts.
        random: makes so many random bytes.
    """

    kms: Callable[[], KMSClient]
    key: str
    random: Callable[[int], bytes] = secrets.token_bytes
    _opened: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)

    def new(self, tenant: str, webhook_id: str, now: datetime) -> tuple[bytes, SealedSecret]:
        """A fresh signing key, as it is and as it is kept."""
        key = self.random(SECRET_BYTES)
        answer = self.kms().encrypt(
            KeyId=self.key, Plaintext=key, EncryptionContext=encryption_context(tenant, webhook_id)
        )
        return key, SealedSecret(base64.b64encode(answer["CiphertextBlob"]).decode(), now)

    def open(self, webhook: Webhook, now: datetime) -> list[bytes]:
        """The keys that a delivery is signed with now, the current one first."""
        return [self._open(webhook, secret.ciphertext) for secret in webhook.valid_secrets(now)]

    def _open(self, webhook: Webhook, ciphertext: str) -> bytes:
        found = self._opened.get(ciphertext)
        if found is None:
            answer = self.kms().decrypt(
                CiphertextBlob=base64.b64decode(ciphertext),
                KeyId=self.key,
                EncryptionContext=encryption_context(webhook.tenant, webhook.webhook_id),
            )
            if len(self._opened) >= _KEPT_OPEN:
                self._opened.clear()
            found = self._opened[ciphertext] = answer["Plaintext"]
        return found
