"""What a row of the log says. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any
from urllib.parse import unquote

from chalicelib.clock import to_text
from chalicelib.errors import ErrorCode
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Role

# Bytes, and how many: so that no row is longer than 20 KB, however much of it has to be escaped.
MAX_SUBJECT = 256
MAX_DETAIL = 500
MAX_DETAILS = 8

_ROLES = frozenset(role.value for role in Role)


class Action(Enum):
    """What is recorded. The value is the operation's name in the API, so that success and refusal are found together."""

    CREATE_UPLOAD = "create_upload"
    SUBMIT_JOB = "submit_job"
    CANCEL_JOB = "cancel_job"
    DELETE_JOB = "delete_job"
    EXPORT_JOB = "export_job"
    REGISTER_MODEL = "register_model"
    REGISTER_EXTERNAL_MODEL = "register_external_model"
    CHANGE_MODEL = "change_model"
    DELETE_MODEL = "delete_model"
    DEPLOY_MODEL = "deploy_model"
    DELETE_DEPLOYMENT = "delete_deployment"
    CREATE_API_KEY = "create_api_key"
    REVOKE_API_KEY = "revoke_api_key"
    SET_USER_QUOTA = "set_user_quota"
    SET_TENANT_QUOTA = "set_tenant_quota"
    SET_CAPACITY_POOL = "set_capacity_pool"
    REMOVE_CAPACITY_POOL = "remove_capacity_pool"
    IMPORT_CAPACITY = "import_capacity"
    RECONCILE = "reconcile"
    REDRIVE_EVENTS = "redrive_events"
    REPLAY_EVENTS = "replay_events"
    CREATE_WEBHOOK = "create_webhook"
    CHANGE_WEBHOOK = "change_webhook"
    DELETE_WEBHOOK = "delete_webhook"
    ROTATE_WEBHOOK_SECRET = "rotate_webhook_secret"  # noqa: S105  a word, no secret
    PING_WEBHOOK = "ping_webhook"
    REDELIVER = "redeliver"
    CHANGE_WEIGHTS = "change_weights"
    SET_DATA_CAPTURE = "set_data_capture"
    END_DATA_CAPTURE = "end_data_capture"
    SET_ENVIRONMENT = "set_environment"
    CLEAR_ENVIRONMENT = "clear_environment"
    APPROVE_MODEL = "approve_model"
    ROLL_BACK_DEPLOYMENT = "roll_back_deployment"
    START_ROLLOUT = "start_rollout"
    PAUSE_ROLLOUT = "pause_rollout"
    RESUME_ROLLOUT = "resume_rollout"
    PROMOTE_ROLLOUT = "promote_rollout"
    ABORT_ROLLOUT = "abort_rollout"
    SET_DEPLOYMENT_POLICY = "set_deployment_policy"
    REMOVE_DEPLOYMENT_POLICY = "remove_deployment_policy"
    START_TRANSFORM = "start_transform"
    CANCEL_TRANSFORM = "cancel_transform"
    CREATE_RETRAINING_POLICY = "create_retraining_policy"
    SET_RETRAINING_POLICY = "set_retraining_policy"
    DELETE_RETRAINING_POLICY = "delete_retraining_policy"
    START_RETRAINING_RUN = "start_retraining_run"
    CREATE_EXPERIMENT = "create_experiment"
    STOP_EXPERIMENT = "stop_experiment"


ACTIONS = {action.value: action for action in Action}

REFUSALS = frozenset(
    {
        ErrorCode.FORBIDDEN,
        ErrorCode.NOT_FOUND,
        ErrorCode.CONFLICT,
        ErrorCode.PRECONDITION_FAILED,
        ErrorCode.TOO_LARGE,
        ErrorCode.REFUSED_VALUE,
        ErrorCode.QUOTA_EXCEEDED,
    }
)
"""Errors that are recorded: the request was understood, and not granted."""


class Outcome(Enum):
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True)
class Entry:
    """One thing that somebody did, or was refused.

    Attributes:
        subject: what it was about, `<kind>/<id>`; None for a refusal before there was anything.
        code, detail: of a refusal.
        details: a few words more, by name.
    """

    entry_id: str
    at: datetime
    caller: Caller
    action: Action
    subject: str | None
    outcome: Outcome = Outcome.DONE
    code: ErrorCode | None = None
    detail: str = ""
    details: Mapping[str, str] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """What is sealed: text only, nothing without a value, nothing longer than it may be."""
        caller, origin = self.caller, self.caller.origin
        row: dict[str, Any] = {
            "id": self.entry_id,
            "at": to_text(self.at),
            "tenant": caller.tenant,
            "user": caller.user,
            "roles": sorted(caller.roles & _ROLES),
            "key_id": origin.key_id,
            "source_ip": origin.source_ip,
            "request_id": origin.request_id,
            "action": self.action.value,
            "subject": _cut(self.subject or "", MAX_SUBJECT),
            "outcome": self.outcome.value,
            "code": self.code.value if self.code else "",
            "detail": _cut(self.detail, MAX_DETAIL),
            "details": {
                name: _cut(value, MAX_SUBJECT) for name, value in list(self.details.items())[:MAX_DETAILS] if value
            },
        }
        return {name: value for name, value in row.items() if value}


def subject(kind: str, name: str) -> str:
    """How a thing is called in the log, for example `job/<job_id>`."""
    return f"{kind}/{name}"


def subject_of_path(values: Mapping[str, str]) -> str | None:
    """The thing that a path is about, by its first placeholder: `{job_id}` names a job."""
    for name, value in values.items():
        return subject(name.removesuffix("_id").replace("_", "-"), unquote(value))
    return None


def _cut(text: str, most: int) -> str:
    # Half a character, which a request may contain, can't be stored.
    encoded = text.encode("utf-8", "replace")
    return encoded.decode() if len(encoded) <= most else encoded[: most - 3].decode("utf-8", "ignore") + "…"
