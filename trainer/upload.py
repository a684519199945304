"""Sending files to S3, those above 64 MiB in parts."""

from __future__ import annotations

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from trainer.errors import ObjectMissing, StorageError
from trainer.s3 import S3Client, S3Uri, file_sha256
from trainer.transport import CHUNK, FileSlice

if TYPE_CHECKING:
    from pathlib import Path

MULTIPART_ABOVE = 64 * 1024 * 1024
_PART = 32 * 1024 * 1024
_MOST_PARTS = 10_000
_PARALLEL = 4


def upload(s3: S3Client, path: Path, uri: S3Uri, *, multipart_above: int = MULTIPART_ABOVE) -> tuple[int, str]:
    """Uploads a regular file. Returns its size in bytes and the hexadecimal SHA-256 of its content.

    The whole content's SHA-256 is kept as the object's metadata `sha256` however it is sent: S3's own checksum of an
    object sent in parts is one of the parts' checksums.
    """
    size = path.stat().st_size
    sha256 = file_sha256(path)
    if size <= multipart_above:
        s3.put(uri, FileSlice(path, 0, size) if size else b"", sha256=sha256)
    else:
        try:
            _upload_parts(s3, path, uri, size, sha256)
        except ObjectMissing:
            # The upload was forgotten on the way, as by an S3 that was started again: from the beginning, once.
            _upload_parts(s3, path, uri, size, sha256)
    return size, sha256


def _upload_parts(s3: S3Client, path: Path, uri: S3Uri, size: int, sha256: str) -> None:
    _, body = s3.call(
        "POST",
        uri,
        query={"uploads": ""},
        headers={
            "Content-Type": "application/octet-stream",
            "x-amz-checksum-algorithm": "SHA256",
            "x-amz-meta-sha256": sha256,
        },
    )
    text = body.decode("utf-8", "replace")
    upload_id = text.partition("<UploadId>")[2].partition("</UploadId>")[0]
    if not upload_id:
        raise StorageError(f"S3 gave no upload id for {uri}")
    length = max(_PART, -(-size // _MOST_PARTS))
    slices = [FileSlice(path, offset, min(length, size - offset)) for offset in range(0, size, length)]

    def send(number: int, part: FileSlice) -> tuple[int, str, str]:
        digest = hashlib.sha256()
        for chunk in part:
            digest.update(chunk)
        checksum = base64.b64encode(digest.digest()).decode("ascii")
        headers, _ = s3.call(
            "PUT",
            uri,
            query={"partNumber": str(number), "uploadId": upload_id},
            headers={"x-amz-checksum-sha256": checksum},
            body=part,
            sha256=digest.hexdigest(),
        )
        return number, headers.get("ETag", ""), checksum

    try:
        with ThreadPoolExecutor(_PARALLEL) as pool:
            parts: list[tuple[int, str, str]] = list(pool.map(send, range(1, len(slices) + 1), slices))
        document = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>"
            f"<ChecksumSHA256>{checksum}</ChecksumSHA256></Part>"
            for number, etag, checksum in parts
        )
        _, answer = s3.call(
            "POST",
            uri,
            query={"uploadId": upload_id},
            headers={"Content-Type": "application/xml"},
            body=f"<CompleteMultipartUpload>{document}</CompleteMultipartUpload>".encode(),
        )
        # S3 may answer 200 and report the failure in the body.
        if b"<Error>" in answer[:CHUNK]:
            raise StorageError(f"S3 could not put the parts of {uri} together: {answer[:500]!r}")
    except BaseException:
        # The first failure is the one to tell.
        with suppress(StorageError):
            s3.call("DELETE", uri, query={"uploadId": upload_id})
        raise
