"""Runs: what becomes of one that is due, of its job, and of its model."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.auto_deployment.deploying import PlaceBusy
from chalicelib.identity.caller import Caller
from chalicelib.jobs.job import JobFilter, JobStatus
from chalicelib.jobs.life import Ended
from chalicelib.quotas.quota import Amounts, Limits
from chalicelib.retraining.policy import RetrainingPolicy
from chalicelib.retraining.request import RetrainingPolicyRequest
from chalicelib.retraining.run import Run, RunStatus
from tests.functional.jobs.conftest import ADMIN, ALICE
from tests.functional.retraining.conftest import Room

DEPLOYER = Caller("acme", "alice", frozenset({"USER", "MODEL_DEPLOYER"}))


def trained(
    room: Room, policy: RetrainingPolicy, name: str = "a.csv", body: bytes = b"age,churned\n30,0\n41,1\n"
) -> Run:
    """An upload comes, and its run trains or has ended."""
    room.tell(room.put(name, body))
    room.later(61)
    return room.runs(policy)[-1]


class TestARun:
    def test_knows_the_versions_of_its_data(self, room: Room) -> None:
        policy = room.policy()
        run = trained(room, policy)
        assert run.data is not None
        assert (run.data.objects, run.data.size) == (1, 22)
        body = room.jobs.objects.client.get_object(Bucket="artifacts", Key=run.data.manifest)["Body"].read()
        (line,) = body.decode().splitlines()
        versions = room.jobs.objects.client.list_object_versions(Bucket="artifacts", Prefix=f"{ALICE.prefix}data/")
        assert json.loads(line)["version_id"] == versions["Versions"][0]["VersionId"]
        assert room.store.by_data("acme", run.data.data_id, 10) == [run]

    def test_ends_with_its_job_and_says_what_it_cost(self, room: Room) -> None:
        policy = room.policy()
        run = trained(room, policy)
        told = room.end(run)
        room.tell(told, told)
        ended = room.run(policy)
        assert (ended.status, ended.model_id, str(ended.cost_usd)) == (RunStatus.SUCCEEDED, "model-1", "1.5")
        assert str(room.store.standing("acme", policy.policy_id).spent_usd) == "1.5"
        assert room.deploying.asked == []

    def test_whose_job_fails_says_why(self, room: Room) -> None:
        policy = room.policy()
        room.tell(room.end(trained(room, policy), JobStatus.FAILED))
        assert (room.run(policy).status, room.run(policy).reason) == (RunStatus.FAILED, "ValueError: no")

    def test_whose_job_ended_before_anybody_knew_it_was_a_runs_ends_all_the_same(self, room: Room) -> None:
        policy = room.policy()
        room.tell(room.put("a.csv"))
        # The job is made, and the call that would have noted it dies; meanwhile the job is cancelled.
        room.jobs.machine.lost = 1
        room.jobs.clock.advance(61)
        (look,) = room.looks.due()
        assert room.tell({"look": vars(look)}) == ["0"]
        (job,) = room.jobs.store.search("acme", JobFilter(), 10, 0, None).jobs
        now = room.jobs.clock()
        room.jobs.store.change(job, Ended(JobStatus.FAILED, now, Amounts(), "no"), now)
        assert room.tell({"look": vars(look)}) == []
        assert (room.run(policy).status, room.run(policy).job_id) == (RunStatus.FAILED, job.job_id)

    @pytest.mark.parametrize(
        "meanwhile",
        [
            lambda room, policy: room.service.remove(ALICE, policy.policy_id),
            lambda room, policy: change(room, policy, enabled=False),
            lambda room, policy: change(room, policy, budget_usd=0.01),
            lambda room, policy: change(room, policy, job={**policy.job, "name": "other"}),
            lambda room, policy: room.remove("a.csv"),
        ],
    )
    def test_whose_job_was_made_when_the_call_died_is_that_jobs_whatever_happened_since(
        self, room: Room, meanwhile: Callable[[Room, RetrainingPolicy], object]
    ) -> None:
        policy = room.policy()
        room.tell(room.put("a.csv"))
        room.jobs.machine.lost = 1
        room.jobs.clock.advance(61)
        (look,) = room.looks.due()
        assert room.tell({"look": vars(look)}) == ["0"]
        meanwhile(room, policy)
        assert room.tell({"look": vars(look)}) == []
        (job,) = room.jobs.store.search("acme", JobFilter(), 10, 0, None).jobs
        assert (room.run(policy).status, room.run(policy).job_id) == (RunStatus.TRAINING, job.job_id)

    def test_whose_end_nobody_told_ends_when_it_is_looked_at(self, room: Room) -> None:
        policy = room.policy()
        room.end(trained(room, policy))
        room.tell({"look": {"tenant": "acme", "policy_id": policy.policy_id, "number": 1}})
        assert room.run(policy).status is RunStatus.SUCCEEDED

    def test_is_deployed_by_the_plan_once_its_place_is_free(self, room: Room) -> None:
        policy = room.policy(DEPLOYER, on_success={"deploy_to": "production"})
        told = room.end(trained(room, policy))
        room.deploying.refusing = PlaceBusy("busy")
        assert room.tell(told) == ["0"]
        assert room.run(policy).status is RunStatus.SUCCEEDED
        room.deploying.refusing = None
        assert room.tell(told, told) == []
        assert room.run(policy).deployment_id == "deployment-1"
        ((model, wanted),) = room.deploying.asked
        assert (model, wanted.config["environment"], wanted.user) == ("model-1", "production", "alice")

    def test_over_the_quota_waits_for_a_place(self, room: Room) -> None:
        policy = room.policy()
        room.jobs.accounts.set_limits(ADMIN, "alice", Limits(max_concurrent_jobs=1))
        other = room.jobs.service.submit(ALICE, room.jobs.request(), None)
        run = trained(room, policy)
        assert run.status is RunStatus.STARTING
        assert run.reason is not None
        assert run.reason.startswith("It waits: ")
        room.jobs.accounts.set_limits(ADMIN, "alice", Limits(max_concurrent_jobs=2))
        assert other.job_id
        room.later(901)
        assert (room.run(policy).status, room.run(policy).reason) == (RunStatus.TRAINING, None)

    def test_of_a_job_that_would_be_refused_says_why(self, room: Room) -> None:
        policy = room.policy()
        room.jobs.objects.client.delete_object(Bucket="artifacts", Key=policy.job["config"]["script_path"][15:])
        run = trained(room, policy)
        assert run.status is RunStatus.REFUSED
        assert run.reason is not None
        assert "config.script_path" in run.reason or "does not exist" in run.reason
        # It holds nobody up.
        assert room.store.standing("acme", policy.policy_id).training is None

    def test_over_the_budget_of_the_month_is_refused_until_the_next(self, room: Room) -> None:
        policy = room.policy(budget_usd=2.0)
        room.tell(room.end(trained(room, policy), cost="2.25"))
        refused = trained(room, policy, "b.csv")
        assert refused.status is RunStatus.REFUSED
        assert refused.reason == "The budget of 2 USD for 2026-03 is spent: 2.25 USD."
        room.jobs.clock.advance(31 * 24 * 3600)
        assert trained(room, policy, "c.csv").status is RunStatus.TRAINING


class TestWhileAnotherOneTrains:
    def test_a_run_waits_and_goes_on_gathering(self, room: Room) -> None:
        policy = room.policy()
        first = trained(room, policy)
        assert trained(room, policy, "b.csv").status is RunStatus.GATHERING
        assert trained(room, policy, "c.csv").number == 2
        room.tell(room.end(first))
        room.deliver()
        assert [(run.status, run.objects) for run in room.runs(policy)] == [
            (RunStatus.SUCCEEDED, 1),
            (RunStatus.TRAINING, 2),
        ]

    def test_a_run_that_waits_behind_one_that_is_refused_begins(self, room: Room) -> None:
        policy = room.policy()
        room.jobs.accounts.set_limits(ADMIN, "alice", Limits(max_concurrent_jobs=1))
        room.jobs.service.submit(ALICE, room.jobs.request(), None)
        assert trained(room, policy).status is RunStatus.STARTING
        assert trained(room, policy, "b.csv").status is RunStatus.GATHERING
        room.later(24 * 3600)
        room.jobs.accounts.set_limits(ADMIN, "alice", Limits(max_concurrent_jobs=3))
        room.later(1)
        room.later(901)
        assert [run.status for run in room.runs(policy)][-1] is RunStatus.TRAINING

    def test_a_run_takes_the_place_of_one_that_has_no_job_yet(self, room: Room) -> None:
        policy = room.policy(concurrency="replace")
        room.jobs.accounts.set_limits(ADMIN, "alice", Limits(max_concurrent_jobs=1))
        room.jobs.service.submit(ALICE, room.jobs.request(), None)
        assert trained(room, policy).status is RunStatus.STARTING
        room.jobs.accounts.set_limits(ADMIN, "alice", Limits(max_concurrent_jobs=5))
        trained(room, policy, "b.csv")
        room.later(901)
        assert [run.status for run in room.runs(policy)] == [RunStatus.SKIPPED, RunStatus.TRAINING]

    def test_a_run_is_skipped_where_the_policy_says_so(self, room: Room) -> None:
        policy = room.policy(concurrency="skip")
        first = trained(room, policy)
        assert trained(room, policy, "b.csv").status is RunStatus.SKIPPED
        room.tell(room.end(first))
        assert trained(room, policy, "c.csv").status is RunStatus.TRAINING

    def test_a_run_replaces_it_where_the_policy_says_so(self, room: Room) -> None:
        policy = room.policy(concurrency="replace")
        first = trained(room, policy)
        second = trained(room, policy, "b.csv")
        assert second.status is RunStatus.TRAINING
        assert first.job_id is not None
        job = room.jobs.store.get("acme", first.job_id)
        assert job is not None
        assert job.cancel_requested_at is not None
        room.tell(room.end(first, JobStatus.CANCELLED))
        assert room.store.standing("acme", policy.policy_id).training == 2


def change(room: Room, policy: RetrainingPolicy, **changes: Any) -> None:
    room.service.set(ALICE, policy.policy_id, RetrainingPolicyRequest.model_validate(room.document(**changes)))


class TestTheSchemaCheck:
    OTHER = b"age,income\nold,9\n"

    def test_warns_of_columns_types_and_ranges(self, room: Room) -> None:
        policy = room.policy()
        room.tell(room.end(trained(room, policy)))
        run = trained(room, policy, "b.csv", self.OTHER)
        assert run.status is RunStatus.TRAINING
        assert run.warnings == (
            "These columns are missing: churned.",
            "These columns are new: income.",
            "age was numbers, and is text.",
        )

    def test_keeps_no_more_than_a_record_has_room_for(self, room: Room) -> None:
        policy = room.policy()
        header = ",".join(f"{'я' * 100}{number}" for number in range(900))
        assert trained(room, policy, "a.csv", f"{header}\n".encode()).status is RunStatus.TRAINING
        assert room.store.standing("acme", policy.policy_id).profile is None

    def test_of_what_a_person_starts_a_run_with_warns_and_is_what_the_next_one_is_held_against(
        self, room: Room
    ) -> None:
        policy = room.policy(schema_check="refuse")
        room.tell(room.end(trained(room, policy)))
        room.put("a.csv", self.OTHER)
        room.service.start(ALICE, policy.policy_id)
        room.deliver()
        by_hand = room.runs(policy)[-1]
        assert (by_hand.status, len(by_hand.warnings)) == (RunStatus.TRAINING, 3)
        room.tell(room.end(by_hand))
        assert trained(room, policy, "b.csv", self.OTHER).status is RunStatus.TRAINING

    def test_of_enormous_names_of_columns_stops_nobody(self, room: Room) -> None:
        policy = room.policy()
        header = ",".join(f"{number}{'x' * 60_000}" for number in range(4))
        for number in range(10):
            room.tell(room.put(f"{number}.csv", f"{number}{header}\n1,2,3,4\n".encode()))
        room.later(61)
        assert room.run(policy).status is RunStatus.TRAINING

    def test_refuses_where_the_policy_says_so_and_keeps_what_it_knew(self, room: Room) -> None:
        policy = room.policy(schema_check="refuse")
        room.tell(room.end(trained(room, policy)))
        refused = trained(room, policy, "b.csv", b"age,churned\n30,0\n4100,1\n")
        assert refused.status is RunStatus.REFUSED
        assert refused.reason is not None
        assert refused.reason.endswith("age was 30 to 41, and is 30 to 4100.")
        assert trained(room, policy, "c.csv").status is RunStatus.TRAINING


@pytest.mark.parametrize("change", [{"enabled": False}, None])
def test_a_policy_that_is_switched_off_or_removed_trains_no_more(room: Room, change: dict[str, bool] | None) -> None:
    policy = room.policy()
    room.tell(room.put("a.csv"))
    if change is None:
        room.service.remove(ALICE, policy.policy_id)
    else:
        wanted = RetrainingPolicyRequest.model_validate(room.document(**change))
        room.service.set(ALICE, policy.policy_id, wanted)
    room.later(61)
    assert room.run(policy).status is RunStatus.REFUSED
    room.tell(room.put("b.csv"))
    room.later(61)
    assert len(room.runs(policy)) == 1
