"""The audit log, from outside: what was done and what was refused, who can read it, and what tampering comes to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from aimatrix.client import ConflictError, ForbiddenError
from tests.e2e import scripts
from tests.e2e.conftest import Cloud, aimatrix, last_json

TENANT = "audited"
PATIENCE_SECONDS = 30


@dataclass(frozen=True)
class Log:
    """The routes below /admin/audit, as an administrator of the tenant."""

    cloud: Cloud
    token: str

    def get(self, path: str = "", **query: Any) -> Any:
        address = f"{self.cloud.api}/admin/audit{path}?{urlencode(query)}"
        answer = httpx.get(address, headers={"Authorization": f"Bearer {self.token}"}, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def settled(self) -> Any:
        """The verification once nothing waits to be sealed."""
        until = time.monotonic() + PATIENCE_SECONDS
        while (found := self.get("/verify"))["waiting"]:
            assert time.monotonic() < until, found
        return found

    def rows(self, **query: str) -> list[Mapping[str, Any]]:
        """Oldest first."""
        rows: list[Mapping[str, Any]] = self.get(**query)["rows"]
        return rows[::-1]


@pytest.fixture(scope="module")
def log(cloud: Cloud) -> Log:
    return Log(cloud, cloud.token("root", "ADMIN", tenant=TENANT))


@pytest.mark.e2e
class TestAudit:
    def test_tells_what_was_done_and_what_was_refused(self, cloud: Cloud, log: Log, tmp_path: Path) -> None:
        with cloud.client("ada", "USER", tenant=TENANT) as ada:
            job = scripts.submit(ada, tmp_path, "import time\ntime.sleep(600)\n")
            ada.jobs.cancel(job.job_id)
            assert ada.jobs.wait(job.job_id, timeout=60).status == "cancelled"
            with pytest.raises(ConflictError):
                ada.jobs.cancel(job.job_id)
        with cloud.client("vera", "VIEWER", tenant=TENANT) as vera, pytest.raises(ForbiddenError) as forbidden:
            scripts.submit(vera, tmp_path, "print('no')\n")
        found = log.settled()
        assert found["broken"] is None
        assert found["verified"] == found["head"]

        told = [(row["user"], row["action"], row.get("subject"), row["outcome"]) for row in log.rows()]
        subject = f"job/{job.job_id}"
        assert [each for each in told if each[1] != "create_upload"] == [
            ("ada", "submit_job", subject, "done"),
            ("ada", "cancel_job", subject, "done"),
            ("ada", "cancel_job", subject, "refused"),
            ("vera", "submit_job", None, "refused"),
        ]
        assert [row["user"] for row in log.rows(action="create_upload")] == ["ada", "vera"]
        assert [row["action"] for row in log.rows(subject=subject)] == ["submit_job", "cancel_job", "cancel_job"]
        (refused,) = log.rows(actor="vera", action="submit_job")
        assert (refused["code"], refused["roles"], refused["source_ip"]) == ("forbidden", ["VIEWER"], "127.0.0.1")
        assert refused["request_id"] == forbidden.value.request_id
        assert log.rows(actor="vera", until=refused["at"], action="submit_job") == []

    def test_tells_which_api_key_it_was(self, cloud: Cloud, log: Log) -> None:
        request = {"name": "ci", "scopes": ["jobs:read", "jobs:submit"], "expires_in_days": 1}
        bearer = {"Authorization": f"Bearer {cloud.token('kim', 'USER', tenant=TENANT)}"}
        made = httpx.post(f"{cloud.api}/api-keys", json=request, headers=bearer, timeout=30).json()
        address = f"{cloud.api}/training/jobs/{'0' * 32}"
        assert httpx.delete(address, headers={"X-API-Key": made["key"]}, timeout=30).status_code == 404
        assert log.settled()["broken"] is None
        created, refused = log.rows(actor="kim")
        assert (created["action"], created["subject"]) == ("create_api_key", f"key/{made['key_id']}")
        assert (refused["action"], refused["code"], refused["key_id"]) == ("cancel_job", "not-found", made["key_id"])
        assert made["key"] not in str(log.rows())

    def test_is_read_by_administrators_of_the_tenant_only(self, cloud: Cloud, log: Log) -> None:
        for path in ("", "/chain", "/verify"):
            answer = httpx.get(
                f"{cloud.api}/admin/audit{path}",
                headers={"Authorization": f"Bearer {cloud.token('ada', 'USER', 'VIEWER', 'MODEL_DEPLOYER')}"},
            )
            assert answer.status_code == 403
        stranger = Log(cloud, cloud.token("root", "ADMIN", tenant="strangers"))
        assert stranger.rows() == []

    def test_names_the_row_that_somebody_changed_or_took_away(self, cloud: Cloud, log: Log) -> None:
        dynamodb = cloud.boto("dynamodb")
        (table,) = (name for name in dynamodb.list_tables()["TableNames"] if name.endswith("-audit"))
        end = log.settled()["head"]["seq"]

        def key(seq: int) -> dict[str, dict[str, str]]:
            return {"pk": {"S": TENANT}, "sk": {"S": f"row#{seq:012d}"}}

        kept = dynamodb.get_item(TableName=table, Key=key(2))["Item"]
        dynamodb.put_item(TableName=table, Item={**kept, "actor_key": {"S": f"{TENANT}#mallory"}})
        assert log.get("/verify")["broken"] == {
            "seq": 2,
            "fault": "altered",
            "detail": "What row 2 says is not what was sealed.",
        }
        dynamodb.put_item(TableName=table, Item=kept)
        assert log.get("/verify")["broken"] is None

        last = dynamodb.get_item(TableName=table, Key=key(end))["Item"]
        dynamodb.delete_item(TableName=table, Key=key(end))
        assert (log.get("/verify")["broken"]["seq"], log.get("/verify")["broken"]["fault"]) == (end, "missing")
        done = aimatrix("audit", "verify", "--api", cloud.api, "--json", environment={"AIMATRIX_TOKEN": log.token})
        assert done.returncode == 1, done.stderr
        assert last_json(done.stdout)["broken"] == {"seq": end, "fault": "missing", "detail": f"Row {end} is missing."}
        dynamodb.put_item(TableName=table, Item=last)
        assert (
            aimatrix("audit", "verify", "--api", cloud.api, environment={"AIMATRIX_TOKEN": log.token}).returncode == 0
        )
