"""The public keys that a tenant's receipts are checked with.

A receipt is signed with the key of the installation that made it, which stays there. So the public half goes with the
receipts, as a record of the tenant's: after a second move, the first installation may be gone.

    pk                       sk                      what
    <tenant>#receipt-keys    <ARN of a KMS key>      its public half, as PEM
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from backup.belongings import Stored
from backup.installation import Installation


@dataclass
class ReceiptKeys:
    """The keys of the receipts that have passed.

    Attributes:
        pems: by the key's ARN; None for one that neither the records nor this account's KMS has.
    """

    installation: Installation
    tenant: str
    pems: dict[str, str | None] = field(default_factory=dict)

    def added_to(self, usage: Iterable[Stored]) -> Iterator[Stored]:
        """The records of usage, and behind them one for each key."""
        signed_with: set[str] = set()
        for item in usage:
            if item["pk"]["S"] == self._pk:
                self.pems[item["sk"]["S"]] = item["pem"]["S"]
                continue
            if item["sk"]["S"] == "receipt":
                signed_with.add(item["key_id"]["S"])
            yield item
        for key_id in signed_with - self.pems.keys():
            self.pems[key_id] = self.installation.public_key(key_id)
        for key_id, pem in sorted(self.known().items()):
            yield {"pk": {"S": self._pk}, "sk": {"S": key_id}, "pem": {"S": pem}}

    def known(self) -> dict[str, str]:
        return {key_id: pem for key_id, pem in self.pems.items() if pem is not None}

    @property
    def _pk(self) -> str:
        return f"{self.tenant}#receipt-keys"
