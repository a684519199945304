"""Receipts as values, and the check that one was not altered: it needs the public key and nothing of the service.

What is signed is the receipt as canonical JSON: sorted keys, no spaces, UTF-8. The signature is ECDSA over its SHA-256 on
the curve P-256, in DER.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from aimatrix.client.errors import ConfigurationError

ALGORITHM = "ECDSA_SHA_256"


@dataclass(frozen=True)
class Receipt:
    """What a finished job cost, with the service's signature."""

    job_id: str
    total_usd: Decimal
    contents: Mapping[str, Any] = field(repr=False)
    signature: Mapping[str, Any] = field(repr=False)
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Receipt:
        """
        Raises:
            ValueError: it is no receipt.
        """
        try:
            contents, signature = dict(document["receipt"]), dict(document["signature"])
            total = Decimal(contents["totals"]["total_usd"])
            return cls(str(contents["job_id"]), total, contents, signature, document)
        except (KeyError, TypeError, InvalidOperation) as error:
            raise ValueError("this document is no receipt") from error

    @property
    def signed_bytes(self) -> bytes:
        return json.dumps(self.contents, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def problems(self, public_key: str) -> list[str]:
        """Why the receipt is not to be believed; empty when it is as the service signed it and adds up.

        Args:
            public_key: PEM, of the service that is trusted. Where it comes from decides what the check is worth.

        Raises:
            ConfigurationError: the library that checks signatures is not installed.
            ValueError: the key is none that signs receipts.
        """
        if self.signature.get("algorithm") != ALGORITHM:
            return [f"it is signed with {self.signature.get('algorithm')}, not {ALGORITHM}"]
        found = [] if self._is_signed(public_key) else ["the signature is not that of this key over this receipt"]
        return found + self._sums()

    def _is_signed(self, public_key: str) -> bool:
        try:
            from cryptography.exceptions import InvalidSignature
            from cryptography.hazmat.primitives import hashes, serialization
            from cryptography.hazmat.primitives.asymmetric import ec
        except ImportError as error:
            cure = "install it with: pip install 'aimatrix-training[receipts]'"
            raise ConfigurationError(f"checking a signature needs the library cryptography; {cure}") from error
        key = serialization.load_pem_public_key(public_key.encode())
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("the key is not on the curve P-256")  # noqa: TRY004  a value of the wrong kind, not a type
        try:
            signature = base64.b64decode(str(self.signature.get("value")), validate=True)
            key.verify(signature, self.signed_bytes, ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, binascii.Error):
            return False
        return True

    def _sums(self) -> list[str]:
        """Totals that are not the sum of their lines."""
        attempts, control_plane = self.contents.get("attempts", []), self.contents.get("control_plane", [])
        totals = self.contents["totals"]
        expected = {
            "instances_usd": sum((Decimal(line["instances_usd"]) for line in attempts), Decimal(0)),
            "storage_usd": sum((Decimal(line["storage_usd"]) for line in attempts), Decimal(0)),
            "control_plane_usd": sum((Decimal(line["usd"]) for line in control_plane), Decimal(0)),
        }
        expected["total_usd"] = sum(expected.values(), Decimal(0))
        return [
            f"{name} is {totals.get(name)}, but its lines come to {usd}"
            for name, usd in expected.items()
            if Decimal(totals.get(name, "NaN")) != usd
        ]
