"""Wrong requests: a problem document that names the field and the cure, and nothing left behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from aimatrix.client import Client
from aimatrix.client.uploads import UploadFile
from tests.e2e import scripts
from tests.e2e.conftest import Cloud
from tests.faults import Shows

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def http(cloud: Cloud) -> Any:
    with httpx.Client(
        base_url=cloud.api, headers={"Authorization": f"Bearer {cloud.token('mallory', 'USER')}"}
    ) as client:
        yield client


@pytest.fixture(scope="module")
def valid(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("valid")
    (folder / "train.py").write_text("print('hi')\n")
    (folder / "data.csv").write_text("a\n1\n")
    with cloud.client("mallory", "USER") as client:
        upload = client.upload([UploadFile(folder / name, name) for name in ("train.py", "data.csv")])
    return {
        "name": "bad",
        "framework": "custom",
        "config": {
            "script_path": upload["train.py"],
            "dataset_path": upload["data.csv"],
            "resource_requirements": {"gpu_count": 0},
        },
    }


def _changed(valid: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(valid))
    *parents, last = path.split(".")
    place = document
    for parent in parents:
        place = place.setdefault(parent, {})
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return document


WRONG: list[tuple[str, Any, int]] = [
    ("name", ..., 400),
    ("name", 7, 400),
    ("name", "../../etc", 400),
    ("framework", "cobol", 400),
    ("config", ..., 400),
    ("config.script_path", ..., 400),
    ("priority", "urgent", 400),
    ("surprise", True, 400),
    ("config.surprise", 1, 400),
    ("config.resource_requirements.gpu_count", 9, 400),
    ("config.resource_requirements.gpu_count", "1", 400),
    ("config.resource_requirements.gpu_type", "k80", 400),
    ("config.resource_requirements.memory_gb", 513, 400),
    ("config.resource_requirements.cpu_cores", 65, 400),
    ("config.resource_requirements.disk_gb", 19, 400),
    ("config.max_runtime_seconds", 1, 400),
    ("config.parameters", {"blob": "x" * 70_000}, 400),
    ("config.parameters", [1], 400),
    ("config.script_path", "s3://elsewhere/train.py", 422),
    ("config.script_path", "file:///etc/passwd", 422),
    ("config.script_path", "http://169.254.169.254/latest/meta-data", 422),
    ("config.dataset_path", "s3://", 422),
    ("config.environment.environment_variables", {"LD_PRELOAD": "/x.so"}, 422),
    ("config.environment.environment_variables", {"AWS_ACCESS_KEY_ID": "x"}, 422),
    ("config.environment.environment_variables", {"PATH": "/x"}, 422),
    ("config.environment.docker_image", "; rm -rf /", 422),
    ("config.metric_definitions", [{"name": "m", "regex": "("}], 400),
]


class TestBadRequests:
    @pytest.mark.parametrize(("field", "value", "status"), WRONG)
    def test_are_answered_with_the_field_and_the_cure(
        self, http: httpx.Client, valid: dict[str, Any], field: str, value: Any, status: int
    ) -> None:
        before = http.get("/training/jobs").json()["jobs"]
        answer = http.post("/training/jobs", json=_changed(valid, field, value))
        problem = answer.json()
        assert answer.status_code == status, problem
        assert answer.headers["content-type"] == "application/problem+json"
        assert any(each["field"].startswith(field.rsplit(".", 1)[0]) and each["cure"] for each in problem["errors"]), (
            problem
        )
        assert problem["request_id"]
        assert http.get("/training/jobs").json()["jobs"] == before

    @pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"name": NaN}', b"[" * 10_000])
    def test_that_are_not_json_objects_are_refused(self, http: httpx.Client, body: bytes) -> None:
        answer = http.post("/training/jobs", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400
        assert answer.json()["errors"]

    def test_that_are_too_large_are_refused(self, http: httpx.Client, valid: dict[str, Any], shows: Shows) -> None:
        assert http.post("/training/jobs", json=_changed(valid, "description", "x" * 1_100_000)).status_code == 413
        sizes = (6 * 2**20, 2**20 * 9 + 2**19, 10 * 2**20 - 1, 10 * 2**20, 10 * 2**20 + 1, 11_000_000)
        assert [http.post("/training/jobs", content=b"x" * size).status_code for size in sizes] == [413] * len(sizes)
        shows(21, f"bodies of {sizes[0]:,} to {sizes[-1]:,} bytes: all 413")
        before = http.get("/training/jobs").json()["jobs"]
        blob = _changed(valid, "config.parameters", {"blob": "x" * 1_000_000})
        assert http.post("/training/jobs", json=blob).status_code == 400
        assert http.get("/training/jobs").json()["jobs"] == before
        shows(19, "parameters of 1 MB: 400 before any write")

    @pytest.mark.parametrize("query", ["limit=0", "limit=x", "offset=-1", "status=done", "cursor=!!", "surprise=1"])
    def test_wrong_parameters_are_named(self, http: httpx.Client, query: str) -> None:
        answer = http.get(f"/training/jobs?{query}")
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == query.split("=")[0]

    def test_unknown_paths_and_methods_are_problems_too(self, http: httpx.Client) -> None:
        for method, path in (("GET", "/nowhere"), ("PUT", "/training/jobs")):
            answer = http.request(method, path)
            assert answer.status_code in {403, 404, 405}
            assert answer.headers["content-type"] == "application/problem+json"


class TestIdentity:
    def test_health_and_info_need_no_token(self, cloud: Cloud) -> None:
        assert httpx.get(f"{cloud.api}/health").json() == {"status": "ok"}
        assert httpx.get(f"{cloud.api}/info").json()["service"] == "aimatrix-training"

    @pytest.mark.parametrize("header", [None, "Bearer nonsense", "Basic dXNlcjpwYXNz", "Bearer"])
    def test_everything_else_needs_a_good_one(self, cloud: Cloud, header: str | None) -> None:
        headers = {"Authorization": header} if header else {}
        for path in ("/training/jobs", "/models", "/deployments"):
            answer = httpx.get(f"{cloud.api}{path}", headers=headers)
            assert answer.status_code == 401, answer.text
            assert answer.headers["content-type"] == "application/problem+json"

    def test_another_users_and_another_tenants_job_look_like_a_missing_one(
        self, cloud: Cloud, alice: Client, tmp_path: Path
    ) -> None:
        job = scripts.run(alice, tmp_path, "print('mine')\n")
        missing = "00000000-0000-4000-8000-000000000000"
        for token in (cloud.token("bob", "USER"), cloud.token("alice", "ADMIN", tenant="umbrella")):
            with httpx.Client(base_url=cloud.api, headers={"Authorization": f"Bearer {token}"}) as stranger:
                for path in ("/training/jobs/{}", "/training/jobs/{}/logs", "/training/jobs/{}/metrics"):
                    theirs, absent = (stranger.get(path.format(job_id)) for job_id in (job.job_id, missing))
                    assert theirs.status_code == absent.status_code == 404
                    assert _without_id(theirs) == _without_id(absent)
                assert stranger.delete(f"/training/jobs/{job.job_id}").status_code == 404

    def test_a_cursor_from_one_job_does_not_open_the_log_of_another(
        self, cloud: Cloud, alice: Client, tmp_path: Path
    ) -> None:
        mine = scripts.run(alice, tmp_path, "print('secret of alice')\n")
        cursor = alice.jobs.log_page(mine.job_id).next_cursor
        with cloud.client("bob", "USER") as bob:
            theirs = scripts.run(bob, tmp_path, "print('of bob')\n")
            page = bob.jobs.log_page(theirs.job_id, cursor)
        assert all("alice" not in entry.message for entry in page.entries)


def _without_id(answer: httpx.Response) -> dict[str, Any]:
    return {name: value for name, value in answer.json().items() if name != "request_id"}
