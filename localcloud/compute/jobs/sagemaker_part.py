"""The operations that SageMaker has for each kind of job, the long poll for its end, and its tags."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from localcloud.compute import listing
from localcloud.compute.errors import ResourceInUse, ResourceNotFound, ValidationFailed
from localcloud.compute.host import Host
from localcloud.compute.jobs.sagemaker_record import JobRecord
from localcloud.compute.jobs.state_change import SOURCE, detail_of, detail_type
from localcloud.compute.jobs.waiting import Finishes, answer_at_the_end
from localcloud.compute.operations import Authorization, Call, Document, Operation
from localcloud.compute.store import AlreadyThere

Record = TypeVar("Record", bound=JobRecord)


class Run(Protocol):
    """Drives one record to its end."""

    async def run(self) -> None: ...

    def stop(self) -> None:
        """The user wants it stopped."""


class JobPart(ABC, Generic[Record]):
    """See `operations.Part`. The store holds the truth; `_runs` holds the jobs that are under way.

    `followers` are told of every change of a job.
    """

    def __init__(self, host: Host, record_type: type[Record]) -> None:
        self._host = host
        self._record_type = record_type
        self._kind = record_type.kind()
        self._name_member = f"{record_type.word}JobName"
        self._runs: dict[str, tuple[Record, Run, asyncio.Task[None]]] = {}
        self._finishes = Finishes()
        self.followers: list[Callable[[Record], None]] = []

    def operations(self) -> Sequence[Operation]:
        word = self._record_type.word
        may_list = Authorization(f"sagemaker:List{word}Jobs")
        return [
            Operation("sagemaker", f"Create{word}Job", self.create, self._may_create),
            Operation("sagemaker", f"Describe{word}Job", self.describe, self._may("Describe")),
            Operation("sagemaker", f"Stop{word}Job", self.stop_job, self._may("Stop")),
            Operation("sagemaker", f"List{word}Jobs", self.list_jobs, lambda _: may_list),
        ]

    def routes(self) -> Sequence[BaseRoute]:
        return [Route(f"/_compute/wait/{self._kind}s/{{name}}", self.wait_for)]

    async def start(self) -> None:
        """Takes up what had not ended."""
        for _, document in list(self._host.store.scan(self._kind)):
            record = self._record_type(document)
            if not record.is_terminal:
                await self._take_up(record)

    async def stop(self) -> None:
        tasks = [task for _, _, task in self._runs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # What each kind of job does its own way

    @abstractmethod
    def _new(self, request: Document, arn: str) -> Record:
        """
        Raises:
            ApiError: such a job can't be.
        """

    @abstractmethod
    def _run_of(self, record: Record) -> Run: ...

    @abstractmethod
    async def _take_up(self, record: Record) -> None:
        """What becomes of a job that had not ended when the emulator did."""

    @abstractmethod
    def _taken(self, arn: str) -> ResourceInUse:
        """What SageMaker says of a name that another job has."""

    # Operations

    async def create(self, call: Call) -> Document:
        name = call.params[self._name_member]
        arn, key = self._arn(name), self._record_type.key(name)
        record = self._new(call.params, arn)
        try:
            with self._host.store.together():
                self._host.store.insert(self._kind, key, record.document)
                self._publish(record)
        except AlreadyThere as error:
            raise self._taken(arn) from error
        self._begin(record)
        return {f"{record.word}JobArn": arn}

    async def describe(self, call: Call) -> Document:
        return self._record(call.params[self._name_member]).describe()

    async def stop_job(self, call: Call) -> Document:
        record = self._record(call.params[self._name_member])
        if record.is_terminal:
            raise ValidationFailed(
                f"The request was rejected because the {record.word.lower()} job is in status {record.status}."
            )
        if not record.stop_requested:
            record.stop(self._host.now())
            self._changed(record)
            self._runs[record.key(record.name)][1].stop()
        return {}

    async def list_jobs(self, call: Call) -> Document:
        page, token = listing.page((document for _, document in self._host.store.scan(self._kind)), call.params)
        summaries = [self._record_type(document).summary() for document in page]
        return {f"{self._record_type.word}JobSummaries": summaries, "NextToken": token}

    async def wait_for(self, request: Request) -> Response:
        return await answer_at_the_end(self._finishes, request, self._record)

    # Tags

    def tags_of(self, arn: str) -> dict[str, str] | None:
        record = self.find(arn.rpartition("/")[2])
        return dict(record.document["tags"]) if record is not None and record.arn == arn else None

    def replace_tags(self, arn: str, tags: dict[str, str]) -> None:
        record = self._record(arn.rpartition("/")[2])
        record.document["tags"] = tags
        self._keep(record)

    # Within

    def find(self, name: str) -> Record | None:
        key = self._record_type.key(name)
        if key in self._runs:
            return self._runs[key][0]
        document = self._host.store.get(self._kind, key)
        return None if document is None else self._record_type(document)

    def _record(self, name: str) -> Record:
        record = self.find(name)
        if record is None:
            raise ResourceNotFound("Requested resource not found.")
        return record

    def _check_name(self, name: str) -> None:
        """
        Raises:
            ResourceInUse: another job has it.
        """
        if self._host.store.get(self._kind, self._record_type.key(name)) is not None:
            raise self._taken(self._arn(name))

    def _begin(self, record: Record) -> None:
        key = record.key(record.name)
        run = self._run_of(record)
        task = asyncio.create_task(run.run(), name=f"{self._kind} {key}")
        self._runs[key] = (record, run, task)
        task.add_done_callback(lambda _: self._runs.pop(key, None))

    def _changed(self, record: Record) -> None:
        # A kill in between must not leave an end that nobody is told of.
        with self._host.store.together():
            self._keep(record)
            self._publish(record)
        if record.is_terminal:
            self._finishes.announce(record.name)
        for follow in self.followers:
            follow(record)

    def _keep(self, record: Record) -> None:
        self._host.store.put(self._kind, record.key(record.name), record.document)

    def _publish(self, record: Record) -> None:
        self._host.events.record(SOURCE, detail_type(record), detail_of(record), [record.arn], self._host.now())

    def _arn(self, name: str) -> str:
        settings = self._host.settings
        return f"arn:aws:sagemaker:{settings.region}:{settings.account}:{self._kind}/{self._record_type.key(name)}"

    def _may(self, verb: str) -> Callable[[Document], Authorization]:
        action = f"sagemaker:{verb}{self._record_type.word}Job"
        return lambda params: Authorization(action, (self._arn(params[self._name_member]),))

    def _may_create(self, params: Document) -> Authorization:
        return self._may("Create")(params)
