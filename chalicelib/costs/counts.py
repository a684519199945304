"""How much of what AWS charges for was used, by the names of the price list: values that add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from chalicelib.calls import Calls
from chalicelib.costs.prices import Price, rounded, service_prices

# S3 charges more for these, nothing for deletions, and the lesser price for all others.
# https://aws.amazon.com/s3/pricing/
_S3_WRITES = frozenset(
    {"PutObject", "CopyObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "ListObjectsV2"}
)
_S3_FREE = frozenset({"DeleteObject", "DeleteObjects", "AbortMultipartUpload"})
_KMS_ASYMMETRIC = frozenset({"Sign", "Verify", "GetPublicKey"})


@dataclass(frozen=True)
class Counts:
    """Price item → amount."""

    amounts: Mapping[str, Decimal] = field(default_factory=dict)

    @classmethod
    def of_calls(cls, calls: Calls) -> Counts:
        """What calls are charged as. Those to Step Functions, SageMaker and Batch are free."""
        amounts = {"dynamodb_read_units": calls.read_units, "dynamodb_write_units": calls.write_units}
        for (service, operation), times in calls.made.items():
            if item := _item(service, operation):
                amounts[item] = amounts.get(item, Decimal(0)) + times
        return cls({item: amount for item, amount in amounts.items() if amount})

    @classmethod
    def of_invocation(cls, milliseconds: int, memory_mb: int) -> Counts:
        """One run of a Lambda function."""
        gb_seconds = Decimal(milliseconds) * memory_mb / (1000 * 1024)
        return cls({"lambda_requests": Decimal(1), "lambda_gb_seconds": gb_seconds})

    def __add__(self, other: Counts) -> Counts:
        items = [*self.amounts, *(item for item in other.amounts if item not in self.amounts)]
        none = Decimal(0)
        return Counts({item: self.amounts.get(item, none) + other.amounts.get(item, none) for item in items})

    def share(self, part: int, whole: int) -> Counts:
        """What falls to one of several jobs."""
        return Counts({item: amount * part / whole for item, amount in self.amounts.items()}) if part != whole else self

    def priced(self) -> list[tuple[Price, Decimal, Decimal]]:
        """Price, amount and rounded USD of each item, in the order of the price list."""
        known = [price for item, price in service_prices().items() if self.amounts.get(item)]
        return [(price, self.amounts[price.item], rounded(price.of(self.amounts[price.item]))) for price in known]

    @property
    def usd(self) -> Decimal:
        return sum((usd for _, _, usd in self.priced()), Decimal(0))


def _item(service: str, operation: str) -> str | None:
    match service:
        case "s3":
            if operation in _S3_FREE:
                return None
            return "s3_writes" if operation in _S3_WRITES else "s3_reads"
        case "kms":
            return "kms_signatures" if operation in _KMS_ASYMMETRIC else "kms_requests"
        case "events":
            return "events" if operation == "PutEvents" else None
    return None
