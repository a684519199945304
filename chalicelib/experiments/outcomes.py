"""Counts that come in, and the look that follows."""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.clock import Clock
from chalicelib.errors import Conflict, NotFound
from chalicelib.experiments import items, rules
from chalicelib.experiments.experiment import Experiment
from chalicelib.experiments.look import look
from chalicelib.experiments.metric import Counters, added
from chalicelib.experiments.request import CountsRequest
from chalicelib.experiments.store import Closed, ExperimentStore, Key, KeyUsed, Progress, Stale
from chalicelib.idempotency import check_key, fingerprint, used_otherwise
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission


@dataclass(frozen=True)
class OutcomeService:
    store: ExperimentStore
    now: Clock

    def count(
        self, caller: Caller, experiment_id: str, batch: list[CountsRequest], key: str | None
    ) -> tuple[Experiment, Progress]:
        """Add a batch of sums, and look once at all that has been counted.

        Batches that come at the same moment may share a look. None is lost, and none is counted after the decision.

        Args:
            key: the caller's Idempotency-Key: a batch that is sent again is counted once.

        Raises:
            NotFound: not there, or another tenant's.
            InvalidRequest: what is wrong, by field.
            Conflict: the experiment has ended, or the key was used for another request.
        """
        caller.require(Permission.EXPERIMENTS_REPORT)
        experiment = self.find(caller, experiment_id)
        sums: dict[tuple[str, str], Counters] = {}
        for position, each in enumerate(batch):
            place = (each.variant, each.metric)
            counted = rules.counters(experiment, each, f"counts.{position}")
            sums[place] = added(sums.get(place, {}), counted)
        sent = None
        if key is not None:
            check_key(key)
            sent = Key(key, fingerprint("\n".join(each.model_dump_json() for each in batch)))
        try:
            self.store.count(experiment, items.added(experiment, sums, {}), caller.user, sent, self.now())
        except Closed:
            raise ended(experiment, self.store) from None
        except KeyUsed as used:
            if sent is None or used.fingerprint != sent.fingerprint:
                raise used_otherwise() from None
        return self.look(experiment)

    def look(self, experiment: Experiment) -> tuple[Experiment, Progress]:
        """Look at what has been counted, unless somebody's look has seen all of it."""
        while True:
            found = self.store.read(experiment.tenant, experiment.experiment_id)
            if found is None:
                raise NotFound("experiment")
            experiment, progress = found
            if not progress.is_open or progress.is_looked_at:
                return found
            after = look(experiment, progress.counted, progress.state)
            try:
                experiment = self.store.keep_look(experiment, progress.state, after, self.now())
            except Stale:
                continue
            return experiment, Progress(progress.counted, after, not experiment.status.is_over)

    def find(self, caller: Caller, experiment_id: str) -> Experiment:
        """
        Raises:
            NotFound: not there, or another tenant's.
        """
        experiment = self.store.get(caller.tenant, experiment_id)
        if experiment is None:
            raise NotFound("experiment")
        return experiment


def ended(experiment: Experiment, store: ExperimentStore) -> Conflict:
    """The refusal of what comes too late."""
    now = store.get(experiment.tenant, experiment.experiment_id) or experiment
    return Conflict(
        f"The experiment has ended with {now.verdict.decision.value} at look {now.verdict.look}, and counts nothing more. "
        f"{now.verdict.reason}"
    )
