"""What lies in a job's directory before its process starts."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event
from typing import Any

from localcloud.compute.host import ObjectStore
from localcloud.compute.jobs.channels import Channel, DownloadFailed, download_channel, fetch_folder
from localcloud.compute.jobs.checkpoints import CheckpointSync
from localcloud.compute.jobs.disk import GIGABYTE
from localcloud.compute.jobs.layout import JobDirectory
from localcloud.compute.jobs.s3_uri import S3Uri
from localcloud.compute.training.record import TrainingRecord

HOST_NAME = "algo-1"


def prepare(
    objects: ObjectStore, directory: JobDirectory, record: TrainingRecord, region: str, cancelled: Event
) -> CheckpointSync | None:
    """Makes the directory, its configuration files, the channels and the checkpoints. *Blocking.*

    Raises:
        DownloadFailed: the data is not there, or does not fit.
    """
    request = record.request
    directory.create()
    for name, document in config_files(request).items():
        directory.write_config(name, document)
    room = volume_bytes(record)
    for entry in request.get("InputDataConfig", []):
        channel = Channel(entry["ChannelName"], S3Uri.parse(entry["DataSource"]["S3DataSource"]["S3Uri"]))
        folder = directory.channel(channel.name)
        room -= download_channel(objects, channel, folder, room, region, request["RoleArn"], cancelled)
    return _checkpoints(objects, directory, request, room, cancelled)


def config_files(request: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """``/opt/ml/input/config`` by file name, as SageMaker writes it."""
    instance_type = request["ResourceConfig"]["InstanceType"]
    mode = request["AlgorithmSpecification"]["TrainingInputMode"]
    return {
        "hyperparameters": dict(request.get("HyperParameters", {})),
        "inputdataconfig": {
            channel["ChannelName"]: {
                "TrainingInputMode": channel.get("InputMode", mode),
                "S3DistributionType": channel["DataSource"]["S3DataSource"].get(
                    "S3DataDistributionType", "FullyReplicated"
                ),
                "RecordWrapperType": channel.get("RecordWrapperType", "None"),
                **({"ContentType": channel["ContentType"]} if "ContentType" in channel else {}),
            }
            for channel in request.get("InputDataConfig", [])
        },
        "resourceconfig": {
            "current_host": HOST_NAME,
            "current_instance_type": instance_type,
            "current_group_name": "homogeneousCluster",
            "hosts": [HOST_NAME],
            "instance_groups": [
                {"instance_group_name": "homogeneousCluster", "instance_type": instance_type, "hosts": [HOST_NAME]}
            ],
            "network_interface_name": "lo",
        },
    }


def volume_bytes(record: TrainingRecord) -> int:
    """The job's disk allowance."""
    return int(record.request["ResourceConfig"]["VolumeSizeInGB"]) * GIGABYTE


def _checkpoints(
    objects: ObjectStore, directory: JobDirectory, request: Mapping[str, Any], room: int, cancelled: Event
) -> CheckpointSync | None:
    config = request.get("CheckpointConfig")
    if config is None:
        return None
    folder = directory.local(config.get("LocalPath", "/opt/ml/checkpoints"))
    folder.mkdir(parents=True, exist_ok=True)
    source = S3Uri.parse(config["S3Uri"])
    sizes = fetch_folder(objects, source, folder, cancelled)
    if sum(sizes.values()) > room:
        raise DownloadFailed(
            "Data download failed: the checkpoints do not fit on the volume. Please raise VolumeSizeInGB."
        )
    sync = CheckpointSync(folder, source)
    sync.remember()
    return sync
