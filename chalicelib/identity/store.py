"""The issuer's last good keys in DynamoDB, for processes that start while the issuer is away.

    pk      sk                      what
    jwks    <the JWKS address>      the document as it was last fetched

They lie in the table `keys`, which the authorizer reads anyway.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from chalicelib.aws import AwsError
from chalicelib.log import logger
from chalicelib.table import ConditionFailed, Table

# Every process fetches; only a change is written.
_CHANGED = "attribute_not_exists(digest) OR digest <> :digest"


@dataclass(frozen=True)
class LastGoodKeys:
    table: Table
    url: str

    def load(self) -> bytes | None:
        try:
            item = self.table.get("jwks", self.url)
        except AwsError as error:
            logger.warning("could not read the issuer's last good keys", extra={"detail": str(error)})
            return None
        return str(item["document"]).encode() if item else None

    def save(self, document: bytes) -> None:
        digest = hashlib.sha256(document).hexdigest()
        text = document.decode("utf-8", "replace")
        write = self.table.change(
            "jwks", self.url, {"document": text, "digest": digest}, condition=_CHANGED, values={":digest": digest}
        )
        try:
            self.table.write(write)
        except ConditionFailed:
            return
        except AwsError as error:
            logger.warning("could not keep the issuer's keys", extra={"detail": str(error)})
