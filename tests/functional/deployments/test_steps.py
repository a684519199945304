"""Each step of the machine by itself: what it does when things come in another order."""

from __future__ import annotations

import pytest

from chalicelib.deployments.deployment import DeploymentStatus
from chalicelib.deployments.gateways import Endpoint, EndpointState
from chalicelib.deployments.invocations import Answer
from chalicelib.deployments.planning import EndpointBusy
from chalicelib.deployments.smoke import NO_EXAMPLE, PAUSE_SECONDS
from chalicelib.errors import ModelFailed, Unavailable
from tests.functional.deployments.conftest import Deployments


class TestPlanning:
    def test_waits_for_an_endpoint_that_an_earlier_execution_created(self, deployments: Deployments) -> None:
        deployment = deployments.deploy(deployments.model())
        plan = deployments.planning.plan("acme", deployment.deployment_id, 1)
        deployments.sagemaker.carry_out(plan)
        assert deployments.planning.plan("acme", deployment.deployment_id, 1) == {"next": "await"}
        assert deployments.drive(deployment).status is DeploymentStatus.ACTIVE

    def test_clears_away_what_an_execution_left_that_was_cut_off_before_the_endpoint(
        self, deployments: Deployments
    ) -> None:
        deployment = deployments.deploy(deployments.model())
        plan = deployments.planning.plan("acme", deployment.deployment_id, 1)
        deployments.sagemaker.models[plan["models"][0]["ModelName"]] = plan["models"][0]
        assert deployments.drive(deployment).status is DeploymentStatus.ACTIVE

    def test_has_nothing_to_do_for_a_revision_that_is_settled(self, deployments: Deployments) -> None:
        deployment = deployments.active(deployments.model())
        assert deployments.planning.plan("acme", deployment.deployment_id, 1) == {"next": "finish"}

    @pytest.mark.parametrize("state", [EndpointState.CHANGING, EndpointState.DELETING])
    def test_comes_back_later_while_something_else_goes_on(
        self, deployments: Deployments, state: EndpointState
    ) -> None:
        deployment = deployments.deploy(deployments.model())
        deployments.sagemaker.endpoints[deployment.endpoint] = Endpoint(state, "another")
        with pytest.raises(EndpointBusy):
            deployments.planning.plan("acme", deployment.deployment_id, 1)

    def test_clears_a_failed_endpoint_away_before_it_creates_one(self, deployments: Deployments) -> None:
        deployment = deployments.deploy(deployments.model())
        deployments.sagemaker.endpoints[deployment.endpoint] = Endpoint(EndpointState.FAILED, "another")
        with pytest.raises(EndpointBusy):
            deployments.planning.plan("acme", deployment.deployment_id, 1)
        assert deployments.planning.plan("acme", deployment.deployment_id, 1)["next"] == "create"


class TestWaiting:
    def test_an_event_before_the_token_is_not_lost(self, deployments: Deployments) -> None:
        deployment = deployments.deploy(deployments.model())
        deployments.sagemaker.carry_out(deployments.planning.plan("acme", deployment.deployment_id, 1))
        deployments.sagemaker.settle(deployment.endpoint)
        assert not deployments.waiting.look(deployment.endpoint)
        assert deployments.waiting.begin("acme", deployment.deployment_id, 1, "token")
        assert deployments.waiters.answers == {"token": ("succeeded", "")}

    def test_an_event_of_an_endpoint_that_is_still_changing_answers_nobody(self, deployments: Deployments) -> None:
        deployment = deployments.deploy(deployments.model())
        deployments.sagemaker.carry_out(deployments.planning.plan("acme", deployment.deployment_id, 1))
        assert not deployments.waiting.begin("acme", deployment.deployment_id, 1, "token")
        assert not deployments.waiting.look(deployment.endpoint)
        assert deployments.waiters.answers == {}

    def test_an_event_of_an_unknown_endpoint_is_nobodys(self, deployments: Deployments) -> None:
        assert not deployments.waiting.look("aimatrix-unknown")

    def test_an_answer_to_an_old_token_leaves_a_new_one_waiting(self, deployments: Deployments) -> None:
        deployment = deployments.active(deployments.model())
        old = deployments.store.waiter(deployment)
        assert old is not None
        deployments.store.put_waiter(deployment, 2, "new token")
        deployments.store.answered(deployment, old)
        new = deployments.store.waiter(deployment)
        assert new is not None
        assert not new.is_answered


