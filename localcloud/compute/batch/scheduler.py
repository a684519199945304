"""Which waiting job may start, and where. Pure: a decision over values.

Queues are served by priority, the jobs of a queue in the order in which they are given: that of submission, or of
`fairshare.py`. A job that must wait for room keeps those
behind it, in its own and in lower queues, from taking that room: otherwise small jobs would starve a large one. A job that
fits no machine at all holds up nobody; it stays RUNNABLE with the reason, as on AWS.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from localcloud.compute.batch.instances import Machine, Requirements, fits

NO_MACHINE = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - no instance type of the compute environments holds the job"
TOO_LARGE = "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - the job needs more vCPUs than maxvCpus allows"
NO_ENVIRONMENT = "MISCONFIGURATION:COMPUTE_ENVIRONMENT - no enabled compute environment is connected to the job queue"


@dataclass(frozen=True)
class Environment:
    name: str
    max_vcpus: float
    instance_types: tuple[str, ...]


@dataclass(frozen=True)
class Waiting:
    job_id: str
    queue: str
    requirements: Requirements


@dataclass(frozen=True)
class Decision:
    """`starts`: (job, environment); `stuck`: reason by job that can never start as things are."""

    starts: Sequence[tuple[str, str]] = ()
    stuck: Mapping[str, str] = field(default_factory=dict)


def decide(
    queues: Mapping[str, Sequence[Environment]],
    waiting: Sequence[Waiting],
    used: Mapping[str, float],
    machines: Sequence[Machine],
) -> Decision:
    """
    Args:
        queues: enabled environments in order, by queue; the queue of highest priority first.
        waiting: RUNNABLE jobs, those of each queue in order.
        used: vCPUs in use by environment.
    """
    taken = defaultdict(float, used)
    claimed: set[str] = set()
    starts: list[tuple[str, str]] = []
    stuck: dict[str, str] = {}
    for queue, environments in queues.items():
        for job in waiting:
            if job.queue != queue:
                continue
            suited = [place for place in environments if fits(job.requirements, place.instance_types, machines)]
            possible = [place for place in suited if job.requirements.vcpus <= place.max_vcpus]
            if not possible:
                stuck[job.job_id] = TOO_LARGE if suited else NO_MACHINE if environments else NO_ENVIRONMENT
                continue
            for place in possible:
                if place.name not in claimed and taken[place.name] + job.requirements.vcpus <= place.max_vcpus:
                    taken[place.name] += job.requirements.vcpus
                    starts.append((job.job_id, place.name))
                    break
            else:
                claimed |= {place.name for place in possible}
    return Decision(starts, stuck)
