"""Experiments: made, counted into, ended by hand."""

from __future__ import annotations

from typing import Any

from chalicelib.audit.entry import Action
from chalicelib.experiments.experiment import Status
from chalicelib.experiments.request import (
    CountsRequest,
    ExperimentRequest,
    ExposureRequest,
    OutcomeRequest,
    StopRequest,
)
from tests.e2e.sweeps.faulty import Handler
from tests.e2e.sweeps.services import Services, World

PLAN: dict[str, Any] = {
    "name": "sweep",
    "variants": ["a", "b"],
    "primary_metric": {"name": "conversion", "type": "proportion", "direction": "increase"},
    "max_samples_per_variant": 5000,
}
N, UNITS = 100, 3


def handlers(on: Services) -> list[Handler]:
    service = on.platform.experiments

    def create(world: World) -> None:
        made = service.create(world.caller, ExperimentRequest.model_validate(PLAN), "key")
        world.things["id"] = made.experiment_id

    def created(world: World) -> None:
        page = service.search(world.caller, None, 10, 0, None)
        assert [each.experiment_id for each in page.experiments] == [world.things["id"]]
        assert on.actions(world, Action.CREATE_EXPERIMENT) == 1

    def made() -> World:
        world = on.world()
        create(world)
        return world

    def stop(world: World) -> None:
        service.stop(world.caller, world.things["id"], StopRequest())

    def stopped(world: World) -> None:
        assert service.get(world.caller, world.things["id"]).status is Status.STOPPED
        assert on.actions(world, Action.STOP_EXPERIMENT) == 1

    def count(world: World) -> None:
        batch = [
            CountsRequest(variant=variant, metric="conversion", n=N, successes=N // 10) for variant in PLAN["variants"]
        ]
        on.platform.outcomes.count(world.caller, world.things["id"], batch, "batch")

    def counted_once(world: World) -> None:
        _, progress = service.results(world.caller, world.things["id"])
        assert progress.state.report["units"] == {"a": N, "b": N}

    def exposures() -> list[ExposureRequest]:
        return [ExposureRequest(variant="a", key=f"unit-{number}") for number in range(UNITS)]

    def expose(world: World) -> None:
        on.platform.joining.expose(world.caller, world.things["id"], exposures())

    def exposed() -> World:
        world = made()
        expose(world)
        return world

    def exposed_once(world: World) -> None:
        found = on.platform.joining.expose(world.caller, world.things["id"], exposures())
        assert (found.counted, len(found.duplicates)) == (0, UNITS)
        report(world)
        _, progress = service.results(world.caller, world.things["id"])
        assert progress.state.report["exposures"] == {"a": UNITS, "b": 0}

    def report(world: World) -> None:
        outcomes = [OutcomeRequest(key=f"unit-{number}", metric="conversion", value=1) for number in range(UNITS)]
        on.platform.joining.report(world.caller, world.things["id"], outcomes)

    def reported_once(world: World) -> None:
        count(world)
        _, progress = service.results(world.caller, world.things["id"])
        (found,) = progress.state.report["metrics"]
        assert found["n"] == {"a": N + UNITS, "b": N}
        assert round(found["value"]["a"] * (N + UNITS)) == N // 10 + UNITS

    return [
        Handler("createExperiment", on.world, create, created),
        Handler("stopExperiment", made, stop, stopped),
        Handler("reportExposures", made, expose, exposed_once),
        Handler("reportOutcomes", made, count, counted_once, "of batches"),
        Handler("reportOutcomes", exposed, report, reported_once, "of units"),
    ]
