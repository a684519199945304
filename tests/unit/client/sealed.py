"""A receipt, and a key to sign it with as KMS does."""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

KEY = ec.generate_private_key(ec.SECP256R1())


def pem(key: ec.EllipticCurvePrivateKey = KEY) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def contents(**changes: Any) -> dict[str, Any]:
    attempt = {
        "number": 1,
        "instance_type": "ml.m5.large",
        "instance_count": 1,
        "billable_seconds": 60,
        "price_per_hour_usd": "0.115",
        "spot_discount_percent": "0",
        "instances_usd": "0.001917",
        "storage_usd": "0.000096",
    }
    line = {"item": "state_transitions", "unit": "state transitions", "count": "9", "usd": "0.000225"}
    return {
        "job_id": "j-1",
        "name": "ünïted = wine",
        "user_id": "alice",
        "status": "completed",
        "month": "2031-05",
        "ended_at": "2031-05-01T10:05:00.000Z",
        "attempts": [attempt],
        "control_plane": [line],
        "totals": {
            "instances_usd": "0.001917",
            "storage_usd": "0.000096",
            "control_plane_usd": "0.000225",
            "total_usd": "0.002238",
        },
        **changes,
    }


def sealed(told: dict[str, Any], key: ec.EllipticCurvePrivateKey = KEY) -> dict[str, Any]:
    """The document that the service answers with."""
    signed = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    signature = key.sign(signed, ec.ECDSA(hashes.SHA256()))
    seal = {"algorithm": "ECDSA_SHA_256", "key_id": "arn:key", "value": base64.b64encode(signature).decode()}
    return {"receipt": told, "signature": seal}
