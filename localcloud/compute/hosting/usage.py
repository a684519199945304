"""What serving processes use of the machine, in CloudWatch's terms for an endpoint's instances.

https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html: CPUUtilization is 100 for each core that is busy,
MemoryUtilization a part of the instance's memory; the instance is this machine here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import psutil


@dataclass(frozen=True)
class Used:
    """
    Attributes:
        seconds: of CPU, by process, since it was started.
        memory_percent: of all processes together.
    """

    at: datetime
    seconds: Mapping[int, float]
    memory_percent: float

    @classmethod
    def of(cls, roots: Iterable[int | None], at: datetime) -> Used:
        """What these processes and their descendants use. *Blocking*."""
        seconds: dict[int, float] = {}
        memory = 0.0
        for root in roots:
            for process in _family(root):
                try:
                    with process.oneshot():
                        times = process.cpu_times()
                        seconds[process.pid] = times.user + times.system
                        memory += process.memory_percent("rss")
                except psutil.NoSuchProcess:
                    continue
        return cls(at, seconds, memory)

    def cpu_since(self, before: Used) -> float:
        """Percent of a core, since an earlier look. A process that is new counts from its start."""
        elapsed = (self.at - before.at).total_seconds()
        spent = sum(seconds - before.seconds.get(pid, 0.0) for pid, seconds in self.seconds.items())
        return 100.0 * max(0.0, spent) / elapsed if elapsed > 0 else 0.0


def _family(root: int | None) -> list[psutil.Process]:
    if root is None:
        return []
    try:
        process = psutil.Process(root)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
