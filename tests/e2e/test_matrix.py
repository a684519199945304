"""Every route × everybody: what the committed openapi.json names, asked by nobody, forgers, strangers, others and each role.

What is expected follows from the table of permissions and from what an operation says it needs. A new route is in the matrix
as soon as it is in openapi.json; at most it has to be said here what a new path parameter is and what a body may look like.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from aimatrix.client.uploads import UploadFile
from chalicelib.api_keys.key import SCOPES
from chalicelib.deployments.deployment import Deployment, DeploymentStatus, Revision, Variant
from chalicelib.deployments.store import DeploymentStore
from chalicelib.identity.permissions import INSTALLATION, Permission, Role, permissions_of
from chalicelib.retraining.run import Run, Trigger
from chalicelib.retraining.store import RetrainingStore, Standing
from chalicelib.rollouts.rollout import Rollout, RolloutStatus, Step
from chalicelib.rollouts.store import RolloutStore
from chalicelib.table import Table
from chalicelib.transforms.store import TransformStore
from chalicelib.transforms.transform import Settings, Transform, TransformStatus
from localcloud.issuer import Issuer
from localcloud.state import AUDIENCE, StateDir
from tests.e2e import scripts
from tests.e2e.conftest import ROOT, Cloud
from tests.faults import Shows

pytestmark = pytest.mark.e2e

CANARY = "zanzibar"
"""In the name of everything that is alice's: no answer to a stranger may hold it."""

MISSING = {
    "job_id": "00000000-0000-4000-8000-000000000000",
    "model_id": "00000000-0000-4000-8000-000000000000",
    "deployment_id": "00000000-0000-4000-8000-000000000000",
    "experiment_id": "00000000-0000-4000-8000-000000000000",
    "rollout_id": "99",
    "transform_id": "00000000-0000-4000-8000-000000000000",
    "policy_id": "00000000-0000-4000-8000-000000000000",
    "run_id": "99",
    "model_name": "nothing",
    "name": "nothing",
    "environment": "production",
    "key_id": "0" * 16,
    "user_id": "nobody",
    "backend": "sagemaker",
    "kind": "none",
    "replay_id": "aimatrix-00000000-0000-4000-8000-000000000000",
    "webhook_id": "00000000-0000-4000-8000-000000000000",
    "event_id": "00000000-0000-4000-8000-000000000000",
}
EXPERIMENT = {
    "name": "matrix",
    "variants": ["a", "b"],
    "primary_metric": {"name": "conversion", "type": "proportion", "direction": "increase"},
    "max_samples_per_variant": 1000,
}
ROLLOUT, RUN = 70_707_070, 60_606_060
"""Numbers that no answer has by chance."""
INVOKING = {"invokeDeployment", "invokeEndpoint"}
"""Their bodies are the models'."""
NAMED_BY_ANYBODY = {("user_id",), ("model_name",), ("environment",)}
"""Parameters that name no thing of somebody's: each tenant has its own under that name."""
NOT_MADE_HERE = {"backend", "kind", "replay_id", "webhook_id", "policy_id", "model_name"}
"""Parameters of things that need not exist, or that an administrator has deleted: whoever may ask can be told so."""
# What an operation on somebody else's thing needs instead, and what it is without that: not there, or not allowed.
OTHERS = {
    Permission.JOBS_READ: (Permission.JOBS_READ_ALL, 404),
    Permission.JOBS_SUBMIT: (Permission.JOBS_CANCEL_ALL, 404),
    Permission.RECEIPTS_READ: (Permission.JOBS_READ_ALL, 404),
    Permission.KEYS_MANAGE: (Permission.KEYS_MANAGE_ALL, 404),
    Permission.WEBHOOKS_MANAGE: (Permission.WEBHOOKS_MANAGE_ALL, 404),
    Permission.USAGE_READ: (Permission.USAGE_READ_ALL, 404),
    Permission.MODELS_REGISTER: (Permission.MODELS_DEPRECATE_ALL, 403),
}
OF_THEIR_OWNERS = {"listTransformOutputs": (Permission.MODELS_DEPLOY, 403)}
"""The same for operations on what lies in its owner's place, whatever permission they need."""
OF_THE_TENANT = {"getRetrainingPolicy", "listRetrainingRuns", "getRetrainingRun"}
"""Operations on somebody's things that whoever has their permission may see."""
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


