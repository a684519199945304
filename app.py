"""The application: which routes exist, and which functions the machines and events call. What they do is in the rooms."""

from __future__ import annotations

from typing import Any

from chalice import AuthResponse

from chalicelib.api import public
from chalicelib.api.authorization import Question
from chalicelib.api.rest import Application
from chalicelib.api_keys import routes as key_routes
from chalicelib.audit import routes as audit_routes
from chalicelib.audit import tasks as audit_tasks
from chalicelib.auto_deployment import routes as policy_routes
from chalicelib.auto_deployment import tasks as policy_tasks
from chalicelib.bootstrap import Platform
from chalicelib.capacity import routes as capacity_routes
from chalicelib.capacity import tasks as capacity_tasks
from chalicelib.captures import routes as capture_routes
from chalicelib.costs import routes as cost_routes
from chalicelib.deployments import routes as deployment_routes
from chalicelib.deployments import tasks as deployment_tasks
from chalicelib.environments import routes as environment_routes
from chalicelib.events import routes as event_routes
from chalicelib.events import tasks as event_tasks
from chalicelib.experiments import routes as experiment_routes
from chalicelib.experiments import tasks as experiment_tasks
from chalicelib.identity import authorizer
from chalicelib.jobs import routes as job_routes
from chalicelib.jobs import tasks as job_tasks
from chalicelib.lineage import routes as lineage_routes
from chalicelib.models import routes as model_routes
from chalicelib.models import tasks as model_tasks
from chalicelib.quotas import routes as quota_routes
from chalicelib.quotas import tasks as quota_tasks
from chalicelib.reconciler import routes as reconciler_routes
from chalicelib.reconciler import tasks as reconciler_tasks
from chalicelib.retraining import routes as retraining_routes
from chalicelib.retraining import tasks as retraining_tasks
from chalicelib.rollouts import routes as rollout_routes
from chalicelib.rollouts import tasks as rollout_tasks
from chalicelib.stats import routes as stats_routes
from chalicelib.transforms import routes as transform_routes
from chalicelib.transforms import tasks as transform_tasks
from chalicelib.uploads import routes as upload_routes
from chalicelib.webhooks import routes as webhook_routes
from chalicelib.webhooks import tasks as webhook_tasks

platform = Platform()
app = Application(app_name="aimatrix", on_refusal=lambda *refusal: platform.audit.refused(*refusal))


@app.authorizer(ttl_seconds=authorizer.CACHE_SECONDS)
def authorize(question: Question) -> AuthResponse:
    return authorizer.answer(question, lambda: platform.token_verifier, lambda: platform.key_authentication)


app.register_blueprint(public.rooms())
for routes in (
    upload_routes,
    job_routes,
    model_routes,
    deployment_routes,
    rollout_routes,
    transform_routes,
    policy_routes,
    retraining_routes,
    lineage_routes,
    environment_routes,
    capture_routes,
    experiment_routes,
    key_routes,
    quota_routes,
    capacity_routes,
    audit_routes,
    cost_routes,
    stats_routes,
    reconciler_routes,
    event_routes,
    webhook_routes,
):
    app.register_blueprint(routes.rooms(platform, authorize))


@app.lambda_function(name="plan_job")
@platform.metered
def plan_job(event: dict[str, Any], _context: object) -> Any:
    return job_tasks.plan_job(platform, event)


@app.lambda_function(name="await_capacity")
@platform.metered
def await_capacity(event: dict[str, Any], _context: object) -> Any:
    return capacity_tasks.await_capacity(platform, event)


@app.lambda_function(name="enqueue_attempt")
@platform.metered
def enqueue_attempt(event: dict[str, Any], _context: object) -> Any:
    return job_tasks.enqueue_attempt(platform, event)


@app.lambda_function(name="admit_jobs")
def admit_jobs(event: dict[str, Any], _context: object) -> Any:
    return capacity_tasks.admit_jobs(platform, event)


@app.lambda_function(name="assess_attempt")
@platform.metered
def assess_attempt(event: dict[str, Any], _context: object) -> Any:
    return job_tasks.assess_attempt(platform, event)


