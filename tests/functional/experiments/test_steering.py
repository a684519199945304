"""A bandit splits an endpoint's requests: over the rooms of experiments and deployments, a look and a turn at a time."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.deployments.deployment import Deployment
from chalicelib.deployments.invocations import Answer
from chalicelib.deployments.request import WeightsRequest
from chalicelib.environments.request import EnvironmentPolicyRequest
from chalicelib.experiments.outcomes import OutcomeService
from chalicelib.experiments.routes import rooms
from chalicelib.experiments.service import ExperimentService
from chalicelib.experiments.steering import Steering
from chalicelib.experiments.store import ExperimentStore
from chalicelib.experiments.tasks import steer_traffic
from chalicelib.experiments.traffic_store import TrafficStore
from chalicelib.identity.caller import Caller
from chalicelib.models.model import Model
from chalicelib.table import Table, encode
from tests.functional.deployments.conftest import ADMIN, DEPLOYER, Deployments
from tests.functional.deployments.conftest import deployments as deployments
from tests.functional.deployments.conftest import validate as validate
from tests.functional.experiments.conftest import SHAPE, share
from tests.functional.rest import Gateway, Response
from tests.functional.tables import create_table

DORA = Caller("acme", "dora", frozenset({"USER", "MODEL_DEPLOYER"}))
USER = Caller("acme", "alice", frozenset({"USER"}))


@dataclass(frozen=True)
class Bandit:
    """An endpoint with two versions, half of the requests each, and the experiments that may split them."""

    room: Deployments
    models: tuple[Model, Model]
    deployment: Deployment
    api: Gateway
    platform: Any

    def send(self, method: str, path: str, body: Any = None, caller: Caller = DORA, key: str | None = None) -> Response:
        headers = {"idempotency-key": key} if key else None
        return self.api.send(caller, method, f"/v1/experiments{path}", body, headers)

    def plan(self, **changes: Any) -> dict[str, Any]:
        allocation = {"type": "thompson", "floor": 0.1, "deployment_id": self.deployment.deployment_id}
        return {
            **SHAPE,
            "variants": ["v1", "v2"],
            "allocation": {**allocation, **changes.pop("allocation", {})},
            **changes,
        }

    def create(self, **changes: Any) -> str:
        answer = self.send("POST", "", self.plan(**changes))
        assert answer.status == 201, answer.json
        made: str = answer.json["id"]
        return made

    def count(self, experiment_id: str, n: int, one: int, two: int) -> Any:
        """One look, and the stream's call for it."""
        counts = [share("v1", "conversion", n, one), share("v2", "conversion", n, two)]
        answer = self.send("POST", f"/{experiment_id}/outcomes", {"counts": counts})
        assert answer.status == 200, answer.json
        self.tell(experiment_id, "progress")
        return answer.json

    def tell(self, thing_id: str, kind: str) -> None:
        key = encode({"pk": f"acme#{thing_id}", "sk": kind})
        steer_traffic(self.platform, {"Records": [{"dynamodb": {"Keys": key}}]})

    def settle(self) -> Deployment:
        """The deployment's machine runs to its end, and the stream tells so."""
        settled = self.room.drive(self.room.get(self.deployment))
        self.tell(settled.deployment_id, "deployment")
        return settled

    def now(self) -> Deployment:
        return self.room.get(self.deployment)

    def weights(self) -> dict[str, float]:
        """As SageMaker has them."""
        return dict(self.room.sagemaker.describe(self.deployment.endpoint).weights)

    def traffic(self, experiment_id: str) -> Any:
        return self.send("GET", f"/{experiment_id}").json["traffic"]

    def reweigh(self, *weights: float) -> None:
        split = [{"model_id": m.model_id, "weight": w} for m, w in zip(self.models, weights, strict=True)]
        request = WeightsRequest.model_validate({"variants": split})
        self.room.service.reweigh(DEPLOYER, self.deployment.deployment_id, request)


def policy(**parts: Any) -> EnvironmentPolicyRequest:
    return EnvironmentPolicyRequest.model_validate(parts)


@pytest.fixture
def bandit(deployments: Deployments) -> Bandit:
    table = Table(deployments.store.table.client, create_table(deployments.store.table.client, "experiments"))
    store = ExperimentStore(table)
    clock, audit = deployments.clock, deployments.log.recorder
    steering = Steering(store, TrafficStore(table), deployments.store, deployments.weighing, clock)
    ids = (f"10000000-0000-4000-8000-{number:012d}" for number in range(1, 100))
    service = ExperimentService(store, steering, clock, lambda: next(ids), audit)
    platform: Any = SimpleNamespace(
        experiments=service, outcomes=OutcomeService(store, clock), joining=None, steering=steering
    )
    authorizer: Any = None
    models = deployments.model("1"), deployments.model("2")
    even = [{"model_id": model.model_id, "weight": 1} for model in models]
    active = deployments.active(models[0], variants=even)
    return Bandit(deployments, models, active, Gateway.of(rooms(platform, authorizer)), platform)


