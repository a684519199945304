"""API keys over HTTP: made, used, confined, revoked."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import jwt
import pytest

from tests.e2e.conftest import Cloud, aimatrix, last_json

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def http(cloud: Cloud) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=cloud.api) as client:
        yield client


@pytest.fixture(scope="module")
def owner(cloud: Cloud) -> dict[str, str]:
    return {"Authorization": f"Bearer {cloud.token('keeper', 'USER')}"}


class TestApiKeys:
    def test_act_for_their_owner_within_their_scopes_until_the_moment_they_are_revoked(
        self, http: httpx.Client, owner: dict[str, str]
    ) -> None:
        made = http.post("/api-keys", headers=owner, json={"name": "ci", "scopes": ["jobs:read", "models:read"]})
        assert made.status_code == 201, made.text
        document = made.json()
        assert document["key"].startswith(f"aimx_{document['key_id']}_")
        key = {"X-API-Key": document["key"]}

        assert http.get("/training/jobs", headers=key).status_code == 200
        assert http.get("/models", headers=key).status_code == 200
        refused = http.post("/uploads", headers=key, json={"files": [{"name": "a.py", "size": 1}]})
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert "uploads:create" in refused.json()["detail"]
        assert http.post("/api-keys", headers=key, json={"name": "more", "scopes": ["jobs:read"]}).status_code == 403

        path = f"/api-keys/{document['key_id']}"
        shown = http.get(path, headers=owner).json()
        assert shown["last_used_at"] >= shown["created_at"]
        assert "key" not in shown

        assert http.delete(path, headers=owner).status_code == 204
        assert http.get("/training/jobs", headers=key).status_code == 401

    def test_that_are_wrong_in_any_way_get_the_same_answer(self, http: httpx.Client, owner: dict[str, str]) -> None:
        wish = {"name": "ci", "scopes": ["jobs:read"]}
        good, revoked = (http.post("/api-keys", headers=owner, json=wish).json() for _ in range(2))
        http.delete(f"/api-keys/{revoked['key_id']}", headers=owner)
        wrong = {
            "no credential": {},
            "malformed": {"X-API-Key": "nonsense"},
            "empty": {"X-API-Key": ""},
            "unknown": {"X-API-Key": f"aimx_{'0' * 16}_{'0' * 64}"},
            "wrong secret": {"X-API-Key": good["key"][:-64] + "0" * 64},
            "revoked": {"X-API-Key": revoked["key"]},
            "as a token": {"Authorization": f"Bearer {good['key']}"},
            "token beside it": {"X-API-Key": good["key"], **owner},
        }
        answers = {name: http.get("/training/jobs", headers=headers) for name, headers in wrong.items()}
        assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(wrong, 401)
        bodies = [{**answer.json(), "request_id": ""} for answer in answers.values()]
        assert all(body == bodies[0] for body in bodies)
        assert bodies[0]["code"] == "unauthenticated"
        assert http.get("/training/jobs", headers={"X-API-Key": good["key"]}).status_code == 200

    def test_of_somebody_else_are_not_there(self, cloud: Cloud, http: httpx.Client, owner: dict[str, str]) -> None:
        made = http.post("/api-keys", headers=owner, json={"name": "ci", "scopes": ["jobs:read"]}).json()
        missing = http.get(f"/api-keys/{'0' * 16}", headers=owner)
        for token in (cloud.token("other", "USER"), cloud.token("keeper", "ADMIN", tenant="elsewhere")):
            for method in ("GET", "DELETE"):
                theirs = http.request(
                    method, f"/api-keys/{made['key_id']}", headers={"Authorization": f"Bearer {token}"}
                )
                assert theirs.status_code == 404
                assert {**theirs.json(), "request_id": ""} == {**missing.json(), "request_id": ""}

    def test_are_stored_as_hashes_only(self, cloud: Cloud, http: httpx.Client, owner: dict[str, str]) -> None:
        made = http.post("/api-keys", headers=owner, json={"name": "ci", "scopes": ["jobs:read"]}).json()
        table = str(cloud.boto("dynamodb").scan(TableName="aimatrix-keys")["Items"])
        assert made["key_id"] in table
        assert made["key"].rpartition("_")[2] not in table

    def test_work_on_the_command_line_in_place_of_a_token(self, cloud: Cloud) -> None:
        here = {"AIMATRIX_API": cloud.api, "AIMATRIX_TOKEN": cloud.token("keeper", "USER")}
        made = aimatrix("keys", "create", "ci", "--scope", "models:read", environment=here)
        assert made.returncode == 0, made.stderr
        key = made.stdout.strip()
        with_key = {"AIMATRIX_API": cloud.api, "AIMATRIX_API_KEY": key}
        assert aimatrix("models", "list", "--json", environment=with_key).returncode == 0
        assert aimatrix("keys", "revoke", key.split("_")[1], environment=here).returncode == 0
        refused = aimatrix("models", "list", "--json", environment=with_key)
        assert (refused.returncode, last_json(refused.stdout)["error"]["status"]) == (4, 401)


class TestIssuer:
    def test_keys_are_kept_for_processes_that_start_while_it_is_away(self, cloud: Cloud, http: httpx.Client) -> None:
        token = cloud.token("keeper", "USER")
        assert http.get("/models", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        items = cloud.boto("dynamodb").scan(TableName="aimatrix-keys")["Items"]
        (kept,) = [item for item in items if item["pk"]["S"] == "jwks"]
        kids = [key["kid"] for key in json.loads(kept["document"]["S"])["keys"]]
        assert kids == [jwt.get_unverified_header(token)["kid"]]
