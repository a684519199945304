"""`/experiments`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chalicelib.api.rest import Reply, Request, Room
from chalicelib.errors import FieldProblem, InvalidRequest
from chalicelib.experiments import views
from chalicelib.experiments.experiment import Experiment, Status
from chalicelib.experiments.request import (
    AssignmentsRequest,
    ExperimentRequest,
    ExposuresRequest,
    OutcomesRequest,
    StopRequest,
)
from chalicelib.identity.permissions import Permission

if TYPE_CHECKING:
    from chalice.app import CustomAuthorizer

    from chalicelib.bootstrap import Platform

STATUSES = tuple(status.value for status in Status)
_ONE = "/v1/experiments/{experiment_id}"


def rooms(platform: Platform, authorizer: CustomAuthorizer) -> Room:
    room = Room(__name__)

    def shown(experiment: Experiment) -> dict[str, Any]:
        return views.document(experiment, platform.experiments.traffic(experiment))

    @room.view("POST", "/v1/experiments", authorizer=authorizer, needs=Permission.EXPERIMENTS_MANAGE)
    def create_experiment(request: Request) -> Reply:
        request.only()
        wanted, key = request.shape(ExperimentRequest), request.headers.get("idempotency-key")
        experiment = platform.experiments.create(request.caller, wanted, key)
        location = f"/api/v1/experiments/{experiment.experiment_id}"
        return Reply(shown(experiment), status=201, headers={"Location": location})

    @room.view("GET", "/v1/experiments", authorizer=authorizer, needs=Permission.EXPERIMENTS_READ)
    def list_experiments(request: Request) -> Reply:
        request.only("status", "limit", "offset", "cursor")
        paging, text = request.paging(), request.choice("status", STATUSES)
        status = Status(text) if text else None
        page = platform.experiments.search(request.caller, status, paging.limit, paging.offset, paging.cursor)
        experiments = [views.document(experiment) for experiment in page.experiments]
        return Reply(paging.document("experiments", experiments, page.cursor))

    @room.view("GET", _ONE, authorizer=authorizer, needs=Permission.EXPERIMENTS_READ)
    def get_experiment(request: Request, experiment_id: str) -> Reply:
        request.only()
        return Reply(shown(platform.experiments.get(request.caller, experiment_id)))

    @room.view("POST", f"{_ONE}/stop", authorizer=authorizer, needs=Permission.EXPERIMENTS_MANAGE)
    def stop_experiment(request: Request, experiment_id: str) -> Reply:
        request.only()
        wanted = request.shape(StopRequest) if request.body else StopRequest()
        return Reply(shown(platform.experiments.stop(request.caller, experiment_id, wanted)))

    @room.view("GET", f"{_ONE}/results", authorizer=authorizer, needs=Permission.EXPERIMENTS_READ)
    def get_experiment_results(request: Request, experiment_id: str) -> Reply:
        request.only()
        return Reply(views.results(*platform.experiments.results(request.caller, experiment_id)))

    @room.view("POST", f"{_ONE}/assignments", authorizer=authorizer, needs=Permission.EXPERIMENTS_REPORT)
    def assign_variants(request: Request, experiment_id: str) -> Reply:
        request.only()
        keys = request.shape(AssignmentsRequest).keys
        return Reply({"variants": platform.experiments.assign(request.caller, experiment_id, keys)})

    @room.view("POST", f"{_ONE}/exposures", authorizer=authorizer, needs=Permission.EXPERIMENTS_REPORT)
    def report_exposures(request: Request, experiment_id: str) -> Reply:
        request.only()
        exposures = request.shape(ExposuresRequest).exposures
        return Reply(views.joined(platform.joining.expose(request.caller, experiment_id, exposures)))

    @room.view("POST", f"{_ONE}/outcomes", authorizer=authorizer, needs=Permission.EXPERIMENTS_REPORT)
    def report_outcomes(request: Request, experiment_id: str) -> Reply:
        request.only()
        wanted = request.shape(OutcomesRequest)
        if bool(wanted.counts) == bool(wanted.outcomes):
            cure = "Give counts (sums over many units), or outcomes (of single units), and not both."
            said = "are both given" if wanted.counts else "are both missing"
            raise InvalidRequest.about(FieldProblem("counts, outcomes", said, cure))
        if wanted.counts:
            key = request.headers.get("idempotency-key")
            found = platform.outcomes.count(request.caller, experiment_id, wanted.counts, key)
            return Reply(views.results(*found))
        joined, experiment, progress = platform.joining.report(request.caller, experiment_id, wanted.outcomes)
        return Reply({**views.results(experiment, progress), "outcomes": views.joined(joined)})

    return room
