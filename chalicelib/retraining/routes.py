"""`/retraining-policies` and their runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chalicelib.api.rest import Reply, Request, Room
from chalicelib.identity.permissions import Permission
from chalicelib.retraining.request import RetrainingPolicyRequest
from chalicelib.retraining.views import policy_document, run_document

if TYPE_CHECKING:
    from chalice.app import CustomAuthorizer

    from chalicelib.bootstrap import Platform

_ALL = "/v1/retraining-policies"
_ONE = f"{_ALL}/{{policy_id}}"


def rooms(platform: Platform, authorizer: CustomAuthorizer) -> Room:
    room = Room(__name__)

    @room.view("POST", _ALL, authorizer=authorizer, needs=Permission.JOBS_SUBMIT)
    def create_retraining_policy(request: Request) -> Reply:
        request.only()
        policy = platform.retraining.create(request.caller, request.shape(RetrainingPolicyRequest))
        location = f"/api/v1/retraining-policies/{policy.policy_id}"
        return Reply(policy_document(policy, platform.objects), status=201, headers={"Location": location})

    @room.view("GET", _ALL, authorizer=authorizer, needs=Permission.JOBS_READ)
    def list_retraining_policies(request: Request) -> Reply:
        request.only("limit", "offset", "cursor")
        paging = request.paging()
        page = platform.retraining.search(request.caller, paging.limit, paging.offset, paging.cursor)
        found = [policy_document(policy, platform.objects) for policy in page.policies]
        return Reply(paging.document("retraining_policies", found, page.cursor))

    @room.view("GET", _ONE, authorizer=authorizer, needs=Permission.JOBS_READ)
    def get_retraining_policy(request: Request, policy_id: str) -> Reply:
        request.only()
        return Reply(policy_document(platform.retraining.get(request.caller, policy_id), platform.objects))

    @room.view("PUT", _ONE, authorizer=authorizer, needs=Permission.JOBS_SUBMIT)
    def set_retraining_policy(request: Request, policy_id: str) -> Reply:
        request.only()
        policy = platform.retraining.set(request.caller, policy_id, request.shape(RetrainingPolicyRequest))
        return Reply(policy_document(policy, platform.objects))

    @room.view("DELETE", _ONE, authorizer=authorizer, needs=Permission.JOBS_SUBMIT)
    def delete_retraining_policy(request: Request, policy_id: str) -> Reply:
        request.only()
        request.no_body()
        platform.retraining.remove(request.caller, policy_id)
        return Reply(status=204)

    @room.view("POST", f"{_ONE}/runs", authorizer=authorizer, needs=Permission.JOBS_SUBMIT)
    def start_retraining_run(request: Request, policy_id: str) -> Reply:
        request.only()
        request.no_body()
        run = platform.retraining.start(request.caller, policy_id)
        location = f"/api/v1/retraining-policies/{policy_id}/runs/{run.number}"
        return Reply(run_document(run, platform.objects), status=202, headers={"Location": location})

    @room.view("GET", f"{_ONE}/runs", authorizer=authorizer, needs=Permission.JOBS_READ)
    def list_retraining_runs(request: Request, policy_id: str) -> Reply:
        request.only("limit", "offset", "cursor")
        paging = request.paging()
        page = platform.retraining.runs(request.caller, policy_id, paging.limit, paging.offset, paging.cursor)
        found = [run_document(run, platform.objects) for run in page.runs]
        return Reply(paging.document("runs", found, page.cursor))

    @room.view("GET", f"{_ONE}/runs/{{run_id}}", authorizer=authorizer, needs=Permission.JOBS_READ)
    def get_retraining_run(request: Request, policy_id: str, run_id: str) -> Reply:
        request.only()
        return Reply(run_document(platform.retraining.run(request.caller, policy_id, run_id), platform.objects))

    return room
