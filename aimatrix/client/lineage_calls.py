"""The call about lineage."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from aimatrix.client.lineage import Lineage
from aimatrix.client.transport import Transport


@dataclass(frozen=True)
class LineageCalls:
    """``client.lineage``."""

    transport: Transport

    def get(self, node_id: str) -> Lineage:
        """Where a data version, a job, a model or a deployment comes from, and what came of it.

        Raises:
            NotFound: there is no such thing, or none that the caller may see.
        """
        return Lineage.from_document(self.transport.document("GET", f"/lineage/{quote(node_id, safe='')}"))
