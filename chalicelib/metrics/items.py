"""The shape of a series in its table: keys, and chunks as items."""

from __future__ import annotations

import hashlib

from chalicelib.metrics.chunk import Chunk
from chalicelib.metrics.point import HALF, MetricPoint
from chalicelib.metrics.thinning import thin
from chalicelib.table import Item

BRIEF_POINTS = 64
"""That stand for a chunk, or for all that an outline is of."""
# A name takes at most so many of the 2,048 bytes of a partition key and of the 1,024 of a sort key.
MAX_KEY_BYTES, _BEGINNING_BYTES = 980, 800


def series_pk(tenant: str, job_id: str, name: str) -> str:
    return f"{tenant}#{job_id}#{key_of(name)}"


def full_pk(pk: str) -> str:
    """Where the full chunks of a series lie: apart, so that all the rest of it is a small partition."""
    return f"{pk}#full"


def job_of(pk: str) -> tuple[str, str]:
    """Tenant and id of the job that a partition is about."""
    tenant, job_id, *_ = pk.split("#", 2)
    return tenant, job_id


def key_of(name: str) -> str:
    """A name as keys have it: readable; where they have too few bytes, its beginning and a hash."""
    escaped = name.replace("%", "%25").replace("#", "%23")
    if len(escaped.encode()) <= MAX_KEY_BYTES:
        return escaped
    beginning = escaped.encode()[:_BEGINNING_BYTES].decode(errors="ignore")
    # No name has these two characters side by side when it is escaped.
    return f"{beginning}%~{hashlib.sha256(name.encode()).hexdigest()}"


def step_key(step: int) -> str:
    """What the keys of chunks that begin with a step begin with."""
    return f"{step + HALF:020d}"


def chunk_item(pk: str, kind: str, chunk: Chunk, key: str | None = None) -> Item:
    """
    Args:
        key: of the chunk that it stands for; its own by default.
    """
    where = full_pk(pk) if kind == "full" else pk
    return {"pk": where, "sk": f"{kind}#{key or chunk.key}", "count": chunk.count, "body": chunk.body}


def brief_item(pk: str, name: str, chunk: Chunk) -> Item:
    """Under the key of its chunk, so that either leads to the other."""
    return chunk_item(pk, "brief", Chunk.of(thin(chunk.points(name), BRIEF_POINTS)), chunk.key)


def chunk_from(item: Item) -> Chunk:
    _, first, last, _ = item["sk"].split("#")
    return Chunk(int(first) - HALF, int(last) - HALF, item["count"], item["body"])


def key_from(item: Item) -> str:
    """The key of the chunk that an item is, or stands for."""
    return str(item["sk"]).partition("#")[2]


def points_of(item: Item) -> list[MetricPoint]:
    """The points of an item that came as a whole: it says of which metric it is."""
    return chunk_from(item).points(item["name"])
