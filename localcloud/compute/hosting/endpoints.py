"""The endpoint operations, and the tasks that carry them out.

The record is written before anything is started or ended, so whatever was under way when the emulator died is taken up
again at the next start. One task at a time works on an endpoint: its status says which.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from localcloud.compute.errors import ValidationFailed
from localcloud.compute.host import Host
from localcloud.compute.hosting.arns import ENDPOINT, already_exists, key_of
from localcloud.compute.hosting.capacity import Capacity, is_more
from localcloud.compute.hosting.endpoint_configs import EndpointConfigs
from localcloud.compute.hosting.endpoint_record import (
    CREATING,
    DELETING,
    FAILED,
    IN_PROGRESS,
    IN_SERVICE,
    UPDATING,
    EndpointRecord,
)
from localcloud.compute.hosting.events import endpoint_changed
from localcloud.compute.hosting.fleet import Fleet
from localcloud.compute.hosting.instance import Instance, InstanceFailed
from localcloud.compute.hosting.models import Models
from localcloud.compute.hosting.plan import VariantPlan
from localcloud.compute.hosting.records import Records, tags_from
from localcloud.compute.hosting.settings import HostingSettings
from localcloud.compute.hosting.updates import check_deployment, check_serverless, retained
from localcloud.compute.operations import Authorization, Call, Document, Operation

logger = logging.getLogger(__name__)

INTERNAL = "Request to service failed. If failure persists after retry, contact customer support."


class Endpoints:
    """The store holds the truth; `_fleets` holds what runs, by the endpoint's key."""

    def __init__(self, host: Host, settings: HostingSettings, models: Models, configs: EndpointConfigs) -> None:
        self._host = host
        self._settings = settings
        self._models = models
        self._configs = configs
        self.records = Records(host, ENDPOINT)
        self._capacity = Capacity(host, self.records)
        self._fleets: dict[str, Fleet] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_scaled: Callable[[str, str], bool] = lambda _endpoint, _variant: False
        """Whether a variant is a target of auto scaling: set by whoever scales."""

    def operations(self) -> Sequence[Operation]:
        with_config = ("EndpointConfigName",)
        return [
            Operation("sagemaker", "CreateEndpoint", self.create, self._may("CreateEndpoint", with_config)),
            Operation("sagemaker", "UpdateEndpoint", self.update, self._may("UpdateEndpoint", with_config)),
            Operation(
                "sagemaker",
                "UpdateEndpointWeightsAndCapacities",
                self.update_weights,
                self._may("UpdateEndpointWeightsAndCapacities"),
            ),
            Operation("sagemaker", "DescribeEndpoint", self.describe, self._may("DescribeEndpoint")),
            Operation("sagemaker", "DeleteEndpoint", self.delete, self._may("DeleteEndpoint")),
            Operation(
                "sagemaker", "ListEndpoints", self.list_endpoints, lambda _: Authorization("sagemaker:ListEndpoints")
            ),
        ]

    # Operations

    async def create(self, call: Call) -> Document:
        params = call.params
        name, config_name = params["EndpointName"], params["EndpointConfigName"]
        check_deployment(params.get("DeploymentConfig"))
        arn = self.records.arn(name)
        if self.records.find(name) is not None:
            raise already_exists(ENDPOINT, arn)
        plans = self._plans_of(config_name)
        self._capacity.check(plans)
        now = self._host.now()
        record = EndpointRecord.new(name, arn, config_name, plans, self._host.new_id(), tags_from(params), now)
        self.records.insert(name, record.document)
        self._publish(record)
        self._begin(self._create(record))
        return {"EndpointArn": arn}

    async def update(self, call: Call) -> Document:
        params = call.params
        check_deployment(params.get("DeploymentConfig"))
        record = self._changeable(params["EndpointName"])
        plans = self._plans_of(params["EndpointConfigName"])
        if params.get("RetainAllVariantProperties"):
            excluded = {p["VariantPropertyType"] for p in params.get("ExcludeRetainedVariantProperties", [])}
            plans = retained(plans, record.plans, excluded)
        self._check_scaled(record, plans)
        check_serverless(record, plans)
        self._capacity.check(plans)
        record.begin_update(params["EndpointConfigName"], plans, self._host.new_id(), self._host.now())
        self._changed(record)
        self._begin(self._update(record))
        return {"EndpointArn": record.arn}

    async def update_weights(self, call: Call) -> Document:
        record = self._changeable(call.params["EndpointName"])
        plans = {plan.name: plan for plan in record.plans}
        for wanted in call.params["DesiredWeightsAndCapacities"]:
            name = wanted["VariantName"]
            if name not in plans or plans[name].shadow:
                raise ValidationFailed(f'Could not find production variant "{name}" of endpoint "{record.arn}".')
            plans[name] = plans[name].changed(wanted.get("DesiredWeight"), wanted.get("DesiredInstanceCount"))
        if all(plan.weight == 0 for plan in plans.values() if not plan.shadow):
            raise ValidationFailed("At least one production variant must have a weight greater than zero.")
        self._capacity.check(list(plans.values()), record.plans)
        record.begin_update(record.document["config_name"], list(plans.values()), record.generation, self._host.now())
        self._changed(record)
        self._begin(self._rescale(record))
        return {"EndpointArn": record.arn}

    def scale(self, name: str, variant: str, count: int) -> None:
        """Another number of instances for a variant, as auto scaling asks for it.

        Raises:
            ApiError: it can't be changed now, or the account may not have so many.
        """
        record = self._changeable(name)
        plans = [plan.changed(None, count) if plan.name == variant else plan for plan in record.plans]
        self._capacity.check(plans, record.plans)
        record.begin_update(record.document["config_name"], plans, record.generation, self._host.now())
        self._changed(record)
        self._begin(self._rescale(record))

    async def describe(self, call: Call) -> Document:
        return EndpointRecord(self.records.get(call.params["EndpointName"])).describe()

    async def delete(self, call: Call) -> Document:
        record = EndpointRecord(self.records.get(call.params["EndpointName"]))
        if record.status in IN_PROGRESS:
            raise _in_progress(record)
        record.enter(DELETING, self._host.now())
        self._changed(record)
        self._begin(self._delete(record))
        return {}

    async def list_endpoints(self, call: Call) -> Document:
        page, token = self.records.page(call.params)
        return {"Endpoints": [EndpointRecord(document).summary() for document in page], "NextToken": token}

    def serving(self, name: str) -> Fleet | None:
        """The fleet that answers for an endpoint now; None when there is no such endpoint or it does not serve."""
        document = self.records.find(name)
        if document is None or document["status"] not in (IN_SERVICE, UPDATING):
            return None
        return self._fleets.get(key_of(name))

    def has_variant(self, name: str, variant: str, *, is_serverless: bool | None = None) -> bool:
        """
        Args:
            is_serverless: whether it has to be one; None: either will do.
        """
        document = self.records.find(name)
        plans = EndpointRecord(document).plans if document else []
        return any(
            plan.name == variant and not plan.shadow and is_serverless in {None, bool(plan.serverless)}
            for plan in plans
        )

    def failure_reason(self, name: str) -> str | None:
        """Of the last change, where that failed."""
        document = self.records.find(name)
        return document.get("failure_reason") if document else None

    def settled_count(self, name: str, variant: str) -> int | None:
        """How many instances a variant has; None while the endpoint changes, or does not serve."""
        document = self.records.find(name)
        if document is None or document["status"] != IN_SERVICE:
            return None
        return next((plan.count for plan in EndpointRecord(document).plans if plan.name == variant), None)

    def instances(self, name: str, variant: str) -> Sequence[Instance]:
        """The processes that answer for a variant."""
        fleet = self.serving(name)
        return fleet.variants[variant].instances if fleet and variant in fleet.variants else ()

    # Life

    async def start(self) -> None:
        """Takes up every endpoint where it was. Returns at once: models load in their own time."""
        await self._host.blocking.run(self._remove_leftovers, self.records.all())
        for document in self.records.all():
            record = EndpointRecord(document)
            if record.status in (IN_SERVICE, UPDATING):
                fleet = self._fleet(record, record.generation, record.plans)
                self._fleets[key_of(record.name)] = fleet
                fleet.recover()
            if record.status == CREATING:
                self._begin(self._create(record))
            elif record.status == UPDATING:
                pending = record.pending
                same = pending is not None and pending["generation"] == record.generation
                self._begin(self._rescale(record) if same else self._update(record))
            elif record.status == DELETING:
                self._begin(self._delete(record))
        self._begin(self._rest())

    async def _rest(self) -> None:
        """Serverless variants that are not used lose their processes."""
        while True:
            await self._host.sleep(self._settings.serverless_idle / 4)
            fleets = list(self._fleets.values())
            variants = [variant for fleet in fleets for variant in fleet.variants.values()]
            await asyncio.gather(*(variant.rest(self._settings.serverless_idle) for variant in variants))

    async def stop(self) -> None:
        """Ends every process; the records stay as they are."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(fleet.stop(drain=False, remove=False) for fleet in self._fleets.values()))

    # Tasks

    async def _create(self, record: EndpointRecord) -> None:
        fleet = await self._start("CreateEndpoint", record, record.generation, record.plans)
        if isinstance(fleet, Fleet):
            self._fleets[key_of(record.name)] = fleet
            record.enter(IN_SERVICE, self._host.now())
        else:
            record.enter(FAILED, self._host.now(), fleet)
        self._changed(record)

    async def _update(self, record: EndpointRecord) -> None:
        pending = record.pending or {}
        fleet = await self._start("UpdateEndpoint", record, pending["generation"], record.pending_plans)
        if not isinstance(fleet, Fleet):
            record.roll_back(fleet, self._host.now())
            self._changed(record)
            return
        key = key_of(record.name)
        old = self._fleets.get(key)
        # From here on every new request goes to the new fleet; the old one answers what it has accepted.
        self._fleets[key] = fleet
        record.finish_update(self._host.now())
        self._changed(record)
        if old is not None:
            await _retire(old)

    async def _rescale(self, record: EndpointRecord) -> None:
        fleet, plans = self._fleets[key_of(record.name)], record.pending_plans
        try:
            if is_more(plans, fleet.plans):
                plans = await self._capacity.provision("UpdateEndpointWeightsAndCapacities", record.name, plans)
            for plan in plans:
                await fleet.variants[plan.name].rescale(plan)
        except InstanceFailed as failure:
            record.document["variants"] = [plan.document() for plan in fleet.plans]
            record.roll_back(str(failure), self._host.now())
        else:
            record.finish_update(self._host.now())
        self._changed(record)

    async def _delete(self, record: EndpointRecord) -> None:
        fleet = self._fleets.pop(key_of(record.name), None)
        if fleet is None:
            # Failed, or taken up again after a restart: there may be directories, but nothing runs.
            fleet = self._fleet(record, record.generation, record.plans)
        await _retire(fleet)
        self.records.delete(record.name)
        self._publish(record)

    async def _start(
        self, operation: str, record: EndpointRecord, generation: str, plans: Sequence[VariantPlan]
    ) -> Fleet | str:
        """The fleet that came up, or why none did."""
        fleet: Fleet | None = None
        try:
            given = await self._capacity.provision(operation, record.name, plans)
            fleet = self._fleet(record, generation, given)
            await fleet.start()
        except InstanceFailed as failure:
            return str(failure)
        except asyncio.CancelledError:
            # The emulator is ending: the directories stay, the record says what to take up again.
            if fleet is not None:
                await asyncio.shield(fleet.stop(drain=False, remove=False))
            raise
        except Exception:
            # A task that dies silently would leave the endpoint in Creating for ever.
            logger.exception("the endpoint could not be started")
            return INTERNAL
        return fleet

    # Within

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("a task of an endpoint failed", exc_info=task.exception())

    def _fleet(self, record: EndpointRecord, generation: str, plans: Sequence[VariantPlan]) -> Fleet:
        root = self._root / key_of(record.name) / generation
        return Fleet(self._host, self._settings, record.name, root, plans)

    @property
    def _root(self) -> Path:
        return self._host.settings.state / "endpoints"

    def _remove_leftovers(self, documents: Sequence[Document]) -> None:
        """Removes directories that no record names: an old fleet's, when the emulator was killed between two steps."""
        named = set()
        for document in documents:
            generations = {document["generation"], (document["pending"] or {}).get("generation")}
            named |= {(key_of(document["name"]), generation) for generation in generations}
        for directory in self._root.glob("*/*"):
            if (directory.parent.name, directory.name) not in named:
                shutil.rmtree(directory, ignore_errors=True)

    def _plans_of(self, config_name: str) -> list[VariantPlan]:
        config = self._configs.records.get(config_name)
        return [
            VariantPlan.of(variant, self._models.records.get(variant["ModelName"]), shadow=shadow)
            for member, shadow in (("ProductionVariants", False), ("ShadowProductionVariants", True))
            for variant in config["request"].get(member, ())
        ]

    def _check_scaled(self, record: EndpointRecord, plans: Sequence[VariantPlan]) -> None:
        """What is scaled by itself keeps its instance type: https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-scaling.html"""
        wanted = {plan.name: plan.instance_type for plan in plans}
        for plan in record.plans:
            if self.is_scaled(record.name, plan.name) and wanted.get(plan.name) != plan.instance_type:
                said = "before its instance type is changed, or it is left out, deregister it from auto scaling."
                raise ValidationFailed(f'Variant "{plan.name}" of endpoint "{record.arn}" is scaled: {said}')

    def _changeable(self, name: str) -> EndpointRecord:
        record = EndpointRecord(self.records.get(name))
        if record.status in IN_PROGRESS:
            raise _in_progress(record)
        if record.status != IN_SERVICE:
            raise ValidationFailed(f'Cannot update endpoint "{record.arn}": it is in status {record.status}.')
        return record

    def _changed(self, record: EndpointRecord) -> None:
        # Tags may have been changed meanwhile by an operation of their own.
        stored = self.records.find(record.name)
        if stored is not None:
            record.document["tags"] = stored["tags"]
        self.records.put(record.document)
        self._publish(record)

    def _publish(self, record: EndpointRecord) -> None:
        endpoint_changed(self._host, record.document, record.variants_shown())

    def _may(self, operation: str, config: Sequence[str] = ()) -> Callable[[Document], Authorization]:
        """On the endpoint's ARN, and on that of the configuration where the request names one."""
        return lambda params: Authorization(
            f"sagemaker:{operation}",
            (self.records.arn(params["EndpointName"]), *(self._configs.records.arn(params[name]) for name in config)),
        )


async def _retire(fleet: Fleet) -> None:
    """Ends a fleet after its last request; at once, when the emulator itself is ending."""
    try:
        await fleet.stop(drain=True, remove=True)
    except asyncio.CancelledError:
        await fleet.stop(drain=False, remove=False)
        raise


def _in_progress(record: EndpointRecord) -> ValidationFailed:
    return ValidationFailed(f'Cannot update in-progress endpoint "{record.arn}".')
