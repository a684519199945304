"""What a well-formed training job request must also obey. Pure: what exists is told, not looked up.

The order is the service's contract: shape (`request.py`), then script and dataset, then resources, then the framework's
own rules. Every stage reports all that is wrong in it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from chalicelib.errors import FieldProblem, InvalidRequest, RefusedValue
from chalicelib.identity.caller import Caller
from chalicelib.jobs.request import MAX_RUNTIME_SECONDS, TrainingConfig, TrainingJobRequest
from chalicelib.jobs.variables import name_problem

# Bounds of the contract: (least, most, unit)
BOUNDS: dict[str, tuple[int, int, str]] = {
    "gpu_count": (0, 8, "GPUs"),
    "memory_gb": (4, 512, "GB"),
    "cpu_cores": (2, 64, "cores"),
    "disk_gb": (20, 2000, "GB"),
}
PYTORCH_OPTIMIZERS = (
    "adam",
    "sgd",
    "rmsprop",
    "adagrad",
    "adamw",
    "adadelta",
    "adamax",
    "asgd",
    "lbfgs",
    "nadam",
    "radam",
    "rprop",
)
SKLEARN_ALGORITHMS = ("random_forest", "svm", "logistic_regression", "gradient_boosting", "neural_network")
XGBOOST_OBJECTIVES = ("reg:squarederror", "binary:logistic", "multi:softmax", "multi:softprob")

MAX_SCRIPT_BYTES = 5 * 1024 * 1024

# https://pkg.go.dev/github.com/distribution/reference#pkg-overview, without a protocol and without empty parts.
_IMAGE_PART = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{{1,5}})?/)?{_IMAGE_PART}(?:/{_IMAGE_PART})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_MAX_VARIABLE_VALUE = 8 * 1024
# A job's configuration is one attribute of one item of DynamoDB, which has 400 KB for all.
_MAX_VARIABLES = 64 * 1024
_MAX_KEY_BYTES = 1024  # S3's own limit


@dataclass(frozen=True)
class ArtifactPath:
    """An `s3://` path that was parsed and found to lie where its caller may read."""

    bucket: str
    key: str

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def name(self) -> str:
        return self.key.rstrip("/").rpartition("/")[2]

    def sibling(self, name: str) -> ArtifactPath:
        return ArtifactPath(self.bucket, self.key.rpartition("/")[0] + "/" + name)


def confined(field: str, uri: str, caller: Caller, bucket: str) -> ArtifactPath:
    """Parse a path and confine it to what the caller owns.

    Nothing is looked up for a path elsewhere, so the answer says nothing about what lies there.

    Raises:
        RefusedValue: not an s3 path, or not in one of the caller's own places.
    """
    allowed = [caller.prefix, f"tenants/{caller.tenant}/shared/"]
    cure = (
        "Use a path below "
        + " or ".join(f"s3://{bucket}/{prefix}" for prefix in allowed)
        + "; POST /api/v1/uploads puts files there."
    )
    scheme, _, rest = uri.partition("://")
    found_bucket, _, key = rest.partition("/")
    owned = any(key.startswith(prefix) for prefix in allowed)
    if scheme != "s3" or found_bucket != bucket or not owned or not _is_plain(key):
        raise RefusedValue.about(FieldProblem(field, "is not a path of yours in the artifact store", cure))
    return ArtifactPath(bucket, key)


def checkpoint_folder(uri: str, caller: Caller, bucket: str) -> ArtifactPath:
    """Where a job keeps its checkpoints instead of among its own files; containers may write nowhere else.

    Raises:
        RefusedValue: not below a folder `checkpoints/` of the caller's own places.
    """
    field = "config.checkpoint_path"
    folders = [f"{caller.prefix}checkpoints/", f"tenants/{caller.tenant}/shared/checkpoints/"]
    cure = "Use a folder below " + " or ".join(f"s3://{bucket}/{folder}" for folder in folders) + "."
    try:
        path = confined(field, uri, caller, bucket)
    except RefusedValue:
        path = None
    if path is None or not any(path.key.startswith(folder) and path.key != folder for folder in folders):
        raise RefusedValue.about(FieldProblem(field, "is no folder for your checkpoints", cure))
    return path


def _is_plain(key: str) -> bool:
    """Whether a key means the same to everyone who reads it: S3, a URL library, a file system.

    Percent signs are data to S3, but decoded by others, some more than once; other scripts have dots and slashes that
    some normalize to ASCII ones. Whatever turns into another path or hides a character on the way is no plain key.
    """
    if any(unicodedata.category(character)[0] == "C" for character in key) or len(key.encode()) > _MAX_KEY_BYTES:
        return False
    seen = {key}
    while (key := unicodedata.normalize("NFKC", unquote(key))) not in seen:
        seen.add(key)
    decoded_badly = "\ufffd" in key or any(unicodedata.category(character)[0] == "C" for character in key)
    if decoded_badly or "\\" in key or any(segment in {".", ".."} for segment in key.split("/")):
        return False
    return "" not in key.split("/")[:-1]


def check_environment(config: TrainingConfig, *more: FieldProblem) -> None:
    """
    Args:
        more: what is wrong with the secret variables; see `secrets.py`.

    Raises:
        RefusedValue: a variable that is not the user's to set, or an image name that is none.
    """
    problems = [*_environment_problems(config), *more]
    if problems:
        raise RefusedValue.about(*problems)


def check_resources(config: TrainingConfig) -> None:
    """
    Raises:
        InvalidRequest: names each bound that is crossed.
    """
    requirements = config.resource_requirements.model_dump()
    problems = []
    for name, (least, most, unit) in BOUNDS.items():
        if not least <= requirements[name] <= most:
            field = f"config.resource_requirements.{name}"
            problems.append(FieldProblem(field, f"is {requirements[name]!s:.40}", f"Use {least} to {most} {unit}."))
    if not 60 <= config.max_runtime_seconds <= MAX_RUNTIME_SECONDS:
        cure = f"Use 60 to {MAX_RUNTIME_SECONDS} seconds."
        problems.append(FieldProblem("config.max_runtime_seconds", f"is {config.max_runtime_seconds!s:.40}", cure))
    problems += [*_spot_problems(config), *_move_problems(config)]
    if problems:
        raise InvalidRequest.about(*problems)


def check_framework(request: TrainingJobRequest) -> None:
    """
    Raises:
        InvalidRequest: a parameter that the framework's own rule refuses.
    """
    problems = list(_framework_problems(request.framework, request.config.parameters))
    for index, definition in enumerate(request.config.metric_definitions):
        problems += _expression_problems(f"config.metric_definitions.{index}.regex", definition.regex)
    if problems:
        raise InvalidRequest.about(*problems)


def _spot_problems(config: TrainingConfig) -> Iterator[FieldProblem]:
    if config.max_wait_seconds is None:
        return
    field, value = "config.max_wait_seconds", f"is {config.max_wait_seconds!s:.40}"
    if not config.spot:
        yield FieldProblem(field, "is set, but the job is not on spot", "Set config.spot to true, or leave it out.")
    elif not config.max_runtime_seconds <= config.max_wait_seconds <= MAX_RUNTIME_SECONDS:
        cure = f"Use {config.max_runtime_seconds} (max_runtime_seconds) to {MAX_RUNTIME_SECONDS} seconds."
        yield FieldProblem(field, value, cure)


def _move_problems(config: TrainingConfig) -> Iterator[FieldProblem]:
    if config.retry is None or config.environment.backend != "batch":
        return
    message = "is set, but a job on Batch waits for a machine itself, and never ends for want of one"
    for name in ("other_instance_type", "other_backend"):
        if getattr(config.retry, name):
            yield FieldProblem(f"config.retry.{name}", message, "Leave it out, or use the backend sagemaker.")


def _environment_problems(config: TrainingConfig) -> Iterator[FieldProblem]:
    for name, value in config.environment.environment_variables.items():
        field = f"config.environment.environment_variables.{name[:80]}"
        if problem := name_problem(field, name):
            yield problem
        if "\0" in value or len(value.encode()) > _MAX_VARIABLE_VALUE:
            cure = f"Use at most {_MAX_VARIABLE_VALUE:,} bytes without NUL."
            yield FieldProblem(field, "has a value that no process can take", cure)
    size = sum(len(name) + len(value.encode()) for name, value in config.environment.environment_variables.items())
    if size > _MAX_VARIABLES:
        cure = f"Use at most {_MAX_VARIABLES:,} in all; put large values into the dataset."
        yield FieldProblem("config.environment.environment_variables", f"has {size:,} bytes", cure)
    image = config.environment.docker_image
    if image is not None and not _IMAGE.fullmatch(image):
        yield FieldProblem(
            "config.environment.docker_image", f"is {image[:80]!r}", "Use the form registry/repository:tag."
        )


def _framework_problems(framework: str, parameters: dict[str, Any]) -> Iterator[FieldProblem]:
    def choice(name: str, allowed: tuple[str, ...]) -> Iterator[FieldProblem]:
        if name in parameters and (not isinstance(parameters[name], str) or parameters[name].lower() not in allowed):
            yield FieldProblem(
                f"config.parameters.{name}", f"is {parameters[name]!r:.80}", f"Use one of {', '.join(allowed)}."
            )

    match framework:
        case "tensorflow":
            rate, size = parameters.get("learning_rate", 1), parameters.get("batch_size", 1)
            if not (_is_number(rate) and 0 < rate <= 1):
                yield FieldProblem(
                    "config.parameters.learning_rate", f"is {rate!r:.80}", "Use a number above 0 and at most 1."
                )
            if not (isinstance(size, int) and _is_number(size) and size > 0):
                yield FieldProblem("config.parameters.batch_size", f"is {size!r:.80}", "Use a whole number above 0.")
        case "pytorch":
            yield from choice("optimizer", PYTORCH_OPTIMIZERS)
        case "sklearn":
            yield from choice("algorithm", SKLEARN_ALGORITHMS)
        case "xgboost":
            yield from choice("objective", XGBOOST_OBJECTIVES)


def _expression_problems(field: str, expression: str) -> list[FieldProblem]:
    try:
        groups = re.compile(expression).groups
    except (re.error, OverflowError, RecursionError) as error:
        return [FieldProblem(field, f"is not a regular expression: {error}", "Correct it.")]
    return (
        []
        if groups
        else [FieldProblem(field, "has no group", "Put the metric's value into parentheses, as in loss=([0-9.]+).")]
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
