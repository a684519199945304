"""The job operations of Batch, and the long poll for a job's end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from localcloud.compute.batch.catalog import Catalog
from localcloud.compute.batch.dispatcher import Dispatcher
from localcloud.compute.batch.names import Arns, ClientFault
from localcloud.compute.batch.record import RUNNING, WAITING, BatchRecord
from localcloud.compute.batch.requests import check_scheduling
from localcloud.compute.batch.resources import anywhere
from localcloud.compute.batch.snapshots import Scheduler, Snapshots
from localcloud.compute.batch.submission import check_submission, new_record
from localcloud.compute.batch.tagging import BatchTags
from localcloud.compute.host import Host
from localcloud.compute.jobs.capacity import Slots
from localcloud.compute.jobs.waiting import seconds_of
from localcloud.compute.operations import Authorization, Call, Document, Operation
from localcloud.compute.paging import page_of
from localcloud.compute.queued.part import TRAINING, ServiceJobsPart
from localcloud.compute.queued.rules import NUM_INSTANCES
from localcloud.compute.training.part import TrainingPart

MAX_DESCRIBED = 100
PAGE = 1000


class BatchPart:
    """See `operations.Part`."""

    def __init__(self, host: Host, slots: Slots, training: TrainingPart) -> None:
        self._host = host
        self._arns = Arns.of(host.settings)
        self._catalog = Catalog(host, self._on_catalog_change)
        self._dispatcher = Dispatcher(host, self._catalog, slots)
        self._service_jobs = ServiceJobsPart(host, self._catalog, training)
        self._snapshots = Snapshots(host, self._catalog, self._scheduler)
        self._tags = BatchTags(host.store, self._arns, self._dispatcher)

    def operations(self) -> Sequence[Operation]:
        return [
            *self._catalog.operations(),
            *self._tags.operations(),
            *self._snapshots.operations(),
            *self._service_jobs.operations(),
            Operation("batch", "SubmitJob", self.submit, self._may_submit),
            Operation("batch", "DescribeJobs", self.describe, anywhere("DescribeJobs")),
            Operation("batch", "ListJobs", self.list_jobs, anywhere("ListJobs")),
            Operation("batch", "TerminateJob", self.terminate, self._on_job("TerminateJob")),
            Operation("batch", "CancelJob", self.cancel, self._on_job("CancelJob")),
        ]

    def routes(self) -> Sequence[BaseRoute]:
        return [Route("/_compute/wait/batch-jobs/{job_id}", self.wait_for)]

    async def start(self) -> None:
        self._dispatcher.recover()
        await self._service_jobs.start()

    async def stop(self) -> None:
        await self._service_jobs.stop()
        await self._dispatcher.stop()

    async def submit(self, call: Call) -> Document:
        request = call.params
        check_submission(request)
        queue_name, queue = self._catalog.queue(request["jobQueue"])
        if queue["state"] != "ENABLED":
            raise ClientFault(f"Job queue {queue_name} is disabled: it takes no jobs")
        check_scheduling(request, is_fair_share="schedulingPolicyArn" in queue)
        definition = self._catalog.definition(request["jobDefinition"])
        for dependency in request.get("dependsOn", []):
            if "jobId" not in dependency or "type" in dependency:
                raise ClientFault("dependsOn entries must have a jobId and no type in this emulator")
            self._found(dependency["jobId"])
        job_id = self._host.new_id()
        arn = self._arns.make("job", job_id)
        record = new_record(request, definition, queue["jobQueueArn"], arn, job_id, self._host.now())
        self._dispatcher.accept(record)
        return {"jobArn": arn, "jobName": request["jobName"], "jobId": job_id}

    async def describe(self, call: Call) -> Document:
        if len(call.params["jobs"]) > MAX_DESCRIBED:
            raise ClientFault(f"jobs must have at most {MAX_DESCRIBED} items")
        names = [self._arns.name("job", name) for name in call.params["jobs"]]
        found = [self._dispatcher.find(name) for name in dict.fromkeys(names)]
        return {"jobs": [record.describe() for record in found if record is not None]}

    async def list_jobs(self, call: Call) -> Document:
        params = call.params
        if "jobQueue" not in params:
            raise ClientFault("jobQueue must be given: array and multi-node jobs do not exist here")
        queue, _ = self._catalog.queue(params["jobQueue"])
        held = [record for record in self._dispatcher.all_records() if record.queue == queue]
        if params.get("filters"):
            for wanted in params["filters"]:
                held = [record for record in held if _matches(record, wanted)]
        else:
            status = params.get("jobStatus", RUNNING)
            held = [record for record in held if record.status == status]
        page, token = page_of(held, params.get("nextToken"), params.get("maxResults", PAGE))
        return {"jobSummaryList": [record.summary() for record in page], "nextToken": token}

    async def terminate(self, call: Call) -> Document:
        record = self._found(call.params["jobId"])
        if not record.is_terminal:
            record.detail["isTerminated"] = True
            self._dispatcher.end(record, call.params["reason"])
        return {}

    async def cancel(self, call: Call) -> Document:
        """Only jobs that have not started yet; for the others the call succeeds and does nothing, as on AWS."""
        record = self._found(call.params["jobId"])
        if record.status in WAITING:
            record.detail["isCancelled"] = True
            self._dispatcher.end(record, call.params["reason"])
        return {}

    async def wait_for(self, request: Request) -> Response:
        """Answers the JobDetail once the job has ended, or when the time is over."""
        try:
            seconds = seconds_of(request.query_params.get("timeout"))
            record = self._found(request.path_params["job_id"])
        except ClientFault as error:
            return JSONResponse({"code": error.code, "message": error.message}, 404)
        except ValueError as error:
            return JSONResponse({"code": "ClientException", "message": str(error)}, 400)
        if not record.is_terminal:
            await self._dispatcher.finishes.wait(record.job_id, seconds)
        return JSONResponse(self._found(record.job_id).describe())

    def _on_catalog_change(self) -> None:
        self._dispatcher.reschedule()
        self._service_jobs.reschedule()

    def _scheduler(self, queue: Document) -> tuple[Scheduler, str]:
        if queue.get("jobQueueType") == TRAINING:
            return self._service_jobs, NUM_INSTANCES
        return self._dispatcher, "VCPU"

    def _found(self, job_id: str) -> BatchRecord:
        record = self._dispatcher.find(self._arns.name("job", job_id))
        if record is None:
            raise ClientFault(f"Job {job_id} does not exist")
        return record

    def _may_submit(self, params: Document) -> Authorization:
        queue = self._arns.make("job-queue", self._arns.name("job-queue", params["jobQueue"]))
        definition = self._arns.make("job-definition", self._arns.name("job-definition", params["jobDefinition"]))
        return Authorization("batch:SubmitJob", (definition, queue))

    def _on_job(self, action: str) -> Callable[[Document], Authorization]:
        return lambda params: Authorization(
            f"batch:{action}", (self._arns.make("job", self._arns.name("job", params["jobId"])),)
        )


def _matches(record: BatchRecord, wanted: Document) -> bool:
    """A ListJobs filter; only names are supported, with an asterisk at the end for prefixes."""
    if wanted.get("name") != "JOB_NAME":
        raise ClientFault("filters: only JOB_NAME is supported by this emulator")
    name = str(record.detail["jobName"]).lower()
    patterns = [value.lower() for value in wanted.get("values", [])]
    return any(name.startswith(p[:-1]) if p.endswith("*") else name == p for p in patterns)
