"""The bill of one job, made once and never changed: what it says, and how it is sealed.

What is signed are the bytes of `canonical`: JSON with sorted keys, no spaces, UTF-8, and no number but whole ones; money
and amounts are text. The signature is ECDSA over their SHA-256, on the curve P-256.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from chalicelib.clock import to_text
from chalicelib.costs.bill import AttemptLine, Bill
from chalicelib.costs.counts import Counts
from chalicelib.costs.prices import service_prices
from chalicelib.jobs.job import Allocation, Backend, Job

SCHEMA = 1
ALGORITHM: Final = "ECDSA_SHA_256"
ROUNDING = "to 0.000001 USD: attempts down, the control plane half to even; totals are sums of lines"


@dataclass(frozen=True)
class Sealed:
    """A receipt with its signature.

    Attributes:
        text: the signed bytes as text.
        signature: DER, base64.
        key_id: ARN of the KMS key.
    """

    text: str
    signature: str
    key_id: str

    def document(self) -> dict[str, Any]:
        seal = {
            "algorithm": ALGORITHM,
            "key_id": self.key_id,
            "sha256": digest(self.text).hex(),
            "value": self.signature,
        }
        return {"receipt": json.loads(self.text), "signature": seal}


def receipt_of(job: Job, bill: Bill, counts: Counts, issued_at: datetime) -> dict[str, Any]:
    """The receipt of a finished job.

    Args:
        counts: what the control plane used for the job until now.
    """
    control_plane = [
        {"item": price.item, "count": plain(count), "unit": price.unit, "usd": plain(usd)}
        | {"price_usd": plain(price.usd), "per": price.per}
        for price, count, usd in counts.priced()
    ]
    totals = {"instances_usd": bill.instance_usd, "storage_usd": bill.disk_usd, "control_plane_usd": counts.usd}
    return {
        "schema": SCHEMA,
        "job_id": job.job_id,
        "tenant": job.tenant,
        "user_id": job.user,
        "name": job.name,
        "framework": job.framework,
        "status": job.status.value,
        "month": job.reservation.month,
        "submitted_at": to_text(job.created_at),
        "ended_at": to_text(job.completed_at or job.updated_at),
        "issued_at": to_text(issued_at),
        "attempts": [_attempt(line) for line in bill.lines],
        "control_plane": control_plane,
        "totals": {
            **{name: plain(usd) for name, usd in totals.items()},
            "total_usd": plain(sum(totals.values(), Decimal(0))),
        },
        "prices": _prices([line.allocation for line in bill.lines] or [job.allocation], counts),
        "rounding": ROUNDING,
        "currency": "USD",
    }


def canonical(receipt: Mapping[str, Any]) -> str:
    return json.dumps(receipt, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def sealed(text: str, signature: bytes, key_id: str) -> Sealed:
    return Sealed(text, base64.b64encode(signature).decode(), key_id)


def plain(amount: Decimal) -> str:
    """Digits without an exponent and without zeros that say nothing."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _attempt(line: AttemptLine) -> dict[str, Any]:
    given = line.allocation
    return {
        "number": line.number,
        "backend": given.backend.value,
        "instance_type": given.instance_type,
        "instance_count": given.instance_count,
        "price_per_hour_usd": plain(given.price_per_hour_usd),
        "seconds": line.seconds,
        "billable_seconds": line.billable_seconds,
        "spot_discount_percent": plain(line.discount_percent),
        "instances_usd": plain(line.instance_usd),
        "disk_gb": given.disk_gb,
        "disk_price_per_hour_usd": plain(given.disk_price_per_hour_usd),
        "storage_usd": plain(line.disk_usd),
    }


def _prices(used: Sequence[Allocation], counts: Counts) -> list[dict[str, str]]:
    """Where each price is from, and since when."""
    instances = {
        (given.instance_type, given.price_source): {
            "item": given.instance_type,
            "source": given.price_source,
            "date": given.price_date,
        }
        for given in used
    }
    disks = {
        "batch_disk_gb_months" if given.backend is Backend.BATCH else "sagemaker_disk_gb_months": None
        for given in used
        if given.disk_price_per_hour_usd
    }
    listed = [*(price for price, _, _ in counts.priced()), *(service_prices()[disk] for disk in disks)]
    return [
        *instances.values(),
        *({"item": price.item, "source": price.source, "date": price.date} for price in listed),
    ]
