"""What a well-formed policy must also obey, and what it means. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from chalicelib.auto_deployment.policy import Condition, Policy
from chalicelib.deployments.request import DeploymentConfig
from chalicelib.deployments.rules import check_config, host
from chalicelib.errors import FieldProblem, InvalidRequest, RefusedValue
from chalicelib.identity.caller import Caller
from chalicelib.jobs.request import TrainingJobRequest
from chalicelib.jobs.rules import confined
from chalicelib.retraining.policy import Concurrency, RetrainingPolicy, SchemaCheck, Source
from chalicelib.retraining.request import OnSuccess, RetrainingPolicyRequest, UploadSource
from chalicelib.retraining.run import Run
from chalicelib.rollouts import rules as rollout_rules

_CHECKPOINTS = "checkpoints/"


def policy_of(
    request: RetrainingPolicyRequest, caller: Caller, bucket: str, policy_id: str, now: datetime
) -> RetrainingPolicy:
    """
    Raises:
        InvalidRequest, RefusedValue: what is wrong, by field.
    """
    source = _source(request, caller, bucket)
    if request.job.config.environment.secret_variables:
        field = "job.config.environment.secret_variables"
        cure = "Leave them out: a policy is kept in the clear. Have the script fetch what it needs."
        raise InvalidRequest.about(FieldProblem(field, "are secrets", cure))
    if request.max_wait < request.debounce:
        problem = FieldProblem("max_wait", f"is {request.max_wait} s", f"Use at least debounce, {request.debounce} s.")
        raise InvalidRequest.about(problem)
    return RetrainingPolicy(
        tenant=caller.tenant,
        policy_id=policy_id,
        user=caller.user,
        name=request.name,
        enabled=request.enabled,
        source=source,
        job=request.job.model_dump(mode="json", exclude_defaults=True),
        debounce_seconds=request.debounce,
        longest_seconds=request.max_wait,
        min_objects=request.min_objects,
        min_bytes=request.min_bytes,
        concurrency=Concurrency(request.concurrency),
        schema_check=SchemaCheck(request.schema_check),
        budget_usd=Decimal(str(request.budget_usd)) if request.budget_usd is not None else None,
        deployment=_deployment(request.on_success, request, caller),
        created_at=now,
        updated_at=now,
    )


def _source(request: RetrainingPolicyRequest, caller: Caller, bucket: str) -> Source:
    field, asked = "source.uri_prefix", request.source
    prefix = confined(field, asked.uri_prefix, caller, bucket).key
    if not prefix.endswith("/"):
        raise InvalidRequest.about(FieldProblem(field, "is no folder", f"Use {asked.uri_prefix}/."))
    # What a job writes below the prefix of its own data would train again, and again.
    written = {
        "job.config.checkpoint_path": request.job.config.checkpoint_path,
        "the checkpoints of your jobs": f"s3://{bucket}/{caller.prefix}{_CHECKPOINTS}",
        "the checkpoints of the tenant's jobs": f"s3://{bucket}/tenants/{caller.tenant}/shared/{_CHECKPOINTS}",
    }
    for what, uri in written.items():
        if uri is not None and _overlap(f"s3://{bucket}/{prefix}", uri):
            said = f"overlaps with {what}, {uri}: what a run writes would start the next one"
            raise InvalidRequest.about(FieldProblem(field, said, "Use a folder that holds nothing but data."))
    if isinstance(asked, UploadSource):
        return Source(prefix, asked.pattern, asked.marker, is_watched=True)
    return Source(prefix)


def _overlap(one: str, other: str) -> bool:
    other = other.rstrip("/") + "/"
    return one.startswith(other) or other.startswith(one)


def _deployment(wanted: OnSuccess, request: RetrainingPolicyRequest, caller: Caller) -> Policy | None:
    if wanted.deploy_to is None:
        return None
    config: dict[str, Any] = {
        "environment": wanted.deploy_to,
        **wanted.model_dump(include={"replicas", "resource_limits", "scaling_policy"}, exclude_none=True),
    }
    checked = DeploymentConfig.model_validate(config)
    with below("on_success"):
        check_config(checked)
        host(checked)
    if wanted.rollout is not None:
        with below("on_success.rollout"):
            rollout_rules.steps(wanted.rollout)
            rollout_rules.gates(wanted.rollout, caller.tenant)
    return Policy(
        tenant=caller.tenant,
        name=request.name,
        enabled=True,
        conditions=tuple(Condition(**vars(each)) for each in wanted.conditions),
        config=config,
        rollout=wanted.rollout.model_dump(exclude_none=True) if wanted.rollout else None,
        user=caller.user,
    )


@contextmanager
def below(part: str) -> Iterator[None]:
    """Name the fields of a part as they are called in the whole, in what is raised about them."""
    try:
        yield
    except (InvalidRequest, RefusedValue) as error:
        problems = [replace(each, field=f"{part}.{each.field}") for each in error.problems]
        raise type(error).about(*problems) from None


def request_of(policy: RetrainingPolicy, dataset: str) -> Mapping[str, Any]:
    """The training job request of a run."""
    return {**policy.job, "config": {**policy.job["config"], "dataset_path": dataset}}


def template_of(policy: RetrainingPolicy, bucket: str) -> TrainingJobRequest:
    """The job's request as it will be, to be checked when the policy is set."""
    return TrainingJobRequest.model_validate(request_of(policy, f"s3://{bucket}/{policy.source.prefix}"))


def manifests(run: Run) -> str:
    """Where the lists of a policy's data lie, each under its checksum."""
    return f"tenants/{run.tenant}/retraining/{run.policy_id}/"


def month_of(moment: datetime) -> str:
    return f"{moment:%Y-%m}"
