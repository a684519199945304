"""Models that are trained anew when data lands."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from chalicelib.bootstrap.transforms import Transforms
from chalicelib.table import Table

if TYPE_CHECKING:
    from chalicelib.lineage.service import LineageService
    from chalicelib.retraining.collecting import Collecting
    from chalicelib.retraining.ending import Ending
    from chalicelib.retraining.gateways import Looks
    from chalicelib.retraining.service import RetrainingService
    from chalicelib.retraining.starting import Starting
    from chalicelib.retraining.store import RetrainingStore


class Retraining(Transforms):
    """Models that are trained anew when data lands."""

    @cached_property
    def retraining_store(self) -> RetrainingStore:
        from chalicelib.retraining.store import RetrainingStore

        return RetrainingStore(Table(self.clients.dynamodb, self.settings.retraining_table))

    @cached_property
    def _looks(self) -> Looks:
        from chalicelib.retraining.gateways import Looks

        return Looks(lambda: self.clients.sqs, self.settings.retraining_queue)

    @cached_property
    def retraining(self) -> RetrainingService:
        from chalicelib.retraining.service import RetrainingService

        return RetrainingService(
            store=self.retraining_store,
            jobs=self.jobs,
            collecting=self.retraining_collecting,
            now=self.now,
            new_id=self.new_id,
            audit=self.audit,
        )

    @cached_property
    def lineage(self) -> LineageService:
        from chalicelib.lineage.service import LineageService

        return LineageService(self.job_store, self.model_store, self.deployment_store, self.retraining_store)

    @cached_property
    def retraining_collecting(self) -> Collecting:
        from chalicelib.retraining.collecting import Collecting

        return Collecting(self.retraining_store, self._looks, self.settings.artifacts_bucket, self.now)

    @cached_property
    def retraining_starting(self) -> Starting:
        from chalicelib.retraining.gateways import Data
        from chalicelib.retraining.starting import Starting

        return Starting(
            store=self.retraining_store,
            collecting=self.retraining_collecting,
            jobs=self.jobs,
            data=Data(self.objects),
            looks=self._looks,
            ended=self.retraining_ending.ask,
            now=self.now,
        )

    @cached_property
    def retraining_ending(self) -> Ending:
        from chalicelib.retraining.ending import Ending

        return Ending(
            store=self.retraining_store,
            jobs=self.job_store,
            models=self.model_store,
            deploying=lambda: self.auto_deploying,
            looks=self._looks,
            now=self.now,
        )
