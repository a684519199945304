"""From data to deployment and back, by the id of any of them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from chalicelib.deployments.deployment import Deployment, Revision, Variant
from chalicelib.deployments.store import DeploymentStore
from chalicelib.identity.caller import Auth, Caller
from chalicelib.lineage.routes import rooms
from chalicelib.lineage.service import LineageService
from chalicelib.table import Table
from tests.functional.jobs.conftest import ADMIN, ALICE, BOB, STRANGER
from tests.functional.rest import Gateway
from tests.functional.retraining.conftest import Room
from tests.functional.retraining.conftest import jobs as jobs
from tests.functional.retraining.conftest import room as room
from tests.functional.tables import create_table


@pytest.fixture
def deployments(room: Room) -> DeploymentStore:
    return DeploymentStore(Table(boto3.client("dynamodb"), create_table(boto3.client("dynamodb"), "deployments")))


@pytest.fixture
def api(room: Room, deployments: DeploymentStore) -> Gateway:
    lineage = LineageService(room.jobs.store, room.models, deployments, room.store)
    platform: Any = SimpleNamespace(lineage=lineage)
    authorizer: Any = None
    return Gateway.of(rooms(platform, authorizer))


@pytest.fixture
def ids(room: Room, deployments: DeploymentStore) -> dict[str, str]:
    """Of everything that came of one upload."""
    policy = room.policy()
    room.tell(room.put("a.csv"))
    room.later(61)
    room.tell(room.end(room.run(policy)))
    run = room.run(policy)
    assert run.data is not None
    assert run.job_id is not None
    assert run.model_id is not None
    variants = (Variant("v1", run.model_id, "1", 1.0),)
    revision = Revision(1, variants, {"environment": "staging"}, "ml.m5.large", 0, 20)
    now = room.jobs.clock()
    deployments.create(
        Deployment("acme", "deployment-1", "alice", "churn", "staging", "endpoint", revision, now, now), None
    )
    return {"data": run.data.data_id, "job": run.job_id, "model": run.model_id, "deployment": "deployment-1"}


CHAIN = ["data", "job", "model", "deployment"]


def nodes(answer: Any, direction: str) -> list[tuple[str, str]]:
    return [(each["type"], each["id"]) for each in answer[direction]]


class TestLineage:
    @pytest.mark.parametrize("asked", CHAIN)
    def test_leads_both_ways_from_wherever_one_asks(self, api: Gateway, ids: dict[str, str], asked: str) -> None:
        answer = api.send(ALICE, "GET", f"/v1/lineage/{ids[asked]}").json
        place = CHAIN.index(asked)
        assert (answer["type"], answer["id"]) == (asked, ids[asked])
        assert nodes(answer, "upstream") == [(each, ids[each]) for each in reversed(CHAIN[:place])]
        assert nodes(answer, "downstream") == [(each, ids[each]) for each in CHAIN[place + 1 :]]

    def test_says_what_each_came_of(self, api: Gateway, ids: dict[str, str]) -> None:
        down = api.send(ALICE, "GET", f"/v1/lineage/{ids['data']}").json["downstream"]
        assert [each["of"] for each in down] == [ids["data"], ids["job"], ids["model"]]
        (data,) = api.send(ALICE, "GET", f"/v1/lineage/{ids['job']}").json["upstream"]
        assert (data["objects"], data["retraining_run_id"]) == (1, "1")
        assert data["checksum"].startswith("sha256:")

    def test_of_a_job_that_a_person_submitted_knows_the_address_of_its_data(self, api: Gateway, room: Room) -> None:
        job = room.jobs.service.submit(ALICE, room.jobs.request(), None)
        (data,) = api.send(ALICE, "GET", f"/v1/lineage/{job.job_id}").json["upstream"]
        assert data == {"type": "data", "of": job.job_id, "uri": job.config["dataset_path"]}

    def test_leaves_out_what_the_caller_may_not_see(self, api: Gateway, ids: dict[str, str]) -> None:
        for hidden in ("data", "job"):
            assert api.send(BOB, "GET", f"/v1/lineage/{ids[hidden]}").status == 404
        assert nodes(api.send(BOB, "GET", f"/v1/lineage/{ids['deployment']}").json, "upstream") == [
            ("model", ids["model"])
        ]
        assert len(nodes(api.send(ADMIN, "GET", f"/v1/lineage/{ids['deployment']}").json, "upstream")) == 3
        narrow = replace(ALICE, granted=frozenset({"jobs:read"}), auth=Auth.KEY)
        assert api.send(narrow, "GET", f"/v1/lineage/{ids['job']}").json["downstream"] == []

    @pytest.mark.parametrize("caller", [ALICE, STRANGER])
    @pytest.mark.parametrize("asked", ["nothing", "a%23b"])
    def test_of_nothing_is_not_found(self, api: Gateway, caller: Caller, asked: str) -> None:
        assert api.send(caller, "GET", f"/v1/lineage/{asked}").status == 404

    def test_is_its_tenants(self, api: Gateway, ids: dict[str, str]) -> None:
        assert {api.send(STRANGER, "GET", f"/v1/lineage/{each}").status for each in ids.values()} == {404}
