"""The costs room beside the jobs room, on moto's DynamoDB."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from chalicelib.calls import Calls
from chalicelib.costs.issuing import Issuing
from chalicelib.costs.meter import Meter
from chalicelib.costs.service import CostService
from chalicelib.costs.signer import Signer
from chalicelib.costs.store import UsageStore
from chalicelib.identity.caller import Caller
from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.job import Job
from tests.functional.jobs.conftest import ALICE, Jobs, jobs

__all__ = ["jobs"]


@dataclass
class FakeKms:
    """A P-256 key of KMS; moto's hashes a digest once more."""

    arn: ClassVar[str] = "arn:aws:kms:us-east-1:000000000000:key/receipts"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def sign(self, **asked: Any) -> dict[str, Any]:
        assert (asked["KeyId"], asked["MessageType"], asked["SigningAlgorithm"]) == (
            self.arn,
            "DIGEST",
            "ECDSA_SHA_256",
        )
        digested = ec.ECDSA(Prehashed(hashes.SHA256()))
        return {"KeyId": self.arn, "Signature": self.key.sign(asked["Message"], digested)}

    def get_public_key(self, **_: Any) -> dict[str, Any]:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return {"KeyId": self.arn, "PublicKey": self.key.public_key().public_bytes(serialization.Encoding.DER, form)}


@dataclass
class FakeHistory:
    count: int | None = 9

    def transitions(self, job_id: str) -> int | None:
        return self.count


@dataclass
class Costs:
    jobs: Jobs
    store: UsageStore
    signer: Signer
    meter: Meter
    history: FakeHistory = field(default_factory=FakeHistory)

    @property
    def issuing(self) -> Issuing:
        return Issuing(self.jobs.store, self.store, self.history, self.signer, self.meter, self.jobs.clock)  # type: ignore[arg-type]

    @property
    def service(self) -> CostService:
        return CostService(self.jobs.service, self.store, self.signer, self.jobs.clock)

    def ran(self, caller: Caller = ALICE, seconds: int = 60, billable: int | None = None, **config: Any) -> Job:
        """A job that ran for so long on SageMaker and completed."""
        job = self.jobs.service.submit(caller, self.jobs.request(caller, **config), None)
        self.jobs.lifecycle.plan(job.tenant, job.job_id)
        self.jobs.lifecycle.running(job.tenant, job.job_id, self.jobs.clock(), None)
        self.jobs.clock.advance(seconds)
        billed = seconds if billable is None else billable
        self.jobs.backends.sagemaker.says(
            f"aimatrix-{job.job_id}-1", BackendState.COMPLETED, training_seconds=seconds, billable_seconds=billed
        )
        return self.jobs.finishing.finish(job.tenant, job.job_id, None)


@pytest.fixture
def costs(jobs: Jobs) -> Costs:
    store = jobs.finishing.usage
    meter = Meter(Calls(), store, 1024, lambda: 0.0)
    return Costs(jobs, store, Signer(cast("Any", FakeKms()), FakeKms.arn), meter)
