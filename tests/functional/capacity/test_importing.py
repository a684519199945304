"""The account's service quotas as limits of pools, over REST, with Service Quotas answering in pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from chalicelib.capacity import routes
from chalicelib.capacity.gateways import ServiceQuotas
from chalicelib.capacity.importing import READ_SECONDS, Importing
from chalicelib.identity.caller import Caller
from chalicelib.jobs.instances import BatchMachines
from tests.functional.capacity.conftest import ADMIN, POOL, Room
from tests.functional.rest import Gateway

ALICE = Caller("acme", "alice", frozenset({"USER"}))
IMPORT = "/v1/admin/capacity/import"
V100 = {"ml.p3.2xlarge": 4, "ml.p3.8xlarge": 1, "ml.p3.16xlarge": 0, "ml.p3dn.24xlarge": 0}


@dataclass
class Account:
    """Service Quotas, two quotas a page."""

    instances: dict[str, float] = field(default_factory=lambda: dict(V100))
    vcpus: dict[str, float] = field(default_factory=lambda: {"L-417A185B": 64.0})
    seconds: float = 0.0
    seconds_a_page: float = 0.0
    busy: bool = False
    pages: int = 0

    def list_service_quotas(self, *, ServiceCode: str, MaxResults: int, NextToken: str = "0") -> Any:  # noqa: N803
        assert (ServiceCode, MaxResults) == ("sagemaker", 100)
        if self.busy:
            raise self._error("TooManyRequestsException", "ListServiceQuotas")
        self.pages, self.seconds = self.pages + 1, self.seconds + self.seconds_a_page
        names = [f"{kind} for {use} usage" for kind in self.instances for use in ("training job", "endpoint")]
        values = [value for kind in self.instances.values() for value in (kind, 7.0)]
        start = int(NextToken)
        quotas = [
            {"QuotaCode": f"L-{position}", "QuotaName": names[position], "Value": values[position]}
            for position in range(start, min(start + 2, len(names)))
        ]
        more = {"NextToken": str(start + 2)} if start + 2 < len(names) else {}
        return {"Quotas": quotas, **more}

    def get_service_quota(self, *, ServiceCode: str, QuotaCode: str) -> Any:  # noqa: N803
        assert ServiceCode == "ec2"
        if QuotaCode not in self.vcpus:
            raise self._error("NoSuchResourceException", "GetServiceQuota")
        return {"Quota": {"QuotaCode": QuotaCode, "QuotaName": "vCPUs", "Value": self.vcpus[QuotaCode]}}

    @staticmethod
    def _error(code: str, operation: str) -> ClientError:
        return ClientError({"Error": {"Code": code, "Message": ""}}, operation)


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def batch() -> list[BatchMachines]:
    return []


@pytest.fixture
def send(room: Room, account: Account, batch: list[BatchMachines]) -> Callable[..., Any]:
    quotas = ServiceQuotas(lambda: account)
    importing = Importing(room.pools, quotas, lambda: batch[0] if batch else None, lambda: account.seconds)
    platform: Any = SimpleNamespace(capacity_import=importing)
    gateway = Gateway.of(routes.rooms(platform, None))
    return lambda caller, query="", body=None: gateway.send(caller, "POST", f"{IMPORT}{query}", body)


def pools(answer: Any) -> dict[str, dict[str, Any]]:
    return {each["pool"]: each for each in answer.json["pools"]}


class TestImport:
    def test_shows_what_would_change_and_changes_nothing(
        self, send: Callable[..., Any], room: Room, account: Account
    ) -> None:
        answer = send(ADMIN, "?dry_run=true")
        assert (answer.status, answer.json["dry_run"], answer.json["batch"]) == (200, True, [])
        assert account.pages == 4
        v100 = pools(answer)[POOL]
        assert (v100["limit_before"], v100["limit"], v100["changes"], v100["unit"]) == (None, 8, True, "GPUs")
        assert {"instance_type": "ml.p3.8xlarge", "instances": 1, "each": 4} in v100["quotas"]
        assert room.store.pools() == []

    def test_sets_what_the_account_allows_and_nothing_of_what_it_does_not_speak(
        self, send: Callable[..., Any], room: Room
    ) -> None:
        room.limit(2, aging_seconds=99)
        answer = send(ADMIN)
        assert (pools(answer)[POOL]["limit_before"], answer.json["dry_run"]) == (2, False)
        assert (room.pool().limit, room.pool().aging_seconds) == (8, 99)
        assert [pool.name for pool in room.store.pools()] == [POOL]
        unknown = pools(answer)["sagemaker/a100"]
        assert (unknown["limit"], unknown["changes"], unknown["quotas"]) == (None, False, [])

    def test_counts_vcpus_where_there_are_no_gpus(self, send: Callable[..., Any], account: Account) -> None:
        account.instances = {"ml.m5.xlarge": 3, "ml.c5.xlarge": 2, "ml.m5.large": 0.0, "ml.unheard.of": 50}
        cpu = pools(send(ADMIN, "?dry_run=true"))["sagemaker/cpu"]
        assert (cpu["limit"], cpu["unit"]) == (3 * 4 + 2 * 4, "vCPUs")

    def test_lets_in_who_fits_then(self, send: Callable[..., Any], room: Room) -> None:
        room.limit(0)
        room.submit("waits", 8)
        send(ADMIN)
        assert room.told() == ["waits"]

    def test_leaves_alone_what_is_as_it_should_be(self, send: Callable[..., Any], room: Room) -> None:
        send(ADMIN)
        version = room.pool().version
        again = pools(send(ADMIN))[POOL]
        assert (again["limit_before"], again["limit"], again["changes"]) == (8, 8, False)
        assert room.pool().version == version

    def test_sets_a_pool_of_which_the_account_allows_nothing_to_nothing(
        self, send: Callable[..., Any], room: Room, account: Account
    ) -> None:
        account.instances = dict.fromkeys(V100, 0.0)
        send(ADMIN)
        assert room.pool().limit == 0

    def test_tells_what_batch_may_have_of_ec2(self, send: Callable[..., Any], batch: list[BatchMachines]) -> None:
        batch.append(BatchMachines(100, frozenset({"v100", "t4"})))
        told = send(ADMIN, "?dry_run=true").json["batch"]
        assert told == [{"quota": "vCPUs", "quota_code": "L-417A185B", "vcpus": 64, "kinds": ["v100"]}]

    def test_gives_up_in_time_and_sets_nothing(self, send: Callable[..., Any], room: Room, account: Account) -> None:
        account.seconds_a_page = READ_SECONDS / 2
        answer = send(ADMIN)
        assert (answer.status, answer.json["code"], answer.headers["Retry-After"]) == (503, "unavailable", "1")
        assert account.pages == 3
        assert room.store.pools() == []

    def test_says_that_it_was_throttled(self, send: Callable[..., Any], room: Room, account: Account) -> None:
        account.busy = True
        assert send(ADMIN).status == 503
        assert room.store.pools() == []

    def test_is_an_operators_business(self, send: Callable[..., Any], account: Account) -> None:
        assert [send(ALICE, query).status for query in ("", "?dry_run=true")] == [403, 403]
        assert send(ADMIN, "?force=true").status == 400
        refused = send(ADMIN, "", {"limit": 1})
        assert (refused.status, refused.json["errors"][0]["field"]) == (400, "limit")
        assert account.pages == 0
        assert send(ADMIN, "?dry_run=true", {}).status == 200
