"""ARNs of hosting resources, and what SageMaker says when a name is taken or unknown.

SageMaker writes names in these ARNs in lower case and compares names without regard to case, so records are kept under
the lower-case name.
"""

from __future__ import annotations

from localcloud.compute.errors import ValidationFailed
from localcloud.compute.settings import Settings

MODEL = "model"
ENDPOINT_CONFIG = "endpoint-config"
ENDPOINT = "endpoint"
_WORDS = {MODEL: "model", ENDPOINT_CONFIG: "endpoint configuration", ENDPOINT: "endpoint"}


def arn_of(settings: Settings, kind: str, name: str) -> str:
    return f"arn:aws:sagemaker:{settings.region}:{settings.account}:{kind}/{name.lower()}"


def key_of(name: str) -> str:
    return name.lower()


def already_exists(kind: str, arn: str) -> ValidationFailed:
    return ValidationFailed(f'Cannot create already existing {_WORDS[kind]} "{arn}".')


def not_found(kind: str, arn: str) -> ValidationFailed:
    return ValidationFailed(f'Could not find {_WORDS[kind]} "{arn}".')


def not_here(what: str) -> ValidationFailed:
    return ValidationFailed(f"{what} is not supported by the compute emulator.")
