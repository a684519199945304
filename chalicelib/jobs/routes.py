"""`/training/jobs`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from chalicelib.api.rest import Reply, Request, Room
from chalicelib.capacity import views as capacity_views
from chalicelib.errors import FieldProblem, InvalidRequest
from chalicelib.identity.permissions import Permission
from chalicelib.jobs import views
from chalicelib.jobs.job import JobFilter, JobStatus
from chalicelib.jobs.ledger import replay
from chalicelib.jobs.logs import MAX_ATTEMPTS, MAX_LINES, Position
from chalicelib.jobs.request import TrainingJobRequest
from chalicelib.jobs.stream import StreamPosition
from chalicelib.metrics.reading import Position as MetricPosition
from chalicelib.metrics.thinning import LEAST

if TYPE_CHECKING:
    from chalice.app import CustomAuthorizer

    from chalicelib.bootstrap import Platform

MAX_POINTS = 1000
MAX_CHART_POINTS = 10_000
_CHART_OF_ONE = FieldProblem(
    "max_points", "thins out the whole of one metric", "Give it with name, and without limit and cursor."
)
FOLLOW_SECONDS = 20.0  # API Gateway gives up after 29

STATUSES = tuple(status.value for status in JobStatus)
_NDJSON = "application/x-ndjson"


def rooms(platform: Platform, authorizer: CustomAuthorizer) -> Room:
    room = Room(__name__)

    @room.view("POST", "/v1/training/jobs", authorizer=authorizer, needs=Permission.JOBS_SUBMIT)
    def submit_job(request: Request) -> Reply:
        request.only("dry_run")
        wanted = request.shape(TrainingJobRequest)
        if request.flag("dry_run"):
            planned = platform.jobs.plan(request.caller, wanted)
            queue = capacity_views.prospect(platform.queue.prospect(request.caller, planned.job))
            return Reply({**views.plan(planned), "queue": queue})
        with platform.meter.work(request=True):
            job = platform.jobs.submit(request.caller, wanted, request.headers.get("idempotency-key"))
            platform.meter.for_job(job.tenant, job.job_id)
        return Reply(views.submitted(job), status=201, headers={"Location": f"/api/v1/training/jobs/{job.job_id}"})

    @room.view("GET", "/v1/training/jobs", authorizer=authorizer, needs=Permission.JOBS_READ)
    def list_jobs(request: Request) -> Reply:
        request.only("status", "user_id", "limit", "offset", "cursor")
        paging = request.paging()
        status = request.choice("status", STATUSES)
        wanted = JobFilter(JobStatus(status) if status else None, request.query.get("user_id"))
        page = platform.jobs.search(request.caller, wanted, paging.limit, paging.offset, paging.cursor)
        jobs = [views.summary(job) for job in page.jobs]
        return Reply(paging.document("jobs", jobs, page.cursor))

    @room.view("GET", "/v1/training/jobs/{job_id}/history", authorizer=authorizer, needs=Permission.JOBS_READ)
    def get_job_history(request: Request, job_id: str) -> Reply:
        request.only()
        # Read before the record: what is in the ledger by now is of a version that the record has reached.
        changes = platform.ledger.changes(request.caller.tenant, job_id)
        job = platform.jobs.get(request.caller, job_id)
        return Reply(views.history(job, changes, replay(changes, job)))

    @room.view("GET", "/v1/training/jobs/{job_id}", authorizer=authorizer, needs=Permission.JOBS_READ)
    def get_job(request: Request, job_id: str) -> Reply:
        request.only()
        job = platform.jobs.get(request.caller, job_id)
        report = platform.job_store.report(job.tenant, job.job_id)
        points = platform.metrics.read(job.tenant, job.job_id, name=None, limit=MAX_POINTS, after=None).points
        # Only what still runs up a cost is asked for.
        is_running_up = job.started_at is not None and not job.status.is_finished
        attempts = platform.job_store.attempts(job.tenant, job.job_id) if is_running_up else ()
        return Reply(views.full(job, report, points, attempts, platform.now()))

    @room.view("DELETE", "/v1/training/jobs/{job_id}", authorizer=authorizer, needs=Permission.JOBS_SUBMIT)
    def cancel_job(request: Request, job_id: str) -> Reply:
        request.only()
        with platform.meter.work(request=True):
            job = platform.jobs.cancel(request.caller, job_id)
            platform.meter.for_job(job.tenant, job.job_id)
        return Reply(status=204)

    @room.view("DELETE", "/v1/admin/training/jobs/{job_id}", authorizer=authorizer, needs=Permission.JOBS_DELETE)
    def delete_job(request: Request, job_id: str) -> Reply:
        request.only()
        platform.job_deletion.delete(request.caller, job_id)
        return Reply(status=204)

    @room.view("GET", "/v1/training/jobs/{job_id}/attempts", authorizer=authorizer, needs=Permission.JOBS_READ)
    def list_attempts(request: Request, job_id: str) -> Reply:
        request.only()
        job = platform.jobs.get(request.caller, job_id)
        attempts = platform.job_store.first_attempts(job.tenant, job.job_id, job.attempts)
        return Reply({"attempts": [views.attempt(job, each) for each in attempts]})

    @room.view("GET", "/v1/training/jobs/{job_id}/metrics", authorizer=authorizer, needs=Permission.JOBS_READ)
    def list_metrics(request: Request, job_id: str) -> Reply:
        request.only("name", "limit", "cursor", "max_points")
        job = platform.jobs.get(request.caller, job_id)
        name, cursor = request.query.get("name"), request.query.get("cursor")
        most = request.integer("max_points", 0, LEAST, MAX_CHART_POINTS)
        if most:
            if name is None or cursor is not None or "limit" in request.query:
                raise InvalidRequest.about(_CHART_OF_ONE)
            points = platform.metrics.chart(job.tenant, job.job_id, name, most)
            return Reply({"metrics": [views.metric(point) for point in points], "next_cursor": None})
        after = MetricPosition.from_text(cursor, name)
        limit = request.integer("limit", MAX_POINTS, 1, MAX_POINTS)
        page = platform.metrics.read(job.tenant, job.job_id, name=name, limit=limit, after=after)
        following = page.cursor.encode() if page.cursor else None
        return Reply({"metrics": [views.metric(point) for point in page.points], "next_cursor": following})

    @room.view("GET", "/v1/training/jobs/{job_id}/stream", authorizer=authorizer, needs=Permission.JOBS_READ)
    def stream_job(request: Request, job_id: str) -> Reply:
        request.only("follow", "cursor", "limit")
        job = platform.jobs.get(request.caller, job_id)
        position = StreamPosition.from_text(request.query.get("cursor"))
        limit = request.integer("limit", MAX_LINES, 1, MAX_LINES)
        seconds = FOLLOW_SECONDS if request.flag("follow") else 0
        page = platform.job_stream.follow(job, position, limit, seconds)
        documents = [document for record in page.records for document in views.record(record)]
        if page.is_end:
            documents.append({"type": "end"})
        cursor = page.position.to_cursor().encode()
        headers = {"X-Next-Cursor": cursor, "X-Stream-End": str(page.is_end).lower()}
        lines = (json.dumps(document, separators=(",", ":")) for document in documents)
        return Reply("".join(f"{line}\n" for line in lines), headers=headers, media_type=_NDJSON)

    @room.view("POST", "/v1/training/jobs/{job_id}/export", authorizer=authorizer, needs=Permission.JOBS_SUBMIT)
    def export_job(request: Request, job_id: str) -> Reply:
        request.only()
        request.no_body()
        export = platform.exports.request(request.caller, job_id)
        return Reply(views.export(export, platform.objects, platform.now()), status=202)

    @room.view("GET", "/v1/training/jobs/{job_id}/export", authorizer=authorizer, needs=Permission.JOBS_READ)
    def get_job_export(request: Request, job_id: str) -> Reply:
        request.only()
        return Reply(views.export(platform.exports.get(request.caller, job_id), platform.objects, platform.now()))

    @room.view("GET", "/v1/training/jobs/{job_id}/logs", authorizer=authorizer, needs=Permission.JOBS_READ)
    def read_logs(request: Request, job_id: str) -> Reply:
        request.only("follow", "cursor", "limit", "attempt")
        job = platform.jobs.get(request.caller, job_id)
        only = request.integer("attempt", 0, 1, MAX_ATTEMPTS) or None
        position = Position.from_text(request.query.get("cursor"), only)
        limit = request.integer("limit", MAX_LINES, 1, MAX_LINES)
        if request.flag("follow"):
            page = platform.logs.follow(job, position, limit, FOLLOW_SECONDS, only)
        else:
            page = platform.logs.read(job, position, limit, only)
        headers = {"X-Next-Cursor": page.position.to_cursor().encode(), "X-Stream-End": str(page.is_end).lower()}
        if _NDJSON in request.headers.get("accept", ""):
            lines = (json.dumps(views.log_entry(entry), separators=(",", ":")) for entry in page.entries)
            return Reply("".join(f"{line}\n" for line in lines), headers=headers, media_type=_NDJSON)
        return Reply(
            "".join(f"{entry.message}\n" for entry in page.entries),
            headers=headers,
            media_type="text/plain; charset=utf-8",
        )

    return room
