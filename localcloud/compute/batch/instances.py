"""What machines hold: vCPUs, memory and GPUs by instance type, from the table the whole project uses."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

MEBIBYTES_PER_GIBIBYTE = 1024
ANY_TYPE = "optimal"


@dataclass(frozen=True)
class Requirements:
    """What a job asks for. Memory in MiB, as Batch counts it."""

    vcpus: float
    memory: int
    gpus: int

    @classmethod
    def of(cls, container: Mapping[str, Any]) -> Requirements:
        """From ``resourceRequirements``, or the older ``vcpus`` and ``memory`` members."""
        asked = {item["type"]: item["value"] for item in container.get("resourceRequirements", [])}
        return cls(
            float(asked.get("VCPU", container.get("vcpus", 1))),
            int(asked.get("MEMORY", container.get("memory", 0))),
            int(asked.get("GPU", 0)),
        )


@dataclass(frozen=True)
class Machine:
    instance_type: str
    vcpus: int
    memory: int
    gpus: int

    def holds(self, asked: Requirements) -> bool:
        return asked.vcpus <= self.vcpus and asked.memory <= self.memory and asked.gpus <= self.gpus


def known_machines() -> Sequence[Machine]:
    """The project's table of EC2 instance types."""
    text = resources.files("chalicelib").joinpath("data/instance_types.json").read_text()
    return [
        Machine(entry["type"], entry["vcpu"], entry["memory_gb"] * MEBIBYTES_PER_GIBIBYTE, entry["gpus"])
        for entry in json.loads(text)["batch"]["types"]
    ]


def fits(asked: Requirements, instance_types: Iterable[str], machines: Sequence[Machine]) -> bool:
    """Whether some machine that these types or families allow holds the job. What the table does not know, it allows."""
    for wanted in instance_types:
        matching = [machine for machine in machines if _matches(wanted, machine)]
        if not matching or any(machine.holds(asked) for machine in matching):
            return True
    return False


def _matches(wanted: str, machine: Machine) -> bool:
    family = machine.instance_type.partition(".")[0]
    if wanted == ANY_TYPE:
        # Batch picks among its general families then; none of them has GPUs.
        return family[0] in "cmr" and machine.gpus == 0
    return wanted in (machine.instance_type, family)
