"""Listing and reading deployments, and asking them for predictions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib.deployments.deployment import Deployment, DeploymentFilter, DeploymentStatus
from chalicelib.deployments.invocations import MAX_REQUEST_BYTES, Invocation
from chalicelib.errors import Conflict, InvalidRequest, NotFound, TooLarge
from chalicelib.identity.caller import Caller
from tests.functional.deployments.conftest import DEPLOYER, STRANGER, USER, Deployments

ROWS = Invocation(b'{"inputs": [[1, 2]]}', "application/json", "application/json")


def found(deployments: Deployments, wanted: DeploymentFilter, caller: Caller = USER) -> list[str]:
    page = deployments.service.search(caller, wanted, 100, 0, None)
    return [f"{deployment.name}/{deployment.environment}" for deployment in page.deployments]


@pytest.fixture
def three(deployments: Deployments) -> list[Deployment]:
    """churn in staging and production, fraud in staging; the last one still deploying."""
    churn, fraud = deployments.model(), deployments.model(name="fraud")
    return [
        deployments.active(churn),
        deployments.active(churn, environment="production"),
        deployments.deploy(fraud),
    ]


class TestSearch:
    def test_filters_newest_first(self, deployments: Deployments, three: list[Deployment]) -> None:
        assert found(deployments, DeploymentFilter()) == ["fraud/staging", "churn/production", "churn/staging"]
        assert found(deployments, DeploymentFilter(environment="staging")) == ["fraud/staging", "churn/staging"]
        assert found(deployments, DeploymentFilter(status=DeploymentStatus.DEPLOYING)) == ["fraud/staging"]
        both = DeploymentFilter(environment="staging", status=DeploymentStatus.ACTIVE)
        assert found(deployments, both) == ["churn/staging"]

    def test_filters_by_the_model_that_is_served(self, deployments: Deployments, three: list[Deployment]) -> None:
        model_id = three[0].target.model_id
        assert found(deployments, DeploymentFilter(model_id=model_id)) == ["churn/production", "churn/staging"]
        assert found(deployments, DeploymentFilter("staging", None, model_id)) == ["churn/staging"]
        assert found(deployments, DeploymentFilter(None, DeploymentStatus.FAILED, model_id)) == []
        deployments.active(deployments.model("2"))
        assert found(deployments, DeploymentFilter(model_id=model_id)) == ["churn/production"]

    @pytest.mark.parametrize("by_model", [False, True])
    def test_goes_on_with_a_cursor_without_loss_or_repeat(
        self, deployments: Deployments, three: list[Deployment], by_model: bool
    ) -> None:
        wanted = DeploymentFilter(model_id=three[0].target.model_id if by_model else None)
        seen: list[str] = []
        cursor: str | None = None
        while True:
            page = deployments.service.search(USER, wanted, 1, 0, cursor)
            seen += [f"{deployment.name}/{deployment.environment}" for deployment in page.deployments]
            if page.cursor is None:
                break
            cursor = page.cursor.encode()
        assert seen == found(deployments, wanted)

    def test_shows_nothing_of_another_tenant_not_even_by_its_cursor(
        self, deployments: Deployments, three: list[Deployment]
    ) -> None:
        assert found(deployments, DeploymentFilter(), STRANGER) == []
        assert found(deployments, DeploymentFilter(model_id=three[0].target.model_id), STRANGER) == []
        cursor = deployments.service.search(USER, DeploymentFilter(), 1, 0, None).cursor
        assert cursor is not None
        assert deployments.service.search(STRANGER, DeploymentFilter(), 10, 0, cursor.encode()).deployments == ()

    def test_refuses_a_cursor_of_another_list(self, deployments: Deployments, three: list[Deployment]) -> None:
        cursor = deployments.service.search(USER, DeploymentFilter(), 1, 0, None).cursor
        assert cursor is not None
        with pytest.raises(InvalidRequest, match="cursor"):
            deployments.service.search(USER, DeploymentFilter(environment="staging"), 1, 0, cursor.encode())


class TestGet:
    def test_another_tenants_deployment_and_a_missing_one_are_the_same(
        self, deployments: Deployments, three: list[Deployment]
    ) -> None:
        answers = []
        for caller, deployment_id in ((STRANGER, three[0].deployment_id), (USER, "none")):
            with pytest.raises(NotFound) as error:
                deployments.service.get(caller, deployment_id)
            answers.append(str(error.value))
        assert answers[0] == answers[1]


class TestInvoke:
    def test_passes_the_request_to_the_endpoint_and_the_answer_back(
        self, deployments: Deployments, three: list[Deployment]
    ) -> None:
        answer = deployments.invocations.invoke(USER, three[0].deployment_id, ROWS)
        assert deployments.runtime.invocations[-1] == (three[0].endpoint, ROWS)
        assert (answer.body, answer.variant) == (b'{"predictions": [0, 1]}', "v1")

    def test_goes_on_while_another_revision_is_on_its_way(
        self, deployments: Deployments, three: list[Deployment]
    ) -> None:
        updating = deployments.deploy(deployments.model("2"))
        assert updating.status is DeploymentStatus.DEPLOYING
        assert deployments.invocations.invoke(USER, updating.deployment_id, ROWS).variant == "v1"

    def test_is_refused_before_the_first_revision_answers_and_after_the_last_one(
        self, deployments: Deployments, three: list[Deployment]
    ) -> None:
        with pytest.raises(Conflict, match="is deploying"):
            deployments.invocations.invoke(USER, three[2].deployment_id, ROWS)
        deployments.service.undeploy(DEPLOYER, three[0].deployment_id)
        with pytest.raises(Conflict, match="is inactive"):
            deployments.invocations.invoke(USER, three[0].deployment_id, ROWS)

    def test_is_not_there_for_another_tenant(self, deployments: Deployments, three: list[Deployment]) -> None:
        with pytest.raises(NotFound):
            deployments.invocations.invoke(STRANGER, three[0].deployment_id, ROWS)

    def test_takes_five_megabytes_and_not_a_byte_more(self, deployments: Deployments, three: list[Deployment]) -> None:
        largest = replace(ROWS, body=b"1" * MAX_REQUEST_BYTES)
        deployments.invocations.invoke(USER, three[0].deployment_id, largest)
        before = len(deployments.runtime.invocations)
        with pytest.raises(TooLarge):
            deployments.invocations.invoke(USER, three[0].deployment_id, replace(ROWS, body=largest.body + b"1"))
        assert len(deployments.runtime.invocations) == before
