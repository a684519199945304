"""A sweep: everything open is compared with what drives it, and everything that runs with who owns it.

Its cost grows with what is open, not with history. Every repair is one that any other writer might make at the same moment:
executions have deterministic names, a job ends once, a stop of what has ended does nothing. So two sweeps at once do no
harm, and neither does one that dies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from chalicelib.aws import AwsError
from chalicelib.clock import Clock
from chalicelib.log import logger
from chalicelib.reconciler.deployments import DeploymentRepairs
from chalicelib.reconciler.jobs import JobRepairs
from chalicelib.reconciler.repair import Repair, Report
from chalicelib.reconciler.retraining import RetrainingRepairs
from chalicelib.reconciler.transforms import TransformRepairs

T = TypeVar("T")


@dataclass
class _Looks:
    """The trouble of one holds up no other; the next sweep looks at it again.

    Attributes:
        unanswered: at how many things AWS did not let it look.
    """

    repairs: list[Repair] = field(default_factory=list)
    unanswered: int = 0

    def at(self, what: str, look: Iterator[Repair]) -> None:
        self.repairs += self.each(what, look)

    def each(self, what: str, found: Iterable[T]) -> Iterator[T]:
        """What is found, up to where AWS fails."""
        try:
            yield from found
        except AwsError:
            self.missed(what)

    def missed(self, what: str) -> None:
        """To be called while the error is handled."""
        logger.exception("could not be compared", extra={"what": what})
        self.unanswered += 1


@dataclass(frozen=True)
class Sweep:
    """
    Args:
        seconds: on any clock that only goes forward.
    """

    jobs: JobRepairs
    deployments: DeploymentRepairs
    transforms: TransformRepairs
    retraining: RetrainingRepairs
    now: Clock
    seconds: Callable[[], float]

    def run(self, seconds: float, after: str | None = None) -> Report:
        """Sweep for some seconds at most.

        Args:
            after: go on behind this tenant, where the last sweep had no time left.
        """
        began, until = self.now(), self.seconds() + seconds
        looks = _Looks()
        looks.at("receipts", self.jobs.seal_again())
        tenants, open_jobs = 0, 0
        stopped_at, last = None, after
        for tenant in self.jobs.tenants(after):
            if tenants and self.seconds() >= until:
                stopped_at = last
                break
            last = tenant
            for job in self.jobs.open(tenant):
                open_jobs += 1
                looks.at(job.job_id, self.jobs.look_at(job))
            tenants += 1
        running = 0
        for backend in self.jobs.running:
            for attempt in looks.each(type(backend).__name__, backend.attempts()):
                running += 1
                looks.at(attempt.name, self.jobs.owned(attempt, backend))
        deployments, endpoints = self._deployments(looks)
        for transform in looks.each("transforms", self.transforms.open()):
            looks.at(transform.transform_id, self.transforms.look_at(transform))
        for run in looks.each("retraining", self.retraining.open()):
            looks.at(f"{run.policy_id}/{run.number}", self.retraining.look_at(run))
        return Report(
            began_at=began,
            ended_at=self.now(),
            tenants=tenants,
            open_jobs=open_jobs,
            running=running,
            deployments=deployments,
            endpoints=endpoints,
            repairs=tuple(looks.repairs),
            unanswered=looks.unanswered,
            after=stopped_at,
        )

    def _deployments(self, looks: _Looks) -> tuple[int, int]:
        """How many deployments and endpoints were compared: none without the list of endpoints, each would seem lost."""
        try:
            endpoints = self.deployments.endpoints()
        except AwsError:
            looks.missed("endpoints")
            return 0, 0
        live = set[str]()
        for deployment in looks.each("deployments", self.deployments.live()):
            live.add(deployment.endpoint)
            look = self.deployments.look_at(deployment, endpoints.get(deployment.endpoint))
            looks.at(deployment.deployment_id, look)
        for name in endpoints.keys() - live:
            looks.at(name, self.deployments.owned(endpoints[name]))
        return len(live), len(endpoints)
