"""Every route × everybody: what the committed openapi.json names, asked by nobody, forgers, strangers, others and each role.

What is expected follows from the table of permissions and from what an operation says it needs. A new route is in the matrix
as soon as it is in openapi.json; at most it has to be said in `matrix_world.py` what a new path parameter is and what a body
may look like.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.api_keys.key import SCOPES
from chalicelib.identity.permissions import INSTALLATION, Permission, Role, permissions_of
from tests.e2e.conftest import Cloud
from tests.e2e.forgeries import forgeries
from tests.e2e.matrix_world import CANARY, MISSING, Answer, World, world_of_alice
from tests.e2e.operations import OPERATIONS, OTHERS, Operation
from tests.faults import Shows

pytestmark = pytest.mark.e2e


INVOKING = {"invokeDeployment", "invokeEndpoint"}
"""Their bodies are the models'."""
NAMED_BY_ANYBODY = {("user_id",), ("model_name",), ("environment",)}
"""Parameters that name no thing of somebody's: each tenant has its own under that name."""
NOT_MADE_HERE = {"backend", "kind", "replay_id", "webhook_id", "policy_id", "model_name"}
"""Parameters of things that need not exist, or that an administrator has deleted: whoever may ask can be told so."""

# Fields that would make somebody more than they are, or a thing somebody else's.
PRIVILEGED = (
    *("tenant", "user", "user_id", "owner", "roles", "permissions", "is_admin", "sub", "key_id", "job_id", "model_id"),
    *(
        "status",
        "created_at",
        "digest",
        "prefix",
        "bucket",
        "__proto__",
        "constructor",
        "$where",
        "X-API-Key",
    ),
)
# Roles in the order of what they can do: what an administrator may end is looked at by the others first.
ROLES = ("", Role.USER.value, Role.VIEWER.value, Role.MODEL_DEPLOYER.value, Role.ADMIN.value)


