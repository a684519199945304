"""The running variants of one endpoint configuration."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from localcloud.compute.host import Host
from localcloud.compute.hosting.instance import Instance, InstanceFailed
from localcloud.compute.hosting.plan import VariantPlan
from localcloud.compute.hosting.settings import HostingSettings
from localcloud.compute.log_shipping import LogDestination

logger = logging.getLogger(__name__)

LOG_GROUP = "/aws/sagemaker/Endpoints"
STREAM_DIGITS = 17  # as in an EC2 instance id


class Variant:
    """One variant's plan and processes."""

    def __init__(self, plan: VariantPlan, make: Callable[[VariantPlan, int], Instance], cap: int) -> None:
        self.plan = plan
        self._make = make
        self._cap = cap
        self._made = 0
        self._waking = asyncio.Lock()
        self._used = 0.0
        self.instances: list[Instance] = [self._next() for _ in range(self._wanted)]

    @property
    def _wanted(self) -> int:
        """How many processes this machine gives the variant; a serverless one gets its own when it is used."""
        return 0 if self.plan.serverless else min(self.plan.count, self._cap)

    @property
    def in_flight(self) -> int:
        return sum(instance.in_flight for instance in self.instances)

    async def wake(self) -> None:
        """Sees to it that a serverless variant has a process.

        Raises:
            InstanceFailed: it did not come up.
        """
        if self.plan.serverless is None:
            return
        async with self._waking:
            self._used = asyncio.get_running_loop().time()
            if not self.instances:
                instance = self._next()
                try:
                    await start_all([instance])
                except asyncio.CancelledError:
                    await asyncio.shield(instance.stop(drain=False, remove=False))
                    raise
                self.instances = [instance]

    async def rest(self, idle: float) -> None:
        """Ends the process of a serverless variant that was not used for so many seconds."""
        async with self._waking:
            is_idle = self.in_flight == 0 and asyncio.get_running_loop().time() - self._used >= idle
            if self.plan.serverless is None or not self.instances or not is_idle:
                return
            ended, self.instances = self.instances, []
            try:
                await asyncio.gather(*(instance.stop(drain=True, remove=True) for instance in ended))
            except asyncio.CancelledError:
                await asyncio.shield(asyncio.gather(*(each.stop(drain=False, remove=False) for each in ended)))
                raise

    def _next(self) -> Instance:
        self._made += 1
        return self._make(self.plan, self._made)

    def least_busy(self, tried: Collection[Instance] = ()) -> Instance | None:
        """Of those that were not tried."""
        healthy = [instance for instance in self.instances if instance.healthy and instance not in tried]
        return min(healthy, key=lambda instance: instance.in_flight, default=None)

    async def rescale(self, plan: VariantPlan) -> None:
        """Starts or drains processes so that they are as many as `plan` wants.

        Raises:
            InstanceFailed: a new process did not come up; the old ones go on as before.
        """
        before, self.plan = self.plan, plan
        added = [self._next() for _ in range(self._wanted - len(self.instances))]
        try:
            await start_all(added)
        except InstanceFailed:
            self.plan = before
            raise
        except asyncio.CancelledError:
            # The emulator is ending: the record says what to take up again.
            await asyncio.shield(asyncio.gather(*(each.stop(drain=False, remove=False) for each in added)))
            raise
        self.instances += added
        surplus = self.instances[self._wanted :]
        self.instances = self.instances[: self._wanted]
        await asyncio.gather(*(instance.stop(drain=True, remove=True) for instance in surplus))


class Fleet:
    """All variants of one generation of an endpoint."""

    def __init__(
        self, host: Host, settings: HostingSettings, endpoint: str, root: Path, plans: Sequence[VariantPlan]
    ) -> None:
        self._host = host
        self._settings = settings
        self._endpoint = endpoint
        self._root = root
        self.variants: Mapping[str, Variant] = {
            plan.name: Variant(plan, self._make_instance, settings.instance_cap) for plan in plans
        }

    def _make_instance(self, plan: VariantPlan, number: int) -> Instance:
        stream = f"i-{self._host.new_id().replace('-', '')[:STREAM_DIGITS]}"
        unhealthy = (
            f"The primary container for production variant {plan.name} did not pass the ping health check. Please check "
            f"CloudWatch logs for this endpoint."
        )
        destination = LogDestination(f"{LOG_GROUP}/{self._endpoint}", f"{plan.name}/{stream}")
        root = self._root / f"{plan.name}-{number}"
        return Instance(self._host, self._settings, plan, root, destination, unhealthy)

    @property
    def plans(self) -> list[VariantPlan]:
        return [variant.plan for variant in self.variants.values()]

    async def start(self) -> None:
        """Brings every instance up.

        Raises:
            InstanceFailed: one did not come up; nothing of the fleet runs then.
        """
        try:
            await start_all(self._instances())
            # Its container is tried, too.
            await asyncio.gather(*(variant.wake() for variant in self.variants.values()))
        except InstanceFailed:
            await self.stop(drain=False, remove=True)
            raise

    def recover(self) -> None:
        """Brings up what was in service before, each instance as often as it takes."""
        for instance in self._instances():
            instance.recover()

    async def stop(self, *, drain: bool, remove: bool) -> None:
        # Nobody waits for what a shadow still answers.
        stopping = (
            instance.stop(drain=drain and not variant.plan.shadow, remove=remove)
            for variant in self.variants.values()
            for instance in variant.instances
        )
        await asyncio.gather(*stopping)
        if remove:
            await self._host.blocking.run(shutil.rmtree, self._root, ignore_errors=True)

    def choose(self, dice: Callable[[], float]) -> Variant | None:
        """A production variant by weight; `dice` is in [0, 1). None when every weight is zero."""
        production = [variant for variant in self.variants.values() if not variant.plan.shadow]
        total = sum(variant.plan.weight for variant in production)
        if total <= 0:
            return None
        point = dice() * total
        for variant in production:
            point -= variant.plan.weight
            if point < 0:
                return variant
        return next(variant for variant in reversed(production) if variant.plan.weight > 0)

    def shadow_of(self, variant: Variant, dice: Callable[[], float]) -> Variant | None:
        """The variant that gets a copy of a request to `variant`; None when this one is not copied."""
        shadow = next((each for each in self.variants.values() if each.plan.shadow), None)
        if shadow is None or dice() * variant.plan.weight >= shadow.plan.weight:
            return None
        return shadow

    def _instances(self) -> list[Instance]:
        return [instance for variant in self.variants.values() for instance in variant.instances]


async def start_all(instances: Sequence[Instance]) -> None:
    """Starts all at once.

    Raises:
        InstanceFailed: of the first one that did not come up; none of `instances` runs then.
    """
    outcomes = await asyncio.gather(*(instance.start() for instance in instances), return_exceptions=True)
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if failures:
        await asyncio.gather(*(instance.stop(drain=False, remove=True) for instance in instances))
        known = next((failure for failure in failures if isinstance(failure, InstanceFailed)), None)
        raise known or failures[0]
