"""The embedded cloud is killed and started again under running jobs: it is away, then it knows no key of before."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from localcloud.compute.aws_clients import ObjectError
from localcloud.compute.control import ControlUnavailable
from localcloud.compute.host import RoleCredentials
from tests.unit.compute.fakes import FakeControl, FakeObjects
from tests.unit.compute.harness import emulator


@dataclass
class Restarting(FakeControl):
    """Its sessions end with its process. `away`: so many questions find nobody."""

    away: int = 0
    sessions: set[str] = field(default_factory=set)

    async def instance(self) -> str:
        self._answer()
        return self.process

    async def credentials(self, role_arn: str, service: str, session_name: str) -> RoleCredentials:
        self._answer()
        keys = await super().credentials(role_arn, service, session_name)
        self.sessions.add(keys.access_key_id)
        return keys

    def restart(self, away: int) -> None:
        self.process += "'"
        self.sessions.clear()
        self.away = away

    def _answer(self) -> None:
        if self.away:
            self.away -= 1
            raise ControlUnavailable("/health", "connection refused")


class RoleObjects:
    """S3 that asks the control plane whether the keys are known."""

    def __init__(self, objects: FakeObjects, control: Restarting, keys: RoleCredentials) -> None:
        self._objects = objects
        self._control = control
        self._key = keys.access_key_id

    def list(self, bucket: str, prefix: str) -> list[tuple[str, int]]:
        self._check()
        return self._objects.list(bucket, prefix)

    def download(self, bucket: str, key: str, destination: Path, cancelled: Event) -> None:
        self._check()
        self._objects.download(bucket, key, destination, cancelled)

    def upload(self, source: Path, bucket: str, key: str) -> None:
        self._check()
        self._objects.upload(source, bucket, key)

    def size(self, bucket: str, key: str) -> int | None:
        self._check()
        return self._objects.size(bucket, key)

    def _check(self) -> None:
        if self._control.away:
            self._control.away -= 1
            raise ObjectError("EndpointConnectionError", "connection refused", passing=True)
        if self._key not in self._control.sessions:
            raise ObjectError("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")


async def _run(state: Path, away: int, source: str) -> tuple[dict[str, Any], Restarting, FakeObjects]:
    """A job before the restart, so that keys are kept, and one that is downloading when it happens."""
    control, objects = Restarting(), FakeObjects()

    async with emulator(
        state, control=control, objects=objects, as_role=lambda keys: RoleObjects(objects, control, keys)
    ) as emulated:
        await emulated.train("before", "pass")
        assert (await emulated.ended("before"))["TrainingJobStatus"] == "Completed"
        objects.gate.clear()
        objects.waiting.clear()
        await emulated.train("during", source)
        await asyncio.to_thread(objects.waiting.wait, 10)
        control.restart(away)
        objects.gate.set()
        return await emulated.ended("during"), control, objects


class TestAJobDuringARestart:
    def test_goes_on_with_keys_of_the_new_process(self, tmp_path: Path) -> None:
        source = 'open("output/data/result", "w").write("r")'

        shown, control, objects = asyncio.run(_run(tmp_path, 0, source))

        assert shown["TrainingJobStatus"] == "Completed"
        assert len(control.issued) == 2
        assert objects.get("s3://out/jobs/during/output/output.tar.gz")

    def test_waits_while_nobody_answers(self, tmp_path: Path) -> None:
        source = 'open("output/data/result", "w").write("r")'

        shown, control, objects = asyncio.run(_run(tmp_path, 4, source))

        assert (shown["TrainingJobStatus"], control.away) == ("Completed", 0)
        assert objects.get("s3://out/jobs/during/output/output.tar.gz")