@pytest.fixture(scope="module")
def world(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_of_alice(cloud, tmp_path_factory.mktemp("matrix")) as made:
        yield made


class TestMatrix:
    def test_knows_what_every_path_parameter_is(self) -> None:
        unknown = {name for operation in OPERATIONS for name in operation.parameters} - MISSING.keys()
        assert not unknown, f"say in `matrix_world.py`, in MISSING and in `things`, what {unknown} is"

    def test_nobody_and_forgers_get_one_answer_everywhere(self, world: World, shows: Shows) -> None:
        forged = forgeries(world)
        answers = {
            (operation.name, name): world.send(operation, headers)
            for operation in OPERATIONS
            for name, headers in forged.items()
        }
        wrong = {row: answer for row, answer in answers.items() if answer.status != 401}
        shows(24, f"{len(forged)} forgeries × {len(OPERATIONS)} operations over HTTP, {len(wrong)} accepted")
        assert wrong == {}
        assert len({answer.body for answer in answers.values()}) == 1

    def test_another_tenant_gets_the_answer_for_a_thing_that_is_not_there(self, world: World, shows: Shows) -> None:
        leaks: list[tuple[str, str, Answer, Answer]] = []
        asked = 0
        for operation in OPERATIONS:
            for role in ROLES:
                headers = world.token("alice", role, tenant="elsewhere")
                theirs = world.send(operation, headers)
                asked += 1
                if operation.parameters and operation.parameters not in NAMED_BY_ANYBODY:
                    asked += 1
                    missing = world.send(operation, headers, MISSING)
                    if theirs != missing or theirs.status not in {403, 404}:
                        leaks.append((operation.name, role, theirs, missing))
                if operation.needs in INSTALLATION and theirs.status != 403:
                    leaks.append((operation.name, role, theirs, theirs))
                if _holds_anything_of(world, theirs):
                    leaks.append((operation.name, role, theirs, theirs))
        shows(23, f"{asked} requests of another tenant to {len(OPERATIONS)} operations, {len(leaks)} leaks")
        assert leaks == []

    def test_each_role_gets_what_the_table_says_and_no_more(self, world: World, shows: Shows) -> None:
        rows = {
            (operation.name, role): (operation.expected(permissions_of(frozenset({role}), frozenset())), operation)
            for role in ROLES
            for operation in OPERATIONS
        }
        rows = {row: (refusal, each) for row, (refusal, each) in rows.items() if refusal or not each.administers}
        wrong = []
        for (name, role), (refusal, operation) in rows.items():
            answer = world.send(operation, world.token("bob", role))
            if not _fits(operation, answer, refusal) or (refusal and _holds_anything_of(world, answer)):
                wrong.append((name, role, refusal, answer))
        refused = sum(refusal is not None for refusal, _ in rows.values())
        shows(23, f"{len(rows)} requests of others in the tenant, {refused} to be refused, {len(wrong)} wrong")
        assert wrong == []

    def test_another_user_gets_the_answer_for_a_thing_that_is_not_there(self, world: World) -> None:
        headers = world.token("bob", "USER")
        private = [each for each in OPERATIONS if each.expected(_of("USER")) == 404]
        answers = {each.name: (world.send(each, headers), world.send(each, headers, MISSING)) for each in private}
        assert {name for name, (theirs, missing) in answers.items() if theirs != missing} == set()
        assert len(private) >= 6

    def test_fields_that_no_body_has_are_refused_by_name(self, world: World, shows: Shows) -> None:
        headers = world.token("root", "ADMIN")
        # What a model gets is the model's own affair.
        with_body = [each for each in OPERATIONS if each.method not in {"GET", "DELETE"} and each.name not in INVOKING]
        wrong = []
        for operation in with_body:
            own = world.bodies.get(operation.name, {})
            for name in set(PRIVILEGED) - set(own):
                surplus: dict[str, Any] = {name: "root"}
                answer = world.send(operation, headers, **surplus)
                if answer.status != 400 or name not in [each["field"] for each in json.loads(answer.body)["errors"]]:
                    wrong.append((operation.name, name, answer))
        shows(27, f"{len(PRIVILEGED)} fields × {len(with_body)} operations, {len(wrong)} accepted or failed")
        assert wrong == []

    def test_a_key_does_what_its_scopes_say_and_no_more(self, world: World) -> None:
        admin = world.token("root", "ADMIN")
        needed = {operation.needs for operation in OPERATIONS if operation.needs}
        scopes: set[Permission] = set(SCOPES)
        only = {needs: _key(world, admin, {needs} & scopes) for needs in needed}
        without = {needs: _key(world, admin, scopes - {needs, _wider(needs)}) for needs in needed}
        wrong = []
        for operation in OPERATIONS:
            needs = operation.needs
            if needs is None:
                continue
            answer = world.send(operation, without[needs])
            if not _fits(operation, answer, 403):
                wrong.append((operation.name, "without", answer))
            if operation.administers:
                continue
            answer = world.send(operation, only[needs])
            if not _fits(operation, answer, operation.expected(frozenset({needs} & scopes))):
                wrong.append((operation.name, "only", answer))
        print(f"keys: {len(needed) * 2} sets of scopes over {len(OPERATIONS)} operations, {len(wrong)} wrong")
        assert wrong == []


def _fits(operation: Operation, answer: Answer, refusal: int | None) -> bool:
    """Whether an answer is this refusal; without one, whether it is any that only somebody who may gets."""
    if refusal is not None:
        return answer.status == refusal
    if answer.status == 404:
        return bool(NOT_MADE_HERE & set(operation.parameters))
    return answer.status < 500 and answer.status not in {401, 403}


def _holds_anything_of(world: World, answer: Answer) -> bool:
    ids = [
        value for name, value in world.things.items() if name.endswith("_id") and name not in {"user_id", "replay_id"}
    ]
    return any(text in answer.body for text in (CANARY, *ids))


def _wider(needs: Permission) -> Permission:
    return OTHERS[needs][0] if needs in OTHERS else needs


def _of(role: str) -> frozenset[Permission]:
    return permissions_of(frozenset({role}), frozenset())


def _key(world: World, headers: dict[str, str], scopes: set[Permission]) -> dict[str, str]:
    # A key needs at least one scope; without any that counts, the one that matters least.
    names = sorted(scope.value for scope in scopes) or [Permission.UPLOADS_CREATE.value]
    made = world.http.post("/api-keys", headers=headers, json={"name": "matrix", "scopes": names})
    assert made.status_code == 201, made.text
    return {"X-API-Key": made.json()["key"]}