class TestSmoke:
    def test_says_so_when_the_model_has_no_example(self, deployments: Deployments) -> None:
        deployment = deployments.active(deployments.model(input_example=None))
        assert (deployment.status, deployment.evidence) == (DeploymentStatus.ACTIVE, NO_EXAMPLE)
        assert deployments.runtime.invocations == []

    def test_gives_workers_that_are_still_loading_another_chance(self, deployments: Deployments) -> None:
        good = deployments.runtime.answers[0]
        deployments.runtime.answers = [ModelFailed("loading"), good]
        assert deployments.active(deployments.model()).status is DeploymentStatus.ACTIVE
        assert deployments.pauses == [PAUSE_SECONDS]

    @pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'"predictions"'])
    def test_does_not_take_any_answer_for_predictions(self, deployments: Deployments, body: bytes) -> None:
        deployments.runtime.answers = [Answer(body, "application/json", "v1")]
        failed = deployments.active(deployments.model())
        assert failed.status is DeploymentStatus.FAILED
        assert "has no predictions" in (failed.failure_reason or "")

    def test_leaves_the_form_of_the_answer_to_a_custom_model(self, deployments: Deployments) -> None:
        deployments.runtime.answers = [Answer(b"<xml/>", "application/xml", "v1")]
        assert deployments.active(deployments.model(kind="custom")).status is DeploymentStatus.ACTIVE

    def test_takes_a_custom_model_at_its_word_that_its_answer_is_json(self, deployments: Deployments) -> None:
        deployments.runtime.answers = [Answer(b"<xml/>", "application/json; charset=utf-8", "v1")]
        failed = deployments.active(deployments.model(kind="custom"))
        assert failed.failure_reason == "The answer to the model's input example is said to be JSON, and is not."

    def test_says_how_often_a_model_was_asked_that_did_not_answer_in_time(self, deployments: Deployments) -> None:
        deployments.runtime.answers = [Unavailable("The endpoint has not answered in time.")]
        failed = deployments.active(deployments.model())
        told = "The model did not answer its input example, asked 3 times: The endpoint has not answered in time."
        assert failed.failure_reason == told


class TestFinishing:
    def test_waits_until_the_endpoint_has_settled(self, deployments: Deployments) -> None:
        deployment = deployments.deploy(deployments.model())
        deployments.sagemaker.carry_out(deployments.planning.plan("acme", deployment.deployment_id, 1))
        with pytest.raises(EndpointBusy):
            deployments.finishing.finish("acme", deployment.deployment_id, 1, "States.Timeout")
        assert deployments.get(deployment).status is DeploymentStatus.DEPLOYING

    def test_a_late_failure_of_an_old_revision_changes_nothing(self, deployments: Deployments) -> None:
        deployments.active(deployments.model("1"))
        settled = deployments.active(deployments.model("2"))
        deployments.finishing.finish("acme", settled.deployment_id, 1, "a late failure")
        deployments.finishing.finish("acme", settled.deployment_id, 2, "another")
        assert deployments.get(settled) == settled

    def test_deletes_the_endpoint_that_a_lost_call_left_behind(self, deployments: Deployments) -> None:
        deployment = deployments.deploy(deployments.model())
        deployments.sagemaker.broken.add(f"{deployment.endpoint}-1")
        failed = deployments.drive(deployment)
        deployments.sagemaker.endpoints[failed.endpoint] = Endpoint(EndpointState.FAILED, "x")
        deployments.finishing.finish("acme", failed.deployment_id, 1, None)
        assert deployments.sagemaker.endpoints == {}
