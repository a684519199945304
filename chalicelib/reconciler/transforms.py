"""Transforms: an open one is driven, or ended.

transform      execution   →
─────────────  ──────────  ──────────────────────────────────────────────
in progress    running        nothing
cancelling     running        its job is told to stop again
open           absent         started: same name, same execution; as ended, if the machine was deleted
open           ended          ended by what SageMaker says of its job
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chalicelib.audit.entry import subject
from chalicelib.clock import Clock
from chalicelib.reconciler.gateways import Driving, Machines
from chalicelib.reconciler.repair import GRACE, Kind, Repair, why
from chalicelib.transforms.finishing import Finishing, TransformBusy
from chalicelib.transforms.gateways import TransformJobs
from chalicelib.transforms.service import execution
from chalicelib.transforms.store import TransformStore
from chalicelib.transforms.transform import Transform, TransformStatus


@dataclass(frozen=True)
class TransformRepairs:
    store: TransformStore
    machines: Machines
    jobs: TransformJobs
    finishing: Finishing
    now: Clock

    def open(self) -> Iterator[Transform]:
        return self.store.open()

    def look_at(self, listed: Transform) -> Iterator[Repair]:
        """Whether an open transform is driven."""
        if self.now() - listed.updated_at < GRACE:
            return
        # The index lags behind the record.
        transform = self.store.get(listed.tenant, listed.transform_id)
        if transform is not None and transform.record_version == listed.record_version:
            yield from self.look_at_once(transform)

    def look_at_once(self, transform: Transform) -> Iterator[Repair]:
        """The same for one that is known to want a look."""
        about = subject("transform", transform.transform_id)
        name, document = execution(transform)
        found = self.machines.executions.of(name)
        match found.driving:
            case Driving.RUNNING:
                if transform.status is TransformStatus.CANCELLING:
                    self.jobs.stop(transform.resource)
                    yield Repair(Kind.STOPPED_AGAIN, transform.tenant, about, f"{transform.resource} ran on")
                return
            case Driving.ABSENT if self.machines.start(name, document):
                yield Repair(Kind.STARTED, transform.tenant, about, "no execution had been started for it")
                return
        reason = why(found)
        try:
            self.finishing.finish(transform.tenant, transform.transform_id, reason)
        except TransformBusy as busy:
            yield Repair(Kind.STOPPING, transform.tenant, about, str(busy))
        else:
            yield Repair(Kind.FINISHED, transform.tenant, about, reason)
