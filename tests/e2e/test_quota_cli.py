"""Quotas as somebody at a terminal meets them: set, run into, looked at, checked."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from aimatrix.client import InvalidRequestError, Limits, PreconditionFailedError
from chalicelib.quotas.position import Phase, Position
from tests.e2e import scripts
from tests.e2e.conftest import Cloud, aimatrix, last_json

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class Terminal:
    """Somebody's, with a token of their own."""

    cloud: Cloud
    user: str
    role: str

    def __call__(self, *words: str, ends: int = 0) -> subprocess.CompletedProcess[str]:
        environment = {"AIMATRIX_API": self.cloud.api, "AIMATRIX_TOKEN": self.cloud.token(self.user, self.role)}
        done = aimatrix(*words, environment=environment)
        assert done.returncode == ends, (words, done.stdout, done.stderr)
        return done


class TestQuota:
    def test_is_set_run_into_looked_at_and_found_right(self, cloud: Cloud, tmp_path: Path) -> None:
        admin, user = Terminal(cloud, "root", "ADMIN"), Terminal(cloud, "limited", "USER")
        (tmp_path / "train.py").write_text("import time\nprint('started', flush=True)\ntime.sleep(600)\n")
        (tmp_path / "data.csv").write_text(scripts.DATA)
        words = ["submit", str(tmp_path / "train.py"), "--data", str(tmp_path / "data.csv"), "--framework", "custom"]
        words += ["--max-runtime", "10m", "--json"]

        user("quota", "set", "limited", "--max-concurrent-jobs", "100", ends=4)
        limits = last_json(admin("quota", "set", "limited", "--max-concurrent-jobs", "1", "--json").stdout)["limits"]
        assert (limits["max_concurrent_jobs"], limits["max_cpu_hours_per_month"]) == (1, 1000)

        first = last_json(user(*words).stdout)
        refused = user(*words, ends=7)
        error = last_json(refused.stdout)["error"]
        (limit,) = error["limits"]
        assert (limit["scope"], limit["limit"], limit["used"], limit["requested"]) == (
            "user",
            "max_concurrent_jobs",
            1,
            1,
        )
        assert error["fits_at"] > first["created_at"]
        assert "your max_concurrent_jobs: 1 job asked for, 1 of 1 used or reserved" in refused.stderr
        assert f"There is room for it at {error['fits_at']}" in refused.stderr

        assert "max_concurrent_jobs" in user("quota").stdout
        assert last_json(user("quota", "--json").stdout)["user"]["current_concurrent_jobs"] == 1
        assert "limited" in {each["user_id"] for each in last_json(admin("quota", "users", "--json").stdout)["quotas"]}
        admin("jobs", "delete", first["job_id"], ends=5)

        user("jobs", "cancel", first["job_id"], "--wait")
        shortened = user(*words, "--max-cost", "0.01")
        assert "set by max_cost_usd" in shortened.stderr
        user("jobs", "cancel", last_json(shortened.stdout)["job_id"], "--wait")
        admin("jobs", "delete", first["job_id"])
        user("jobs", "get", first["job_id"], ends=3)

        found = last_json(admin("quota", "check", "--json").stdout)
        print(f"{found['owners']} accounts and {found['jobs']} jobs checked, differences {len(found['differences'])}")
        assert found["differences"] == []

    def test_is_not_set_over_what_somebody_else_has_set(self, cloud: Cloud) -> None:
        with cloud.client("root", "ADMIN") as one, cloud.client("boss", "ADMIN") as other:
            seen = one.quotas.user("contested")
            other.quotas.set_user("contested", Limits(max_concurrent_jobs=1), version=seen.version)
            with pytest.raises(PreconditionFailedError, match="have version 1, not 0"):
                one.quotas.set_user("contested", Limits(max_concurrent_jobs=99), version=seen.version)
            assert one.quotas.user("contested").limits.max_concurrent_jobs == 1

    def test_is_checked_from_where_an_earlier_request_stopped(self, cloud: Cloud) -> None:
        with cloud.client("root", "ADMIN") as admin:
            ask = admin.quotas.transport.document
            whole = ask("GET", "/admin/quotas/check")
            rest = ask("GET", "/admin/quotas/check", params={"cursor": Position(Phase.TENANT).encode()})
            assert (whole["next_cursor"], whole["differences"], rest["differences"]) == (None, [], [])
            assert (rest["owners"], rest["jobs"]) == (1, 0)
            with pytest.raises(InvalidRequestError, match="is not a cursor of this list"):
                ask("GET", "/admin/quotas/check", params={"cursor": "x"})

    def test_is_checked_by_the_clock_too_once_a_day(self, cloud: Cloud) -> None:
        functions = cloud.boto("lambda")
        (name,) = [
            each["FunctionName"]
            for each in functions.list_functions()["Functions"]
            if each["FunctionName"].endswith("check-quotas")
        ]
        answers = [json.load(functions.invoke(FunctionName=name, Payload=b"{}")["Payload"]) for _ in range(2)]
        assert [answer["differences"] for answer in answers] == [0, 0]
        assert answers[1]["tenants"] == 0
