"""The training operations of SageMaker, and the long poll for their end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from localcloud.compute import listing
from localcloud.compute.errors import ResourceInUse, ResourceNotFound, ValidationFailed
from localcloud.compute.host import Host
from localcloud.compute.jobs.capacity import Slots
from localcloud.compute.jobs.waiting import Finishes, answer_at_the_end
from localcloud.compute.operations import Authorization, Call, Document, Operation, PassRole
from localcloud.compute.store import AlreadyThere
from localcloud.compute.training.events import DETAIL_TYPE, SOURCE, detail_of
from localcloud.compute.training.record import KIND, STOPPING, TrainingRecord
from localcloud.compute.training.requests import check_create
from localcloud.compute.training.run import INTERNAL, SERVICE, TrainingRun


class TrainingPart:
    """See `operations.Part`. The store holds the truth; `_runs` holds the jobs that are under way.

    `followers` are told of every change of a job.
    """

    def __init__(self, host: Host, slots: Slots) -> None:
        self._host = host
        self._slots = slots
        self._runs: dict[str, tuple[TrainingRecord, TrainingRun, asyncio.Task[None]]] = {}
        self._finishes = Finishes()
        self.followers: list[Callable[[TrainingRecord], None]] = []

    def operations(self) -> Sequence[Operation]:
        return [
            Operation("sagemaker", "CreateTrainingJob", self.create, self._may_create),
            Operation("sagemaker", "DescribeTrainingJob", self.describe, self._may("DescribeTrainingJob")),
            Operation("sagemaker", "StopTrainingJob", self.stop_job, self._may("StopTrainingJob")),
            Operation("sagemaker", "ListTrainingJobs", self.list_jobs, _may_list),
        ]

    def routes(self) -> Sequence[BaseRoute]:
        return [Route("/_compute/wait/training-jobs/{name}", self.wait_for)]

    async def start(self) -> None:
        """What was running when the emulator died has failed; what had not begun begins again."""
        for key, document in list(self._host.store.scan(KIND)):
            record = TrainingRecord(document)
            if record.is_terminal:
                continue
            if "training_start" in record.document:
                record.fail(f"{INTERNAL} (the host was lost)", self._host.now())
                self._changed(record)
            else:
                self._begin(key, record)

    async def stop(self) -> None:
        await self._host.launcher.stop_all(grace=0.0)
        tasks = [task for _, _, task in self._runs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Operations

    async def create(self, call: Call) -> Document:
        request = call.params
        check_create(request)
        name, now = request["TrainingJobName"], self._host.now()
        arn = self._arn(name)
        if self._host.store.get(KIND, name) is not None:
            raise _taken(arn)
        self._check_limit(request["ResourceConfig"]["InstanceType"])
        record = TrainingRecord.new(request, arn, f"{name}/algo-1-{int(now.timestamp())}", now)
        try:
            with self._host.store.together():
                self._host.store.insert(KIND, name, record.document)
                self._publish(record)
        except AlreadyThere as error:
            raise _taken(arn) from error
        self._begin(name, record)
        return {"TrainingJobArn": arn}

    async def describe(self, call: Call) -> Document:
        return self._record(call.params["TrainingJobName"]).describe()

    async def stop_job(self, call: Call) -> Document:
        name = call.params["TrainingJobName"]
        record = self._record(name)
        if record.is_terminal:
            raise ValidationFailed(f"The request was rejected because the training job is in status {record.status}.")
        if not record.stop_requested:
            record.document["stop_requested"] = True
            record.enter(STOPPING, "Stopping", self._host.now())
            self._changed(record)
            self._runs[name][1].stop()
        return {}

    async def list_jobs(self, call: Call) -> Document:
        page, token = listing.page((document for _, document in self._host.store.scan(KIND)), call.params)
        return {"TrainingJobSummaries": [TrainingRecord(document).summary() for document in page], "NextToken": token}

    async def wait_for(self, request: Request) -> Response:
        return await answer_at_the_end(self._finishes, request, self._record)

    # Tags

    def tags_of(self, arn: str) -> dict[str, str] | None:
        try:
            record = self._record(arn.rpartition("/")[2])
        except ResourceNotFound:
            return None
        return dict(record.document["tags"]) if record.arn == arn else None

    def replace_tags(self, arn: str, tags: dict[str, str]) -> None:
        record = self._record(arn.rpartition("/")[2])
        record.document["tags"] = tags
        self._host.store.put(KIND, record.name, record.document)

    # Within

    def _begin(self, name: str, record: TrainingRecord) -> None:
        run = TrainingRun(self._host, record, self._slots, self._changed)
        task = asyncio.create_task(run.run(), name=f"training-job {name}")
        self._runs[name] = (record, run, task)
        task.add_done_callback(lambda _: self._runs.pop(name, None))

    def find(self, name: str) -> TrainingRecord | None:
        try:
            return self._record(name)
        except ResourceNotFound:
            return None

    def _record(self, name: str) -> TrainingRecord:
        if name in self._runs:
            return self._runs[name][0]
        document = self._host.store.get(KIND, name)
        if document is None:
            raise ResourceNotFound("Requested resource not found.")
        return TrainingRecord(document)

    def _changed(self, record: TrainingRecord) -> None:
        # A kill in between must not leave an end that nobody is told of.
        with self._host.store.together():
            self._host.store.put(KIND, record.name, record.document)
            self._publish(record)
        if record.is_terminal:
            self._finishes.announce(record.name)
        for follow in self.followers:
            follow(record)

    def _publish(self, record: TrainingRecord) -> None:
        self._host.events.record(SOURCE, DETAIL_TYPE, detail_of(record), [record.arn], self._host.now())

    def _check_limit(self, instance_type: str) -> None:
        used = sum(
            not record.is_terminal and record.instance_type == instance_type for record, _, _ in self._runs.values()
        )
        self._host.limits.of_training(instance_type).check(used, 1)

    def _arn(self, name: str) -> str:
        settings = self._host.settings
        return f"arn:aws:sagemaker:{settings.region}:{settings.account}:training-job/{name}"

    def _may(self, operation: str) -> Callable[[Document], Authorization]:
        return lambda params: Authorization(f"sagemaker:{operation}", (self._arn(params["TrainingJobName"]),))

    def _may_create(self, params: Document) -> Authorization:
        return Authorization(
            "sagemaker:CreateTrainingJob",
            (self._arn(params["TrainingJobName"]),),
            (PassRole(params["RoleArn"], SERVICE),),
        )


def _may_list(_: Document) -> Authorization:
    return Authorization("sagemaker:ListTrainingJobs")


def _taken(arn: str) -> ResourceInUse:
    return ResourceInUse(
        f"Training job names must be unique within an AWS account and region, and a training job with this name already "
        f"exists ({arn})"
    )
