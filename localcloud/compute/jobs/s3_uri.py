"""``s3://bucket/key`` addresses."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]")


@dataclass(frozen=True)
class S3Uri:
    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> S3Uri:
        """Reads an address; the key may be empty.

        Raises:
            ValueError: it is not one.
        """
        scheme, separator, rest = text.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme != "s3" or not separator or not _BUCKET.fullmatch(bucket):
            raise ValueError(f"'{text}' is not an S3 address of the form s3://bucket/key")
        return cls(bucket, key)

    def under(self, *names: str) -> S3Uri:
        """The address of `names` below this one taken as a folder."""
        base = self.key.rstrip("/")
        return S3Uri(self.bucket, "/".join([*([base] if base else []), *names]))

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"
