"""The files of a model that was made elsewhere: checked where they lie, then copied to where nobody can change them."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chalicelib.aws import error_code
from chalicelib.errors import Conflict, FieldProblem, InvalidRequest
from chalicelib.identity.caller import Caller
from chalicelib.jobs.rules import ArtifactPath, confined
from chalicelib.models.model import Archive, model_prefix
from chalicelib.objects import Objects

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FIELD = "artifact_path"
# S3 copies it in one call while the caller waits, for 29 seconds at most.
MAX_ARTIFACT_BYTES = 1024**3

NATIVE_KINDS = {
    ".joblib": "sklearn",
    ".pkl": "sklearn",
    ".pickle": "sklearn",
    ".ubj": "xgboost",
    ".json": "xgboost",
    ".keras": "keras",
    ".h5": "keras",
    ".pt": "torchscript",
    ".pth": "torchscript",
    ".pt2": "torch_export",
}
_ARCHIVE = ".tar.gz"
_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})


@dataclass(frozen=True)
class ExternalArtifact:
    """
    Attributes:
        etag: of the bytes that were looked at, so that exactly these are copied.
        checksum: SHA-256 in hexadecimal, where S3 knows it.
    """

    path: ArtifactPath
    size_bytes: int
    etag: str
    checksum: str | None
    kind: str
    unservable_reason: str | None


@dataclass(frozen=True)
class ExternalArtifacts:
    client: S3Client
    bucket: str

    def inspect(self, caller: Caller, uri: str) -> ExternalArtifact:
        """
        Raises:
            RefusedValue: not a path of the caller's.
            InvalidRequest: nothing is there, or nothing that could be a model.
        """
        path = confined(FIELD, uri, caller, self.bucket)
        suffix = "." + path.name.rpartition(".")[2].lower()
        is_archive = path.name.endswith(_ARCHIVE)
        if path.key.endswith("/") or not (is_archive or suffix in NATIVE_KINDS):
            cure = f"Name a model.tar.gz, or a single file that ends in {', '.join(NATIVE_KINDS)}."
            raise InvalidRequest.about(FieldProblem(FIELD, "is not a model's file", cure))
        try:
            head = self.client.head_object(Bucket=path.bucket, Key=path.key, ChecksumMode="ENABLED")
        except self.client.exceptions.ClientError as error:
            if error_code(error) not in _MISSING:
                raise
            problem = FieldProblem(FIELD, "does not exist", "Upload it first: POST /api/v1/uploads.")
            raise InvalidRequest.about(problem) from None
        size = head["ContentLength"]
        if size == 0:
            raise InvalidRequest.about(FieldProblem(FIELD, "is empty", "Upload the model's file."))
        if size > MAX_ARTIFACT_BYTES:
            cure = f"Use at most {MAX_ARTIFACT_BYTES:,}; a training job's model may be larger."
            raise InvalidRequest.about(FieldProblem(FIELD, f"has {size:,} bytes", cure))
        return ExternalArtifact(
            path=path,
            size_bytes=size,
            etag=head["ETag"],
            checksum=_hexadecimal(head.get("ChecksumSHA256")),
            kind="custom" if is_archive else NATIVE_KINDS[suffix],
            unservable_reason=None if is_archive else _single_file(path.name),
        )

    def keep(self, tenant: str, model_id: str, artifact: ExternalArtifact) -> Archive:
        """Copy the artifact into the model's own place.

        Raises:
            Conflict: it was changed or removed after it was looked at.
        """
        key = model_prefix(tenant, model_id) + artifact.path.name
        try:
            answer = self.client.copy_object(
                Bucket=self.bucket,
                Key=key,
                CopySource={"Bucket": artifact.path.bucket, "Key": artifact.path.key},
                CopySourceIfMatch=artifact.etag,
                ChecksumAlgorithm="SHA256",
            )
        except self.client.exceptions.ClientError as error:
            if error_code(error) not in {"PreconditionFailed", "412", *_MISSING}:
                raise
            raise Conflict("The file behind artifact_path changed while it was registered. Try again.") from None
        checksum = _hexadecimal(answer.get("CopyObjectResult", {}).get("ChecksumSHA256")) or artifact.checksum
        return Archive(f"s3://{self.bucket}/{key}", artifact.size_bytes, checksum)

    def discard(self, tenant: str, model_id: str) -> None:
        """Delete the model's own files; there are none for one that a job has made."""
        Objects(self.client, self.bucket).delete_below(model_prefix(tenant, model_id))


def _single_file(name: str) -> str:
    return (
        f"{name} is a single file; an endpoint needs a model.tar.gz that holds it beside code/inference.py. "
        "Register such an archive, or train through a job, which makes one."
    )


def _hexadecimal(checksum: str | None) -> str | None:
    """S3's base64 as hexadecimal; None for a checksum of parts, which is no checksum of the whole."""
    try:
        digest = base64.b64decode(checksum or "", validate=True)
    except binascii.Error:
        return None
    return digest.hex() if len(digest) == 32 else None
