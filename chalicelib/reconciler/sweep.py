"""A sweep: everything open is compared with what drives it, and everything that runs with who owns it.

Its cost grows with what is open, not with history. Every repair is one that any other writer might make at the same moment:
executions have deterministic names, a job ends once, a stop of what has ended does nothing. So two sweeps at once do no
harm, and neither does one that dies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from chalicelib.aws import AwsError
from chalicelib.clock import Clock
from chalicelib.log import logger
from chalicelib.reconciler.deployments import DeploymentRepairs
from chalicelib.reconciler.jobs import JobRepairs
from chalicelib.reconciler.repair import Repair, Report


@dataclass(frozen=True)
class Sweep:
    """
    Args:
        seconds: on any clock that only goes forward.
    """

    jobs: JobRepairs
    deployments: DeploymentRepairs
    now: Clock
    seconds: Callable[[], float]

    def run(self, seconds: float, after: str | None = None) -> Report:
        """Sweep for some seconds at most.

        Args:
            after: go on behind this tenant, where the last sweep had no time left.
        """
        began, until = self.now(), self.seconds() + seconds
        repairs = _carefully("receipts", self.jobs.seal_again())
        tenants, open_jobs = 0, 0
        stopped_at, last = None, after
        for tenant in self.jobs.tenants(after):
            if tenants and self.seconds() >= until:
                stopped_at = last
                break
            last = tenant
            for job in self.jobs.open(tenant):
                open_jobs += 1
                repairs += _carefully(job.job_id, self.jobs.look_at(job))
            tenants += 1
        running = 0
        for backend in self.jobs.running:
            for attempt in backend.attempts():
                running += 1
                repairs += _carefully(attempt.name, self.jobs.owned(attempt, backend))
        endpoints = self.deployments.endpoints()
        deployments = set[str]()
        for deployment in self.deployments.live():
            deployments.add(deployment.endpoint)
            look = self.deployments.look_at(deployment, endpoints.get(deployment.endpoint))
            repairs += _carefully(deployment.deployment_id, look)
        for name in endpoints.keys() - deployments:
            repairs += _carefully(name, self.deployments.owned(endpoints[name]))
        return Report(
            began_at=began,
            ended_at=self.now(),
            tenants=tenants,
            open_jobs=open_jobs,
            running=running,
            deployments=len(deployments),
            endpoints=len(endpoints),
            repairs=tuple(repairs),
            after=stopped_at,
        )


def _carefully(what: str, look: Iterator[Repair]) -> list[Repair]:
    """The trouble of one holds up no other; the next sweep looks at it again."""
    try:
        return list(look)
    except AwsError:
        logger.exception("could not be compared", extra={"what": what})
        return []
