"""Two installations on moto: one in which a tenant has lived, and an empty one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from backup.exporting import export
from backup.importing import Imported, import_
from backup.installation import Installation
from backup.layout import Manifest, Source
from chalicelib.audit.sealing import Sealing
from chalicelib.audit.store import AuditStore
from chalicelib.costs.receipt import canonical
from chalicelib.costs.signer import Signer
from chalicelib.costs.store import UsageStore
from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.ledger_store import LedgerStore
from chalicelib.jobs.store import JobStore
from chalicelib.metrics.point import MetricCount, MetricPoint
from chalicelib.metrics.store import MetricStore
from chalicelib.quotas.check import QuotaCheck
from chalicelib.quotas.store import QuotaStore
from chalicelib.table import Table
from tests.functional.jobs.conftest import ADMIN, ALICE, BOB, BUCKET, STRANGER, Jobs
from tests.functional.jobs.conftest import jobs as jobs
from tests.functional.jobs.test_ledger import Stream
from tests.functional.tables import create_table

TABLES = ("audit", "jobs", "models", "deployments", "experiments", "retraining", "metrics", "usage", "quotas")
EXPORTED_AT = datetime(2026, 3, 2, tzinfo=UTC)


@dataclass
class Steps:
    """What the progress of a run said: of each step, how far it came."""

    done: dict[str, int] = field(default_factory=dict)

    def __call__(self, step: str, done: int) -> None:
        self.done[step] = done


@dataclass
class Site:
    """An installation, and the service's own stores over its tables.

    Attributes:
        on_pause: what happens while an export waits.
    """

    installation: Installation
    steps: Callable[[str, int], None] = field(default_factory=Steps)
    on_pause: Callable[[], object] = lambda: None

    def table(self, name: str) -> Table:
        return Table(self.installation.dynamodb, self.installation.tables[name])

    @property
    def jobs(self) -> JobStore:
        return JobStore(self.table("jobs"))

    @property
    def metrics(self) -> MetricStore:
        return MetricStore(self.table("metrics"))

    @property
    def usage(self) -> UsageStore:
        return UsageStore(self.table("usage"))

    @property
    def ledger(self) -> LedgerStore:
        return LedgerStore(self.table("jobs"))

    @property
    def audit(self) -> AuditStore:
        return AuditStore(self.table("audit"))

    @property
    def check(self) -> QuotaCheck:
        return QuotaCheck(QuotaStore(self.table("quotas")), self.jobs.charged, lambda _: None, lambda: 0.0)

    def items(self, name: str) -> list[dict[str, Any]]:
        pages = self.installation.dynamodb.get_paginator("scan").paginate(TableName=self.installation.tables[name])
        return [dict(item) for page in pages for item in page["Items"]]

    def keys(self, name: str, tenant: str = "acme") -> set[tuple[str, str]]:
        found = ((item["pk"]["S"], item["sk"]["S"]) for item in self.items(name))
        return {(pk, sk) for pk, sk in found if pk.startswith(f"{tenant}#") or pk == tenant}

    def objects(self) -> dict[str, bytes]:
        s3, bucket = self.installation.s3, self.installation.bucket
        return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key, _, _ in self.installation.listed("")}

    def export(self, folder: Path, tenant: str = "acme", export_id: str = "export-1") -> Manifest:
        return export(
            self.installation,
            tenant,
            folder,
            self.steps,
            now=lambda: EXPORTED_AT,
            new_id=lambda: export_id,
            pause=self._pause,
        )

    def _pause(self, _seconds: float) -> None:
        self.on_pause()

    def import_(self, folder: Path) -> Imported:
        return import_(self.installation, folder, self.steps, now=lambda: EXPORTED_AT)


@dataclass
class Lived:
    """An installation in which two tenants have had jobs.

    Attributes:
        finished, still_open, deleted: jobs of the tenant `acme`.
    """

    site: Site
    room: Jobs
    finished: str
    still_open: str
    deleted: str


@pytest.fixture
def here(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> Lived:
    dynamodb, kms = boto3.client("dynamodb"), boto3.client("kms")
    stream = Stream(jobs, monkeypatch)
    for name in ("deployments", "experiments", "retraining"):
        create_table(dynamodb, name)
    site = Site(_installation("here", BUCKET, {name: name for name in TABLES}))
    submitted = [
        jobs.service.submit(caller, jobs.request(caller), f"key-{number}").job_id
        for number, caller in enumerate((ALICE, ALICE, BOB, STRANGER))
    ]
    finished, still_open, deleted, _ = submitted
    key_id = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["Arn"]
    for job_id in (finished, deleted):
        jobs.lifecycle.plan("acme", job_id)
        jobs.backends.sagemaker.says(f"aimatrix-{job_id}-1", BackendState.COMPLETED, billable_seconds=100)
        jobs.finishing.finish("acme", job_id, None)
        sealed = Signer(kms, key_id).seal(canonical({"job_id": job_id}))
        site.usage.put_receipt("acme", job_id, sealed)
    stream.deliver()
    jobs.metrics.put("acme", finished, [MetricPoint("loss", 1 / step, step, None, jobs.clock()) for step in (1, 2)])
    jobs.metrics.count("acme", finished, "1#0", MetricCount(2, jobs.clock()))
    jobs.deletion.delete(ADMIN, deleted)
    Sealing(site.audit, lambda: 0.0).seal("acme")
    return Lived(site, jobs, finished, still_open, deleted)


@pytest.fixture
def there(here: Lived) -> Site:
    """Another account: other names, and nobody in it."""
    dynamodb = boto3.client("dynamodb")
    boto3.client("s3").create_bucket(Bucket="there")
    names = {name: create_table(dynamodb, name, f"there-{name}") for name in TABLES}
    return Site(_installation("there", "there", names))


def _installation(stack: str, bucket: str, tables: dict[str, str]) -> Installation:
    source = Source(stack, "us-east-1", bucket)
    return Installation(boto3.client("dynamodb"), boto3.client("s3"), boto3.client("kms"), tables, source)