class TestALook:
    def test_moves_the_requests_to_what_is_better_and_keeps_the_floor(self, bandit: Bandit) -> None:
        made = bandit.create()
        bandit.count(made, 300, 30, 42)
        assert bandit.traffic(made) | {"updated_at": 0} == {
            "status": "changing",
            "look": 1,
            "revision": 2,
            "updated_at": 0,
        }
        bandit.settle()
        weights = bandit.weights()
        assert weights["v1"] + weights["v2"] == pytest.approx(1)
        assert weights["v2"] > 0.8 > 0.2 > weights["v1"] >= 0.1
        assert bandit.traffic(made)["status"] == "following"
        (entry,) = [each for each in bandit.room.log.entries() if each["action"] == "change_weights"]
        assert entry["user"] == "dora"
        assert entry["details"]["experiment"] == made

    def test_asks_once_however_often_it_is_told(self, bandit: Bandit) -> None:
        made = bandit.create()
        bandit.count(made, 300, 30, 42)
        bandit.tell(made, "progress")
        bandit.settle()
        for _ in range(2):
            bandit.tell(made, "progress")
            bandit.tell(bandit.deployment.deployment_id, "deployment")
        assert bandit.now().revisions == 2

    def test_that_changes_less_than_a_hundredth_is_not_worth_a_revision(self, bandit: Bandit) -> None:
        made = bandit.create()
        bandit.count(made, 10_000, 1000, 1001)
        assert (bandit.now().revisions, bandit.traffic(made)["look"]) == (1, 0)

    def test_while_the_endpoint_changes_counts_when_it_has_settled(self, bandit: Bandit) -> None:
        made = bandit.create()
        bandit.count(made, 300, 30, 42)
        bandit.count(made, 300, 42, 30)
        assert bandit.now().revisions == 2
        bandit.settle()
        assert bandit.traffic(made) | {"updated_at": 0, "status": ""} == {
            "status": "",
            "look": 2,
            "revision": 3,
            "updated_at": 0,
        }
        bandit.settle()
        assert bandit.weights() == {"v1": pytest.approx(0.5), "v2": pytest.approx(0.5)}

    def test_whose_machine_was_never_started_is_told_again(self, bandit: Bandit) -> None:
        made = bandit.create()
        bandit.room.deploy_machine.lost = 1
        with pytest.raises(ConnectionError):
            bandit.count(made, 300, 30, 42)
        bandit.tell(made, "progress")
        assert bandit.settle().revisions == 2

    def test_that_the_environment_does_not_allow_waits_for_the_next_one(self, bandit: Bandit) -> None:
        made = bandit.create()
        bandit.room.environments.set(ADMIN, "staging", policy(deployers=["eric"]))
        bandit.count(made, 300, 30, 42)
        refused = bandit.traffic(made)
        assert (refused["status"], refused["revision"]) == ("refused", 1)
        assert "eric" in refused["reason"]
        bandit.room.environments.set(ADMIN, "staging", policy(deployers=["dora"]))
        bandit.tell(made, "progress")
        assert bandit.now().revisions == 1
        bandit.count(made, 300, 30, 42)
        assert (bandit.now().revisions, bandit.traffic(made)["status"]) == (2, "changing")

    def test_whose_revision_does_not_come_up_says_so(self, bandit: Bandit) -> None:
        made = bandit.create()
        bandit.count(made, 300, 30, 42)
        good, bad = bandit.room.runtime.answers[0], Answer(b"{}", "application/json", "v2")
        bandit.room.runtime.answers = [bad, good]
        bandit.settle()
        assert bandit.traffic(made)["status"] == "refused"
        assert "Revision 2 did not come up" in bandit.traffic(made)["reason"]


class TestADecision:
    def test_gives_the_winner_everything_and_frees_the_deployment(self, bandit: Bandit) -> None:
        made = bandit.create()
        assert bandit.count(made, 2500, 250, 500)["promoted"] == "v2"
        bandit.settle()
        assert bandit.weights() == {"v1": 0, "v2": 1}
        assert bandit.traffic(made)["status"] == "ended"
        bandit.reweigh(1, 1)
        bandit.settle()
        assert bandit.traffic(bandit.create())["status"] == "following"

    def test_against_a_variant_takes_its_requests(self, bandit: Bandit) -> None:
        made = bandit.create()
        assert bandit.count(made, 2500, 500, 250)["decision"] == "rollback"
        bandit.settle()
        assert bandit.weights() == {"v1": 1, "v2": 0}

    def test_that_is_none_leaves_the_weights_as_they_are(self, bandit: Bandit) -> None:
        made = bandit.create()
        bandit.send("POST", f"/{made}/stop")
        bandit.tell(made, "progress")
        ended = bandit.traffic(made)
        assert (ended["status"], bandit.now().revisions) == ("ended", 1)
        assert "stopped" in ended["reason"]

    def test_that_is_not_allowed_is_given_up_with_its_reason(self, bandit: Bandit) -> None:
        made = bandit.create()
        bandit.room.environments.set(ADMIN, "staging", policy(required_gates=["error_rate"]))
        bandit.count(made, 2500, 250, 500)
        given_up = bandit.traffic(made)
        assert (given_up["status"], bandit.weights()) == ("given-up", {"v1": 1, "v2": 1})
        assert "error_rate" in given_up["reason"]