@app.lambda_function(name="register_model")
@platform.metered
def register_model(event: dict[str, Any], _context: object) -> Any:
    return model_tasks.register_model(platform, event)


@app.lambda_function(name="finish_job")
@platform.metered
def finish_job(event: dict[str, Any], _context: object) -> Any:
    return job_tasks.finish_job(platform, event)


@app.lambda_function(name="check_quotas")
def check_quotas(event: dict[str, Any], _context: object) -> Any:
    return quota_tasks.check_quotas(platform, event)


@app.lambda_function(name="reconcile")
def reconcile(event: dict[str, Any], _context: object) -> Any:
    return reconciler_tasks.reconcile(platform, event)


@app.lambda_function(name="on_execution_event")
@platform.metered
def on_execution_event(event: dict[str, Any], _context: object) -> Any:
    return reconciler_tasks.on_execution_event(platform, event)


@app.lambda_function(name="export_job")
def export_job(event: dict[str, Any], _context: object) -> Any:
    return job_tasks.export_job(platform, event)


@app.lambda_function(name="on_training_event")
@platform.metered
def on_training_event(event: dict[str, Any], _context: object) -> Any:
    return job_tasks.on_training_event(platform, event)


@app.lambda_function(name="ingest_logs")
@platform.metered
def ingest_logs(event: dict[str, Any], _context: object) -> Any:
    return job_tasks.ingest_logs(platform, event)


@app.lambda_function(name="publish_events")
def publish_events(event: dict[str, Any], _context: object) -> Any:
    return event_tasks.publish_events(platform, event)


@app.lambda_function(name="note_dead_letters")
def note_dead_letters(event: dict[str, Any], _context: object) -> Any:
    return event_tasks.note_dead_letters(platform, event)


@app.lambda_function(name="deliver_webhooks")
def deliver_webhooks(event: dict[str, Any], _context: object) -> Any:
    return webhook_tasks.deliver_webhooks(platform, event)


@app.lambda_function(name="record_history")
def record_history(event: dict[str, Any], _context: object) -> Any:
    return job_tasks.record_history(platform, event)


@app.lambda_function(name="plan_deployment")
def plan_deployment(event: dict[str, Any], _context: object) -> Any:
    return deployment_tasks.plan_deployment(platform, event)


@app.lambda_function(name="await_endpoint")
def await_endpoint(event: dict[str, Any], _context: object) -> Any:
    return deployment_tasks.await_endpoint(platform, event)


@app.lambda_function(name="on_endpoint_event")
def on_endpoint_event(event: dict[str, Any], _context: object) -> Any:
    return deployment_tasks.on_endpoint_event(platform, event)


@app.lambda_function(name="smoke_test")
def smoke_test(event: dict[str, Any], _context: object) -> Any:
    return deployment_tasks.smoke_test(platform, event)


@app.lambda_function(name="finish_deployment")
def finish_deployment(event: dict[str, Any], _context: object) -> Any:
    return deployment_tasks.finish_deployment(platform, event)


@app.lambda_function(name="advance_rollout")
def advance_rollout(event: dict[str, Any], _context: object) -> Any:
    return rollout_tasks.advance_rollout(platform, event)


@app.lambda_function(name="deploy_ready_models")
def deploy_ready_models(event: dict[str, Any], _context: object) -> Any:
    return policy_tasks.deploy_ready_models(platform, event)


@app.lambda_function(name="retrain")
@platform.metered
def retrain(event: dict[str, Any], context: Any) -> Any:
    return retraining_tasks.retrain(platform, event, context.get_remaining_time_in_millis)


@app.lambda_function(name="steer_traffic")
def steer_traffic(event: dict[str, Any], _context: object) -> Any:
    return experiment_tasks.steer_traffic(platform, event)


@app.lambda_function(name="plan_transform")
def plan_transform(event: dict[str, Any], _context: object) -> Any:
    return transform_tasks.plan_transform(platform, event)


@app.lambda_function(name="finish_transform")
def finish_transform(event: dict[str, Any], _context: object) -> Any:
    return transform_tasks.finish_transform(platform, event)


@app.lambda_function(name="chain_audit")
def chain_audit(event: dict[str, Any], _context: object) -> Any:
    return audit_tasks.chain_audit(platform, event)
