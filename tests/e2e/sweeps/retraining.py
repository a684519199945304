"""Retraining: policies, runs that a person starts, and what the queue brings."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from chalicelib.audit.entry import Action
from chalicelib.errors import NotFound
from chalicelib.jobs.job import JobStatus
from chalicelib.jobs.life import Ended
from chalicelib.quotas.quota import Amounts
from chalicelib.retraining.policy import RetrainingPolicy
from chalicelib.retraining.request import RetrainingPolicyRequest
from chalicelib.retraining.run import Run, RunStatus, Trigger
from chalicelib.retraining.tasks import retrain
from tests.e2e.sweeps.faulty import Handler
from tests.e2e.sweeps.services import Services, World

COST = Decimal("1.5")


def handlers(on: Services) -> list[Handler]:
    platform = on.platform
    bucket = platform.settings.artifacts_bucket

    def with_data() -> World:
        """Data lies below the prefix that starts no run: the cloud's own function is told of it, too."""
        world = on.world()
        platform.objects.write(f"{world.caller.prefix}rows/old.parquet", b"x", "application/octet-stream")
        return world

    def request(world: World, name: str = "churn") -> RetrainingPolicyRequest:
        config = world.request.config.model_dump(mode="json", exclude_defaults=True)
        del config["dataset_path"]
        return RetrainingPolicyRequest.model_validate(
            {
                "name": name,
                "source": {
                    "type": "s3",
                    "uri_prefix": f"s3://{bucket}/{world.caller.prefix}rows/",
                    "pattern": "*.csv",
                },
                "debounce": 0,
                "job": {"name": "churn", "framework": "sklearn", "config": config},
            }
        )

    def create(world: World) -> None:
        world.things["policy"] = platform.retraining.create(world.caller, request(world)).policy_id

    def made() -> World:
        world = with_data()
        create(world)
        return world

    def policies(world: World) -> tuple[RetrainingPolicy, ...]:
        return platform.retraining.search(world.caller, 10, 0, None).policies

    def created(world: World) -> None:
        """A lost answer leaves one that the list shows."""
        found = policies(world)
        assert world.things["policy"] in [policy.policy_id for policy in found]
        assert on.actions(world, Action.CREATE_RETRAINING_POLICY) == len(found) <= 2

    def change(world: World) -> None:
        platform.retraining.set(world.caller, world.things["policy"], request(world, "renamed"))

    def changed(world: World) -> None:
        (policy,) = policies(world)
        assert policy.name == "renamed"
        assert on.actions(world, Action.SET_RETRAINING_POLICY) == policy.record_version - 1 <= 2

    def remove(world: World) -> None:
        try:
            platform.retraining.remove(world.caller, world.things["policy"])
        except NotFound:
            return

    def removed(world: World) -> None:
        assert policies(world) == ()
        assert on.actions(world, Action.DELETE_RETRAINING_POLICY) == 1

    def start(world: World) -> None:
        platform.retraining.start(world.caller, world.things["policy"])

    def run(world: World) -> Run:
        """The only one."""
        (found,) = platform.retraining.runs(world.caller, world.things["policy"], 10, 0, None).runs
        return found

    def started(world: World) -> None:
        assert (run(world).status, run(world).trigger) == (RunStatus.GATHERING, Trigger.PERSON)
        assert run(world).look_at is not None
        assert on.actions(world, Action.START_RETRAINING_RUN) >= 1

    def told(message: Callable[[World], Mapping[str, Any]]) -> Callable[[World], None]:
        def event(world: World) -> dict[str, Any]:
            return {"Records": [{"messageId": "m", "body": json.dumps(message(world))}]}

        def take(world: World) -> None:
            # What it could not act on it names, and the queue brings it again.
            answer: Any = on.function(retrain, event)(world)
            if answer["batchItemFailures"]:
                raise RuntimeError("not taken")

        return take

    def upload(world: World) -> Mapping[str, Any]:
        found = {"key": f"{world.caller.prefix}rows/new.csv", "size": 1, "etag": "e", "sequencer": "01"}
        detail = {"bucket": {"name": bucket}, "object": found}
        return {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}

    def uploaded() -> World:
        world = made()
        told(upload)(world)
        return world

    def gathered(world: World) -> None:
        """One run, which knows of one object, and will be looked at."""
        assert run(world).status is RunStatus.GATHERING
        assert run(world).look_at is not None
        assert len(list(platform.retraining_store.arrived(run(world)))) == 1

    def look(world: World) -> Mapping[str, Any]:
        return {"look": {"tenant": world.caller.tenant, "policy_id": world.things["policy"], "number": 1}}

    def trains(world: World) -> None:
        """One job, which is the run's."""
        assert (run(world).status, run(world).objects) == (RunStatus.TRAINING, 1)
        on.balanced(world, JobStatus.PENDING)
        found = platform.retraining_store.by_job(world.caller.tenant, run(world).job_id or "")
        assert found == run(world)

    def ended() -> World:
        world = uploaded()
        told(look)(world)
        job = platform.job_store.get(world.caller.tenant, run(world).job_id or "")
        assert job is not None
        now = on.clock()
        platform.job_store.change(job, Ended(JobStatus.FAILED, now, Amounts(cost_usd=COST), "no"), now)
        return world

    def end(world: World) -> Mapping[str, Any]:
        detail = {"tenantId": world.caller.tenant, "jobId": run(world).job_id}
        return {"source": "aimatrix", "detail-type": "training.job.status-changed", "detail": detail}

    def over(world: World) -> None:
        """What it cost is counted once."""
        assert (run(world).status, run(world).cost_usd) == (RunStatus.FAILED, COST)
        standing = platform.retraining_store.standing(world.caller.tenant, world.things["policy"])
        assert (standing.training, standing.spent_usd) == (None, COST)

    return [
        Handler("createRetrainingPolicy", with_data, create, created),
        Handler("setRetrainingPolicy", made, change, changed),
        Handler("deleteRetrainingPolicy", made, remove, removed),
        Handler("startRetrainingRun", made, start, started),
        Handler("retrain", made, told(upload), gathered, "an upload"),
        Handler("retrain", uploaded, told(look), trains, "a run that is due"),
        Handler("retrain", ended, told(end), over, "the end of a job"),
    ]
