"""What a CreateTransformJob request must be beyond the model: SageMaker's own rules, and what one machine can run.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTransformJob.html
"""

from __future__ import annotations

from dataclasses import dataclass

from localcloud.compute.errors import ValidationFailed
from localcloud.compute.hosting.arns import not_here
from localcloud.compute.jobs.s3_uri import S3Uri
from localcloud.compute.operations import Document

MEBIBYTE = 1024 * 1024
MOST_MB = 100
"""Of a payload, and of all that are sent at once."""
DEFAULT_TIMEOUT_SECONDS = 600
DEFAULT_RETRIES = 3


_DEFAULTS: Document = {
    "MaxConcurrentTransforms": 1,
    "MaxPayloadInMB": 6,
    "DataProcessing": {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"},
}
_INPUT_DEFAULTS: Document = {"CompressionType": "None", "SplitType": "None"}


def with_defaults(request: Document) -> Document:
    """A request with what SageMaker says that it fills in, as DescribeTransformJob shows it.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DataProcessing.html and its neighbours; of a batch's
    strategy they name no default.
    """
    filled = _DEFAULTS | request
    filled["DataProcessing"] = _DEFAULTS["DataProcessing"] | filled["DataProcessing"]
    filled["TransformInput"] = _INPUT_DEFAULTS | filled["TransformInput"]
    return filled


@dataclass(frozen=True)
class Transform:
    """What is to be done, with SageMaker's defaults.

    Attributes:
        by_line: each line of an object is a record; else the whole object is.
        together: as many records as fit go into one request; else one.
        joined_by: what follows the answer to each request in the output.
    """

    source: S3Uri
    target: S3Uri
    content_type: str | None
    accept: str | None
    by_line: bool
    together: bool
    joined_by: bytes
    payload_bytes: int
    at_once: int
    timeout_seconds: float
    retries: int

    @classmethod
    def of(cls, request: Document) -> Transform:
        """
        Raises:
            ValidationFailed: with the member and the cure.
        """
        request = with_defaults(request)
        given, output = request["TransformInput"], request["TransformOutput"]
        _check_support(request)
        source = given["DataSource"]["S3DataSource"]
        if source["S3DataType"] != "S3Prefix":
            raise not_here(f"S3DataType {source['S3DataType']}")
        split, strategy = given["SplitType"], request.get("BatchStrategy", "MultiRecord")
        if split not in {"None", "Line"}:
            raise not_here(f"SplitType {split}")
        # 0 is no limit of one's own, and SageMaker's choice.
        payload = request["MaxPayloadInMB"]
        at_once = request["MaxConcurrentTransforms"] or 1
        if payload * at_once > MOST_MB:
            raise ValidationFailed(
                f"MaxConcurrentTransforms ({at_once}) * MaxPayloadInMB ({payload}) must not exceed {MOST_MB} MB."
            )
        client = request.get("ModelClientConfig", {})
        return cls(
            source=_address("TransformInput.DataSource.S3DataSource.S3Uri", source["S3Uri"]),
            target=_address("TransformOutput.S3OutputPath", output["S3OutputPath"]),
            content_type=given.get("ContentType"),
            accept=output.get("Accept"),
            by_line=split == "Line",
            together=strategy == "MultiRecord",
            joined_by=b"\n" if output.get("AssembleWith") == "Line" else b"",
            payload_bytes=(payload or MOST_MB) * MEBIBYTE,
            at_once=at_once,
            timeout_seconds=float(client.get("InvocationsTimeoutInSeconds", DEFAULT_TIMEOUT_SECONDS)),
            retries=client.get("InvocationsMaxRetries", DEFAULT_RETRIES),
        )


def _check_support(request: Document) -> None:
    processing = request["DataProcessing"]
    if request["TransformInput"]["CompressionType"] != "None":
        raise not_here("Compressed input (CompressionType Gzip)")
    if any(processing[member] != "$" for member in ("InputFilter", "OutputFilter")):
        raise not_here("A filter of input or output (DataProcessing)")
    if processing["JoinSource"] != "None":
        raise not_here("Joining input and output (DataProcessing.JoinSource)")
    if "DataCaptureConfig" in request:
        raise not_here("Data capture")


def _address(member: str, text: str) -> S3Uri:
    try:
        return S3Uri.parse(text)
    except ValueError as error:
        raise ValidationFailed(f"{member}: {error}") from error
