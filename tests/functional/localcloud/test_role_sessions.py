"""The sessions of roles end with the process of the AWS services that opened them; the compute emulator sees to that."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from datetime import UTC, datetime
from pathlib import Path

from localcloud.compute.aws_clients import AwsClients, ObjectError
from localcloud.compute.control import HttpControlPlane, http_post
from localcloud.compute.credentials import CredentialDesk
from localcloud.compute.host import Blocking, RoleCredentials
from localcloud.state import REGION
from tests.functional.localcloud.conftest import Start, until

BUCKET = "aimatrix-objects"


class TestKillingTheAwsServices:
    def test_role_keys_of_before_are_refused_and_replaced(self, start: Start, tmp_path: Path) -> None:
        cloud = start(tmp_path / "state")
        clients = AwsClients(cloud.settings.aws_url, REGION)
        blocking = Blocking(2)
        post = http_post(f"{cloud.settings.aws_url}/_aimatrix", cloud.settings.control_secret)
        plane = HttpControlPlane(post, blocking, asyncio.sleep)
        desk = CredentialDesk(plane, lambda: datetime.now(UTC), lambda: str(uuid.uuid4()), lambda: "token")
        grant = desk.open(cloud.outputs["TrainingRole"], "sagemaker.amazonaws.com", "SageMaker")

        def keys() -> RoleCredentials:
            return asyncio.run(desk.credentials_of(grant))

        def refusal(of: RoleCredentials) -> ObjectError | None:
            try:
                clients.objects(of).list(BUCKET, "")
            except ObjectError as error:
                return error
            return None

        before = keys()
        assert keys() == before
        known = refusal(before)
        assert known is None or known.code == "AccessDenied"
        pid = cloud.part("aws").pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: cloud.part("aws").pid not in (pid, None) and bool(cloud.run["deployed"]))

        refused = refusal(before)
        assert refused is not None
        assert (refused.code, refused.passing) == ("InvalidAccessKeyId", True)
        fresh = refusal(keys())
        assert fresh is None or fresh.code == "AccessDenied"
        blocking.close()