@dataclass(frozen=True)
class Operation:
    """One row of the matrix."""

    method: str
    path: str
    name: str
    parameters: tuple[str, ...]
    is_public: bool
    needs: Permission | None

    @property
    def administers(self) -> bool:
        """Whether it would change for others what the tests beside this one rely on: it is not carried out here."""
        return self.path.startswith("/admin/") and self.method != "GET"

    def expected(self, permissions: frozenset[Permission]) -> int | None:
        """The refusal that somebody else in the tenant gets; None when it is allowed."""
        if self.needs and self.needs not in permissions:
            return 403
        others = OF_THEIR_OWNERS.get(self.name) or (OTHERS.get(self.needs) if self.needs else None)
        if others and self.parameters and self.name not in OF_THE_TENANT:
            wider, refusal = others
            return None if wider in permissions else refusal
        return None


def operations() -> list[Operation]:
    document = json.loads((ROOT / "openapi.json").read_text(encoding="utf-8"))
    return [
        Operation(
            method=method.upper(),
            path=path.removeprefix("/api/v1"),
            name=each["operationId"],
            parameters=tuple(parameter["name"] for parameter in each.get("parameters", ())),
            is_public=each.get("security") == [],
            needs=Permission(each["x-permission"]) if "x-permission" in each else None,
        )
        for path, methods in document["paths"].items()
        for method, each in methods.items()
    ]


OPERATIONS = [operation for operation in operations() if not operation.is_public]


@dataclass(frozen=True)
class World:
    """What is alice's, in the tenant `default`, and a way to ask for it."""

    cloud: Cloud
    issuer: Issuer
    http: httpx.Client
    things: dict[str, str]
    bodies: dict[str, Any]

    def token(self, user: str, role: str = "", tenant: str = "default") -> dict[str, str]:
        roles = [role] if role else []
        text = self.issuer.token(user, roles, tenant, [], timedelta(hours=1), time.time)
        return {"Authorization": f"Bearer {text}"}

    def send(
        self, operation: Operation, headers: dict[str, str], values: dict[str, str] | None = None, **more: Any
    ) -> Answer:
        """Ask for an operation on alice's things, or on those that `values` names.

        Args:
            more: fields beside those of the usual body.
        """
        names = values or self.things
        path = operation.path.format(**{name: names[name] for name in operation.parameters})
        body = None if operation.method in {"GET", "DELETE"} else {**self.bodies.get(operation.name, {}), **more}
        response = self.http.request(operation.method, path, headers=headers, json=body)
        text = response.text
        if response.headers.get("content-type", "").startswith("application/problem+json"):
            text = json.dumps({**response.json(), "request_id": ""})
        return Answer(response.status_code, text)


@dataclass(frozen=True)
class Answer:
    """Status and body; a problem without its request id, which alone may differ."""

    status: int
    body: str