class TestADeploymentThatSomebodyElseChanges:
    def test_is_left_alone(self, bandit: Bandit) -> None:
        made = bandit.create()
        bandit.reweigh(3, 1)
        bandit.settle()
        given_up = bandit.traffic(made)
        assert (given_up["status"], "dora has asked" in given_up["reason"]) == ("given-up", True)
        bandit.count(made, 300, 30, 42)
        assert bandit.weights() == {"v1": 3, "v2": 1}

    def test_is_left_alone_when_it_is_taken_down(self, bandit: Bandit) -> None:
        made = bandit.create()
        bandit.room.service.undeploy(DEPLOYER, bandit.deployment.deployment_id)
        bandit.count(made, 300, 30, 42)
        assert bandit.traffic(made)["reason"] == "The deployment is inactive."

    def test_is_left_alone_when_a_rollout_has_begun(self, bandit: Bandit) -> None:
        made = bandit.create()
        now = bandit.now()
        bandit.room.store.update(now, now.rolled_out(1), bandit.room.clock())
        bandit.count(made, 300, 30, 42)
        assert bandit.traffic(made)["reason"] == "Rollout 1 of the deployment has begun."


class TestCreating:
    def test_takes_versions_for_names_and_the_deployments_shares(self, bandit: Bandit) -> None:
        bandit.reweigh(3, 1)
        bandit.settle()
        made = bandit.create(variants=["2", "1"])
        shown = bandit.send("GET", f"/{made}").json
        assert shown["weights"] == {"2": 0.25, "1": 0.75}
        assert shown["allocation"]["deployment_id"] == bandit.deployment.deployment_id
        assert shown["method"] == "always_valid"

    def test_again_with_the_same_key_is_the_same(self, bandit: Bandit) -> None:
        first, again = (bandit.send("POST", "", bandit.plan(), key="k") for _ in range(2))
        assert (first.status, first.json["id"]) == (201, again.json["id"])

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"allocation": {"deployment_id": "nowhere"}}, "allocation.deployment_id"),
            ({"allocation": {"deployment_id": "10000000-0000-4000-8000-000000000001"}}, "allocation.deployment_id"),
            ({"variants": ["v1", "v3"]}, "variants"),
            ({"variants": ["v1", "2"]}, "variants"),
            ({"variants": ["v1", "v2", "v3"]}, "variants"),
        ],
    )
    def test_names_what_is_wrong_and_the_cure(self, bandit: Bandit, changes: dict[str, Any], field: str) -> None:
        answer = bandit.send("POST", "", bandit.plan(**changes))
        assert (answer.status, [each["field"] for each in answer.json["errors"]]) == (422, [field])
        assert answer.json["errors"][0]["cure"]

    def test_wants_every_variant_at_its_floor_already(self, bandit: Bandit) -> None:
        bandit.reweigh(95, 5)
        bandit.settle()
        answer = bandit.send("POST", "", bandit.plan())
        assert (answer.status, answer.json["errors"][0]["field"]) == (422, "allocation.floor")

    def test_takes_no_weights_beside_those_of_the_deployment(self, bandit: Bandit) -> None:
        answer = bandit.send("POST", "", bandit.plan(weights={"v1": 1, "v2": 1}))
        assert (answer.status, answer.json["errors"][0]["field"]) == (400, "weights")

    def test_is_refused_while_another_one_has_the_deployment(self, bandit: Bandit) -> None:
        made = bandit.create()
        answer = bandit.send("POST", "", bandit.plan())
        assert answer.status == 422
        assert made in answer.json["errors"][0]["message"]

    def test_is_refused_while_the_deployment_changes(self, bandit: Bandit) -> None:
        bandit.reweigh(2, 1)
        answer = bandit.send("POST", "", bandit.plan())
        assert (answer.status, answer.json["errors"][0]["message"]) == (422, "is deploying")

    def test_takes_the_permission_to_deploy(self, bandit: Bandit) -> None:
        answer = bandit.send("POST", "", bandit.plan(), caller=USER)
        assert (answer.status, "models:deploy" in answer.json["detail"]) == (403, True)

    def test_asks_the_environment(self, bandit: Bandit) -> None:
        bandit.room.environments.set(ADMIN, "staging", policy(required_gates=["error_rate"]))
        answer = bandit.send("POST", "", bandit.plan())
        assert (answer.status, answer.json["rule"]) == (409, "required_gates")
