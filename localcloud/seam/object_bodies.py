"""Keeps the bodies of S3 objects on disk only.

ministack drops the body of an object from memory once it is on disk, but not the copy that the bucket's version index
holds: in a versioned bucket, everything that was ever written would stay in memory.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


def install() -> None:
    from ministack.services import s3

    def drop(bucket: str, key: str) -> None:
        for version in s3._object_versions.get((bucket, key)) or []:
            # ministack reads it from the disk when it is asked for.
            version["data"] = None

    s3._persist_object = _dropping(s3._persist_object, drop)


def _dropping(
    persist: Callable[[str, str, Any], None], drop: Callable[[str, str], None]
) -> Callable[[str, str, Any], None]:
    @functools.wraps(persist)
    def persist_object(bucket: str, key: str, obj: Any) -> None:
        persist(bucket, key, obj)
        # The body is still there when it could not be written: then nothing is dropped.
        if isinstance(obj, dict) and obj.get("body") is None:
            drop(bucket, key)

    return persist_object