@pytest.fixture(scope="module")
def world(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("matrix")
    directory = StateDir(cloud.state)
    settings = directory.load()
    assert settings
    with cloud.client("alice", "USER") as alice, httpx.Client(base_url=cloud.api, timeout=30) as http:
        job = scripts.run(alice, folder, f"print({CANARY!r})", name=f"{CANARY}-job")
        assert job.status == "completed", job.failure_reason
        (folder / f"{CANARY}.pkl").write_bytes(b"a model")
        artifact = alice.upload([UploadFile(folder / f"{CANARY}.pkl", f"{CANARY}.pkl")])[f"{CANARY}.pkl"]
        model = alice.models.register(f"{CANARY}-model", "sklearn", artifact)
        key = alice.api_keys.create(f"{CANARY}-key", ["jobs:read"]).key
        experiment = alice.experiments.create({**EXPERIMENT, "name": f"{CANARY}-experiment"})
        webhook = alice.webhooks.create(f"https://{CANARY}.example.com/hook").webhook
        ping = alice.webhooks.ping(webhook.webhook_id)
        retraining = _retraining(job.document["config"]["script_path"])
        policy = alice.retraining.create({**retraining, "name": f"{CANARY}-policy"})
        _open_run(cloud, policy.id)
        things = {
            "job_id": job.job_id,
            "model_id": model.id,
            "deployment_id": _ended_deployment(cloud, model.id).deployment_id,
            "experiment_id": experiment.id,
            "rollout_id": str(ROLLOUT),
            "transform_id": _ended_transform(cloud, model.id).transform_id,
            "policy_id": policy.id,
            "run_id": str(RUN),
            "model_name": "some-model",
            "name": f"{CANARY}-deployment",
            "environment": "development",
            "key_id": key.key_id,
            "user_id": "carol",
            "backend": "sagemaker",
            "kind": "h100",
            "replay_id": MISSING["replay_id"],
            "webhook_id": webhook.webhook_id,
            "event_id": ping.event_id,
        }
        bodies = {
            # Somebody else's files: whoever may submit is told that these can't be used, and nothing runs.
            "submitTrainingJob": {
                "name": "matrix",
                "framework": "custom",
                "config": {
                    "script_path": job.document["config"]["script_path"],
                    "dataset_path": job.document["config"]["dataset_path"],
                    "resource_requirements": {"gpu_count": 0},
                },
            },
            "createUpload": {"files": [{"name": "a.txt", "size": 1}]},
            "registerExternalModel": {"name": "matrix", "framework": "sklearn", "artifact_path": artifact},
            "changeModel": {"status": "deprecated"},
            "deployModel": {"environment": "development"},
            "startTransform": {"input": artifact},
            "invokeDeployment": {"inputs": [[1]]},
            "invokeEndpoint": {"inputs": [[1]]},
            "changeWeights": {"variants": [{"model_id": model.id, "weight": 1}]},
            "setDeploymentPolicy": {"enabled": False},
            "setEnvironment": {},
            "setDataCapture": {"percentage": 10},
            "approveModel": {"environment": "development"},
            "rollBackDeployment": {"revision": 1},
            "startRollout": {"to": {"model_id": model.id}},
            "createExperiment": EXPERIMENT,
            "assignVariants": {"keys": ["k"]},
            "reportExposures": {"exposures": [{"variant": "a", "key": "k"}]},
            "reportOutcomes": {"counts": [{"variant": "a", "metric": "conversion", "n": 1, "successes": 0}]},
            "createRetrainingPolicy": retraining,
            "setRetrainingPolicy": retraining,
            "createApiKey": {"name": "matrix", "scopes": ["models:read"]},
            "setCapacityPool": {"limit": 8},
            "replayEvents": {"since": "2026-03-01T12:00:00Z"},
            "createWebhook": {"url": "https://matrix.example.com/hook"},
            "changeWebhook": {"description": f"{CANARY} of another"},
        }
        yield World(cloud, Issuer.open(directory.part("issuer"), settings.issuer_url), http, things, bodies)


def _retraining(script: str) -> dict[str, Any]:
    """A policy over a folder of alice's in which nothing lies."""
    user = script[: script.index("/users/alice/")]
    return {
        "name": "matrix",
        "source": {"type": "s3", "uri_prefix": f"{user}/users/alice/rows/"},
        "job": {"name": "matrix", "framework": "custom", "config": {"script_path": script}},
    }


def _open_run(cloud: Cloud, policy_id: str) -> None:
    """A record of a run for which something has come, and which nobody has looked at yet."""
    now = datetime.now(UTC)
    run = Run("default", policy_id, RUN, f"{CANARY}-user", Trigger.UPLOAD, now, now, now)
    RetrainingStore(Table(cloud.boto("dynamodb"), "aimatrix-retraining")).open(run, Standing())


def _ended_deployment(cloud: Cloud, model_id: str) -> Deployment:
    """A record as a deployment leaves it that was taken down long ago: a real one would take a minute."""
    now = datetime.now(UTC)
    revision = Revision(1, (Variant("v1", model_id, "1"),), {"environment": "development"}, "ml.m5.large")
    deployment = Deployment(
        tenant="default",
        deployment_id=f"{MISSING['deployment_id'][:-1]}1",
        user="alice",
        name=f"{CANARY}-deployment",
        environment="development",
        endpoint="aimatrix-matrix",
        target=revision,
        created_at=now,
        updated_at=now,
    )
    table = Table(cloud.boto("dynamodb"), "aimatrix-deployments")
    rollout = Rollout(
        tenant="default",
        deployment_id=deployment.deployment_id,
        number=ROLLOUT,
        user="alice",
        stable=revision.variants,
        candidate=Variant(f"{CANARY}-2", model_id, "2"),
        steps=(Step(100.0, 0, 0),),
        gates=(),
        evaluation_seconds=60,
        patience_seconds=60,
        created_at=now,
        updated_at=now,
        status=RolloutStatus.OVERTAKEN,
    )
    ended = replace(deployment, status=DeploymentStatus.TERMINATED, rollouts=ROLLOUT)
    return DeploymentStore(table).create(ended, None, RolloutStore(table).creation(rollout))


def _ended_transform(cloud: Cloud, model_id: str) -> Transform:
    """A record as a transform leaves it that has completed long ago."""
    now = datetime.now(UTC)
    transform = Transform(
        tenant="default",
        transform_id=f"{MISSING['transform_id'][:-1]}2",
        user="alice",
        model_id=model_id,
        model_name=f"{CANARY}-model",
        model_version="1",
        source="s3://bucket/rows/",
        settings=Settings("text/csv", "text/csv", "line", "multi-record", 6, 1),
        instance_type="ml.m5.large",
        instance_count=1,
        usd_per_hour=Decimal("0.115"),
        created_at=now,
        updated_at=now,
        status=TransformStatus.COMPLETED,
    )
    TransformStore(Table(cloud.boto("dynamodb"), "aimatrix-deployments")).create(transform)
    return transform


def forgeries(world: World) -> dict[str, dict[str, str]]:
    """Headers that let nobody in, whatever they are sent to."""
    issuer = world.issuer
    good = world.token("alice", "ADMIN")["Authorization"].removeprefix("Bearer ")
    header, body, signature = good.split(".")
    claims = jwt.decode(good, options={"verify_signature": False})
    kid = jwt.get_unverified_header(good)["kid"]
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = issuer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def signed(key: Any, algorithm: str = "RS256", headers: Any = None, **changes: Any) -> str:
        whole = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        return jwt.encode(whole, key, algorithm=algorithm, headers={"kid": kid, **(headers or {})})

    def part(document: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()

    now = int(time.time())
    hmac_key = jwt.encode(claims, base64.b64encode(public).decode(), algorithm="HS256", headers={"kid": kid})
    tokens = {
        "expired": signed(issuer.key, exp=now - 60),
        "not yet valid": signed(issuer.key, nbf=now + 600),
        "for another audience": signed(issuer.key, aud="another"),
        "of another issuer": signed(issuer.key, iss="https://evil.example"),
        "without an end": signed(issuer.key, exp=None),
        "without a subject": signed(issuer.key, sub=None),
        "by another key": signed(stranger),
        "by a key of its own": signed(stranger, headers={"jwk": {"kty": "RSA"}, "jku": "http://127.0.0.1:9/jwks"}),
        "unsigned": f"{part({'alg': 'none', 'kid': kid})}.{body}.",
        "by the public key as a secret": hmac_key,
        "with another body": f"{header}.{part({**claims, 'tenant': 'elsewhere'})}.{signature}",
        "cut": good[:-8],
    }
    assert jwt.decode(signed(issuer.key), public, algorithms=["RS256"], audience=AUDIENCE)  # an honest one is let in
    made = world.http.post(
        "/api-keys", headers=world.token("forger", "USER"), json={"name": "forged", "scopes": ["jobs:read"]}
    ).json()
    revoked = world.http.post(
        "/api-keys", headers=world.token("forger", "USER"), json={"name": "revoked", "scopes": ["jobs:read"]}
    ).json()
    world.http.delete(f"/api-keys/{revoked['key_id']}", headers=world.token("forger", "USER"))
    keys = {
        "key with another secret": made["key"][:-1] + ("0" if made["key"][-1] != "0" else "1"),
        "key that is not there": f"aimx_{'f' * 16}_{'f' * 64}",
        "key that is none": "nonsense",
        "revoked key": revoked["key"],
    }
    return {
        "nothing": {},
        "another scheme": {"Authorization": "Basic YWxpY2U6YWxpY2U="},
        "a key and a token": {"X-API-Key": made["key"], "Authorization": f"Bearer {good}"},
        **{name: {"Authorization": f"Bearer {token}"} for name, token in tokens.items()},
        **{name: {"X-API-Key": key} for name, key in keys.items()},
    }


class TestMatrix:
    def test_knows_what_every_path_parameter_is(self) -> None:
        unknown = {name for operation in OPERATIONS for name in operation.parameters} - MISSING.keys()
        assert not unknown, f"say in MISSING and in `things` what {unknown} is"

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
