"""The transform operations of SageMaker, and the long poll for their end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from localcloud.compute import listing
from localcloud.compute.errors import ResourceInUse, ResourceNotFound, ValidationFailed
from localcloud.compute.host import Host
from localcloud.compute.hosting.arns import key_of
from localcloud.compute.hosting.models import Models
from localcloud.compute.hosting.plan import VariantPlan
from localcloud.compute.jobs.capacity import Slots
from localcloud.compute.jobs.waiting import Finishes, answer_at_the_end
from localcloud.compute.operations import Authorization, Call, Document, Operation
from localcloud.compute.store import AlreadyThere
from localcloud.compute.transforming.record import KIND, STOPPED, STOPPING, TransformRecord
from localcloud.compute.transforming.requests import Transform
from localcloud.compute.transforming.run import TransformRun, directory_of

SOURCE = "aws.sagemaker"
DETAIL_TYPE = "SageMaker Transform Job State Change"


class TransformPart:
    """See `operations.Part`. The store holds the truth; `_runs` holds the jobs that are under way."""

    def __init__(self, host: Host, slots: Slots, models: Models) -> None:
        self._host = host
        self._slots = slots
        self._models = models
        self._runs: dict[str, tuple[TransformRecord, TransformRun, asyncio.Task[None]]] = {}
        self._finishes = Finishes()

    def operations(self) -> Sequence[Operation]:
        may_list = Authorization("sagemaker:ListTransformJobs")
        return [
            Operation("sagemaker", "CreateTransformJob", self.create, self._may("CreateTransformJob")),
            Operation("sagemaker", "DescribeTransformJob", self.describe, self._may("DescribeTransformJob")),
            Operation("sagemaker", "StopTransformJob", self.stop_job, self._may("StopTransformJob")),
            Operation("sagemaker", "ListTransformJobs", self.list_jobs, lambda _: may_list),
        ]

    def routes(self) -> Sequence[BaseRoute]:
        return [Route("/_compute/wait/transform-jobs/{name}", self.wait_for)]

    async def start(self) -> None:
        """What had not ended begins again: it stores nothing before its end."""
        for key, document in list(self._host.store.scan(KIND)):
            record = TransformRecord(document)
            if record.stop_requested:
                await self._host.blocking.run(directory_of(self._host, record.name).remove)
                record.enter(STOPPED, self._host.now())
                self._changed(record)
            elif not record.is_terminal:
                self._begin(key, record)

    async def stop(self) -> None:
        tasks = [task for _, _, task in self._runs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Operations

    async def create(self, call: Call) -> Document:
        request = call.params
        Transform.of(request)
        name, now = request["TransformJobName"], self._host.now()
        arn = self._arn(name)
        model = self._models.records.get(request["ModelName"])
        if self._host.store.get(KIND, key_of(name)) is not None:
            raise _taken(arn)
        plan = VariantPlan.of({"VariantName": "transform", "ModelName": request["ModelName"]}, model)
        record = TransformRecord.new(request, arn, plan, now)
        try:
            with self._host.store.together():
                self._host.store.insert(KIND, key_of(name), record.document)
                self._publish(record)
        except AlreadyThere as error:
            raise _taken(arn) from error
        self._begin(key_of(name), record)
        return {"TransformJobArn": arn}

    async def describe(self, call: Call) -> Document:
        return self._record(call.params["TransformJobName"]).describe()

    async def stop_job(self, call: Call) -> Document:
        name = call.params["TransformJobName"]
        record = self._record(name)
        if record.is_terminal:
            raise ValidationFailed(f"The request was rejected because the transform job is in status {record.status}.")
        if not record.stop_requested:
            record.enter(STOPPING, self._host.now())
            self._changed(record)
            self._runs[key_of(name)][1].stop()
        return {}

    async def list_jobs(self, call: Call) -> Document:
        page, token = listing.page((document for _, document in self._host.store.scan(KIND)), call.params)
        return {"TransformJobSummaries": [TransformRecord(document).summary() for document in page], "NextToken": token}

    async def wait_for(self, request: Request) -> Response:
        return await answer_at_the_end(self._finishes, request, self._record)

    # Tags

    def tags_of(self, arn: str) -> dict[str, str] | None:
        document = self._host.store.get(KIND, arn.rpartition("/")[2])
        return dict(document["tags"]) if document is not None and document["arn"] == arn else None

    def replace_tags(self, arn: str, tags: dict[str, str]) -> None:
        record = self._record(arn.rpartition("/")[2])
        record.document["tags"] = tags
        self._host.store.put(KIND, key_of(record.name), record.document)

    # Within

    def _begin(self, key: str, record: TransformRecord) -> None:
        run = TransformRun(self._host, record, self._slots, self._changed)
        task = asyncio.create_task(run.run(), name=f"transform-job {key}")
        self._runs[key] = (record, run, task)
        task.add_done_callback(lambda _: self._runs.pop(key, None))

    def _record(self, name: str) -> TransformRecord:
        key = key_of(name)
        if key in self._runs:
            return self._runs[key][0]
        document = self._host.store.get(KIND, key)
        if document is None:
            raise ResourceNotFound("Requested resource not found.")
        return TransformRecord(document)

    def _changed(self, record: TransformRecord) -> None:
        # A kill in between must not leave an end that nobody is told of.
        with self._host.store.together():
            self._host.store.put(KIND, key_of(record.name), record.document)
            self._publish(record)
        if record.is_terminal:
            self._finishes.announce(record.name)

    def _publish(self, record: TransformRecord) -> None:
        self._host.events.record(SOURCE, DETAIL_TYPE, record.detail(), [record.arn], self._host.now())

    def _arn(self, name: str) -> str:
        settings = self._host.settings
        return f"arn:aws:sagemaker:{settings.region}:{settings.account}:transform-job/{key_of(name)}"

    def _may(self, operation: str) -> Callable[[Document], Authorization]:
        return lambda params: Authorization(f"sagemaker:{operation}", (self._arn(params["TransformJobName"]),))


def _taken(arn: str) -> ResourceInUse:
    return ResourceInUse(
        f"Job name must be unique within an AWS account and region, and a job with this name already exists ({arn})"
    )
