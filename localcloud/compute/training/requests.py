"""What a CreateTrainingJob request must be beyond the model: SageMaker's own rules, and what one machine can run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localcloud.compute.errors import ValidationFailed
from localcloud.compute.jobs.layout import CONTAINER_ROOT
from localcloud.compute.jobs.s3_uri import S3Uri

Request = Mapping[str, Any]
FILE_MODES = ("File", "FastFile")


def check_create(request: Request) -> None:
    """Raises ValidationFailed with the member and the cure."""
    algorithm = request["AlgorithmSpecification"]
    if "TrainingImage" not in algorithm or "AlgorithmName" in algorithm:
        raise ValidationFailed("AlgorithmSpecification must have TrainingImage and no AlgorithmName in this emulator.")
    if not algorithm.get("ContainerEntrypoint"):
        raise ValidationFailed(
            "AlgorithmSpecification.ContainerEntrypoint is required: the emulator runs programs of this machine, not "
            "the entry point inside an image."
        )
    for member in ("ResourceConfig", "StoppingCondition", "OutputDataConfig"):
        if member not in request:
            raise ValidationFailed(f"1 validation error detected: {member} must not be null")
    _check_resources(request["ResourceConfig"])
    _check_stopping(request)
    _address("OutputDataConfig.S3OutputPath", request["OutputDataConfig"]["S3OutputPath"])
    _check_channels(request.get("InputDataConfig", []), algorithm["TrainingInputMode"])
    _check_checkpoints(request.get("CheckpointConfig"))


def _check_resources(resources: Request) -> None:
    if "InstanceType" not in resources or resources.get("InstanceGroups"):
        raise ValidationFailed("ResourceConfig.InstanceType is required; InstanceGroups are not supported here.")
    if resources.get("InstanceCount", 1) != 1:
        raise ValidationFailed("ResourceConfig.InstanceCount must be 1: the emulator runs a job on one machine.")


def _check_stopping(request: Request) -> None:
    stopping = request["StoppingCondition"]
    wait = stopping.get("MaxWaitTimeInSeconds")
    if not request.get("EnableManagedSpotTraining"):
        if wait is not None:
            raise ValidationFailed("MaxWaitTimeInSeconds may only be set when EnableManagedSpotTraining is true.")
        return
    if wait is None:
        raise ValidationFailed("MaxWaitTimeInSeconds is required when EnableManagedSpotTraining is true.")
    if wait < stopping.get("MaxRuntimeInSeconds", 86400):
        raise ValidationFailed("Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
                               "MaxRuntimeInSeconds.")  # fmt: skip


def _check_channels(channels: list[Request], default_mode: str) -> None:
    names = [channel["ChannelName"] for channel in channels]
    for name in names:
        if names.count(name) > 1:
            raise ValidationFailed(f"Channel names must be unique: '{name}' is used more than once in InputDataConfig.")
    for channel in channels:
        where = f"InputDataConfig channel '{channel['ChannelName']}'"
        if channel.get("InputMode", default_mode) not in FILE_MODES:
            raise ValidationFailed(f"{where}: the input mode must be File or FastFile in this emulator.")
        if channel.get("CompressionType", "None") != "None":
            raise ValidationFailed(f"{where}: CompressionType must be None in File mode.")
        source = channel["DataSource"].get("S3DataSource")
        if source is None or source["S3DataType"] != "S3Prefix":
            raise ValidationFailed(f"{where}: only S3DataSource with S3DataType S3Prefix is supported here.")
        _address(f"{where}: S3Uri", source["S3Uri"])


def _check_checkpoints(config: Request | None) -> None:
    if config is None:
        return
    _address("CheckpointConfig.S3Uri", config["S3Uri"])
    path = config.get("LocalPath", f"{CONTAINER_ROOT}/checkpoints")
    reserved = ("input", "model", "output", "code")
    first = path.removeprefix(CONTAINER_ROOT + "/").split("/")[0]
    if not path.startswith(CONTAINER_ROOT + "/") or ".." in path.split("/") or first in (*reserved, ""):
        raise ValidationFailed(
            f"CheckpointConfig.LocalPath '{path}' must be a directory below {CONTAINER_ROOT} other than "
            f"{', '.join(reserved)}."
        )


def _address(member: str, text: str) -> S3Uri:
    try:
        return S3Uri.parse(text)
    except ValueError as error:
        raise ValidationFailed(f"{member}: {error}") from error
