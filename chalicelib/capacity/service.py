"""What an operator sees and sets of the pools. They belong to the installation, not to a tenant."""

from __future__ import annotations

from dataclasses import dataclass, replace

from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.capacity.admission import Admission
from chalicelib.capacity.pool import GATED, Pool
from chalicelib.capacity.request import PoolRequest
from chalicelib.capacity.store import CapacityStore, Stale
from chalicelib.clock import Clock
from chalicelib.errors import FieldProblem, InvalidRequest, NotFound
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.jobs.instances import price_list
from chalicelib.jobs.job import Backend

ADMIT_SECONDS = 5.0


@dataclass(frozen=True)
class PoolService:
    store: CapacityStore
    admission: Admission
    audit: Recorder
    now: Clock

    def pools(self, caller: Caller) -> list[Pool]:
        """Those with a limit, and those without one whose jobs have not all ended."""
        caller.require(Permission.CAPACITY_MANAGE)
        return [pool for pool in self.store.pools() if pool.limit is not None or pool.in_use or not pool.is_queue_empty]

    def pool(self, caller: Caller, name: str) -> Pool:
        """
        Raises:
            NotFound: it has no limit.
        """
        caller.require(Permission.CAPACITY_MANAGE)
        pool = self.store.pool(name)
        if pool is None or pool.limit is None:
            raise NotFound("pool")
        return pool

    def set_pool(self, caller: Caller, name: str, wanted: PoolRequest, admit_seconds: float = ADMIT_SECONDS) -> Pool:
        """Set a limit, or change it. One below what is in use only keeps new jobs from starting.

        Args:
            admit_seconds: what is given to letting in who fits now; the schedule goes on with the others.

        Raises:
            InvalidRequest: there are no machines of this kind, or their backend has a queue of its own.
        """
        caller.require(Permission.CAPACITY_MANAGE)
        check_name(name, self.admission.gated)
        done = self.audit.entry(caller, Action.SET_CAPACITY_POOL, subject("pool", name), limit=str(wanted.limit))
        while True:
            before = self.store.pool(name)
            try:
                if before is None:
                    self.store.create_pool(Pool(name, elapsed_at=self.now(), **wanted.model_dump()), done)
                else:
                    self.store.change_settings(before, before.with_settings(self.now(), **wanted.model_dump()), done)
                break
            except Stale:
                continue
        self.admission.admit(name, admit_seconds)
        return self.pool(caller, name)

    def remove_pool(self, caller: Caller, name: str) -> None:
        """Take the limit away: whoever waits is let in.

        Raises:
            NotFound: it has no limit.
        """
        done = self.audit.entry(caller, Action.REMOVE_CAPACITY_POOL, subject("pool", name))
        while True:
            before = self.pool(caller, name)
            try:
                self.store.change_settings(before, replace(before, limit=None), done)
                break
            except Stale:
                continue
        self.admission.admit(name, ADMIT_SECONDS)


def check_name(name: str, gated: frozenset[Backend] = GATED) -> None:
    """
    Raises:
        InvalidRequest: a pool of this name could hold nothing.
    """
    if name.partition("/")[0] == Backend.BATCH.value:
        cure = "Set BatchMaxCpus of the stack: Batch has a queue of its own."
        raise InvalidRequest.about(FieldProblem("pool", "is Batch's", cure))
    if not gated:
        cure = "Change the queue's service environment: the parameter TrainingQueue sends these jobs to it."
        raise InvalidRequest.about(FieldProblem("pool", "is a Batch queue's", cure))
    known = pool_names()
    if name not in known:
        raise InvalidRequest.about(FieldProblem("pool", f"is {name[:80]!r}", f"Use one of {', '.join(known)}."))


def pool_names() -> list[str]:
    """The pools that can have a limit: one for each kind of machine that jobs are given."""
    return sorted({f"{each.value}/{kind.gpu_type or 'cpu'}" for each in GATED for kind in price_list(each.value).types})
