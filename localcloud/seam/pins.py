"""What the seam relies on in ministack, checked before anything is hooked: an upgrade that moves it must fail, loudly."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

MINISTACK = "1.5.33"


class MovedError(Exception):
    """ministack is not what the seam was made for."""


@dataclass(frozen=True)
class Pin:
    """One thing in ministack.

    Attributes:
        parameters: a function's parameters, if its signature matters.
        contains: text its source must contain, if what it does inside matters.
    """

    module: str
    name: str
    parameters: tuple[str, ...] | None = None
    contains: tuple[str, ...] = ()

    def problem(self) -> str | None:
        """Why the seam does not fit, or None."""
        place = f"{self.module}.{self.name}"
        target: Any = importlib.import_module(self.module)
        for part in self.name.split("."):
            if not hasattr(target, part):
                return f"{place} is gone"
            target = getattr(target, part)
        if self.parameters is not None:
            found = tuple(inspect.signature(target).parameters)
            if found != self.parameters:
                return f"{place} takes {found}, not {self.parameters}"
        source = inspect.getsource(target) if self.contains else ""
        missing = [text for text in self.contains if text not in source]
        return f"{place} no longer contains {missing}" if missing else None


_SFN = "ministack.services.stepfunctions"
_APIGATEWAY = "ministack.services.apigateway_v1"
_IAM_ACTIONS = "ministack.core.iam_actions"
_RUNTIME = "ministack.core.lambda_runtime"
_LAMBDA = "ministack.services.lambda_svc"
_IAM = "ministack.core.iam_evaluator"
_S3 = "ministack.services.s3"
_DYNAMODB = "ministack.services.dynamodb"
_CLOUDWATCH = "ministack.services.cloudwatch"
_LOGS = "ministack.services.cloudwatch_logs"
_EVENTS = "ministack.services.eventbridge"
_CFN = "ministack.services.cloudformation"

PINS = (
    Pin("ministack.app", "app", ("scope", "receive", "send")),
    Pin("ministack.app", "_request_account_scope", ("access_key_id",)),
    Pin(_SFN, "_SERVICE_DISPATCH"),
    Pin(_SFN, "_executions"),
    Pin(_SFN, "_state_machines"),
    Pin(_SFN, "_ExecutionError.__init__", ("self", "error", "cause")),
    Pin(
        _SFN, "_invoke_resource", ("resource", "input_data"), ("_SERVICE_DISPATCH.items()", "clean.startswith(prefix)")
    ),
    Pin(_SFN, "_invoke_resource_with_timeout", ("resource", "input_data", "timeout"), ("copy_context().run",)),
    Pin(_SFN, "_start_execution", ("data",), ("args=(_run_execution, exec_arn)",)),
    Pin(_SFN, "_run_execution", ("exec_arn",), ("time.sleep(0.15)", 'execution["status"] == "RUNNING"')),
    Pin(_SFN, "_invoke_with_callback", ("resource", "input_data", "token", "state_def")),
    Pin(_SFN, "_stop_execution", ("data",)),
    Pin(_SFN, "_delete_state_machine", ("data",), ("_executions.pop(k, None)",)),
    Pin(_SFN, "_create_state_machine", ("data",)),
    Pin(_SFN, "_update_state_machine", ("data",)),
    Pin(_SFN, "_add_event", ("execution", "event_type", "details")),
    Pin(_SFN, "_error_matches", ("error_equals", "error")),
    Pin(_SFN, "_execute_task", contains=('_add_event(execution, "TaskSucceeded"',)),
    Pin(_SFN, "_invoke_with_callback", ("resource", "input_data", "token", "state_def"), ("_task_tokens[token]",)),
    Pin(_SFN, "_call_lambda", ("func_ref", "event")),
    Pin("ministack.core.iam_actions", "extract_resource_arn"),
    Pin("ministack.app", "_dispatch_service_request", contains=("import (", "extract_resource_arn,")),
    Pin("ministack.services.apigateway_v1", "_import_security_schemes", ("api_id", "spec")),
    Pin("ministack.services.apigateway_v1", "_put_gateway_response"),
    Pin(_SFN, "_fail_execution", ("execution", "error", "cause")),
    Pin(_APIGATEWAY, "_import_security_schemes", ("api_id", "spec")),
    Pin(_APIGATEWAY, "_put_gateway_response", ("api_id", "response_type", "data")),
    Pin(_IAM_ACTIONS, "extract_resource_arn"),
    Pin(_S3, "_persist_object", ("bucket", "key", "obj"), ('obj["body"] = None',)),
    Pin(_S3, "_object_versions"),
    Pin(_S3, "_version_body", contains=("_version_file_exists", "_read_body")),
    Pin(_RUNTIME, "Worker.__init__", ("self", "func_name", "config", "code_zip")),
    Pin(_RUNTIME, "Worker._spawn", ("self",)),
    Pin(_RUNTIME, "Worker._read_stderr", ("self",), ("self._stderr_queue.put",)),
    Pin(_RUNTIME, "Worker._drain_stderr_bounded", ("self", "first_line_wait", "idle_confirm", "hard_cap")),
    Pin(
        _RUNTIME, "Worker.invoke", contains=("self._spawn()", "_drain_stderr_bounded()", '"timeout_ms"', '"request_id"')
    ),
    Pin(_RUNTIME, "_worker_class_for", ("config",)),
    Pin(_RUNTIME, "_worker_key", ("func_name", "config", "qualifier")),
    Pin(_RUNTIME, "_signal", ("proc",), ("proc.poll()", "proc.terminate()")),
    Pin(_RUNTIME, "_collect", ("proc", "deadline"), ("proc.wait(timeout=",)),
    Pin(_RUNTIME, "acquire_worker", contains=("_worker_class_for(config)(func_name, config, code_zip)",)),
    Pin(_RUNTIME, "ensure_spawned", ("worker",)),
    Pin(_RUNTIME, "release_worker", ("worker",)),
    Pin(_RUNTIME, "kill_workers", ("workers",)),
    Pin(_RUNTIME, "execution_credentials", ("config",)),
    Pin(_RUNTIME, "_account_region_from_function_config", ("config",)),
    Pin(_RUNTIME, "_RESERVED_RUNTIME_ENV_VARS"),
    Pin(_RUNTIME, "_workers"),
    Pin(_RUNTIME, "_lock"),
    Pin(_CLOUDWATCH, "_stat_value", ("stats", "stat_name", "points")),
    Pin(_CLOUDWATCH, "_get_metric_data", contains=("_stat_value(_calc_stats(bucket_pts), stat_name, bucket_pts)",)),
    Pin(_CLOUDWATCH, "_percentile_samples", ("points",)),
    Pin(_DYNAMODB, "copy"),
    Pin(_DYNAMODB, "_update_item", contains=("copy.deepcopy(existing)",)),
    Pin(_IAM, "_first_match", ("ctx", "stmts", "effect"), ("stmt.resources, stmt.not_resources",)),
    Pin(_IAM, "evaluate", contains=('_first_match(ctx, stmts, "Deny")',)),
    Pin(_IAM, "_principal_keys", contains=("aws:principaltag/",)),
    Pin(_IAM, "_permissions_boundary", contains=("_resolve_managed_policy_document(arn, account_id)",)),
    Pin("ministack.services.iam", "_create_role", ("p",), ('"PermissionsBoundary"', '"Path"')),
    Pin("ministack.services.iam", "get_state", contains=('"roles": copy.deepcopy(_roles)',)),
    Pin(_IAM, "fnmatch_iam", ("value", "pattern")),
    Pin(_IAM, "_action_matches", contains=("fnmatch_iam(request_action, p)",)),
    Pin(_LAMBDA, "_poll_loop", (), ("_poll_dynamodb_streams()",)),
    Pin(_LAMBDA, "_poll_dynamodb_streams", (), ("esm_id not in _dynamodb_stream_positions",)),
    Pin(_LAMBDA, "_dynamodb_stream_positions"),
    Pin(_LAMBDA, "_dynamodb_stream_positions_lock"),
    Pin(_LAMBDA, "_iter_all_esms", ()),
    Pin(_LAMBDA, "acquire_worker"),
    Pin(_LAMBDA, "_functions"),
    Pin(_LAMBDA, "release_worker", ("worker",)),
    Pin(_LAMBDA, "_execute_function_warm", contains=("acquire_worker(func_name,", "release_worker(worker)")),
    Pin(_LAMBDA, "_ensure_reaper_thread", (), ("reap_idle_workers()",)),
    Pin(_LAMBDA, "_execute_function_warm", ("func", "event", "request_id"), ("errorMessage",)),
    Pin(_LAMBDA, "_get_func_record_for_ref"),
    Pin("ministack.services.sts", "register_session", ("access_key", "session")),
    Pin(_EVENTS, "_put_events", ("data", "allow_aws_source")),
    Pin("ministack.services.iam", "_roles"),
    Pin("ministack.core.router", "extract_access_key_id", ("headers", "query_params")),
    Pin("ministack.core.router", "extract_region", ("headers", "query_params")),
    Pin("ministack.core.responses", "set_request_account_id", ("access_key_id",)),
    Pin("ministack.core.responses", "set_request_region", ("region",)),
    Pin(_IAM, "is_root_access_key", ("access_key_id",)),
    Pin(_IAM, "enforce", ("access_key_id", "iam_action", "service", "region", "resource_arn", "service_context")),
    Pin(_IAM, "pin_signed_request", ("method", "raw_path", "query_params", "raw_headers", "handshake")),
    Pin(
        "ministack.core.sigv4",
        "header_signing_documents",
        contains=('payload_hash = headers.get("x-amz-content-sha256") or hashlib',),
    ),
    Pin(_IAM, "pin_request_caller", ("headers", "query_params")),
    Pin(_IAM, "pin_request_origin", ("source_ip", "secure_transport")),
    Pin(_IAM, "caller_arn", ()),
    Pin(_IAM, "parse_policy_document", ("doc",)),
    Pin(_IAM, "_resolve_condition_key", ("key", "ctx"), ('if k == "aws:principalarn"',)),
    Pin(_IAM, "_conditions_met", contains=("_resolve_condition_key(key, ctx)",)),
    Pin(_IAM_ACTIONS, "request_tag_context", ("service", "iam_action", "body", "params")),
    Pin(
        "ministack.app",
        "_dispatch_service_request",
        contains=("            request_tag_context,\n", "**request_tag_context("),
    ),
    Pin(_IAM, "evaluate_resource_policy", ("doc", "ctx", "service", "named_only", "direct_only")),
    Pin("ministack.core.responses", "AccountScopedDict", contains=("self._data",)),
    Pin(
        "ministack.core.responses",
        "AccountRegionScopedDict",
        contains=("self._data", "return (get_account_id(), get_region(), key)"),
    ),
    Pin("ministack.core.persistence", "_json_default", ("obj",)),
    Pin("ministack.core.persistence", "_json_object_hook", ("obj",)),
    Pin(_DYNAMODB, "_tables"),
    Pin(_DYNAMODB, "_set_item", ("table", "pk_val", "sk_val", "item")),
    Pin(_DYNAMODB, "_remove_item", ("table", "pk_val", "sk_val")),
    Pin(_DYNAMODB, "_items_replaced", ("table",)),
    Pin(_DYNAMODB, "_update_counts", ("table",)),
    Pin(_DYNAMODB, "_put_item", ("data",), ("_set_item(",)),
    Pin(_DYNAMODB, "_update_item", ("data",), ("_set_item(",)),
    Pin(_DYNAMODB, "_delete_item", ("data",), ("_remove_item(",)),
    Pin(_DYNAMODB, "_batch_write_item", ("data",), ("_set_item(", "_remove_item(")),
    Pin(_DYNAMODB, "_transact_write_items", ("data",), ("_set_item(", "_remove_item(")),
    Pin(_DYNAMODB, "_execute_transaction", ("data",), ("_items_replaced(",)),
    Pin(_DYNAMODB, "_partiql_insert", contains=("_set_item(",)),
    Pin(_DYNAMODB, "_partiql_update", contains=("_set_item(",)),
    Pin(_DYNAMODB, "_partiql_delete", contains=("_remove_item(",)),
    Pin(_DYNAMODB, "_ttl_reaper", (), ("_remove_item(",)),
    Pin(_LOGS, "_log_groups"),
    Pin(_LOGS, "_log_records"),
    Pin(
        _LAMBDA,
        "_emit_lambda_logs",
        contains=('logging_cfg.get("LogGroup") or f"/aws/lambda/{fn_name}"', "[{qualifier}]"),
    ),
    Pin(_LAMBDA, "_fetch_code_from_s3", ("bucket", "key", "version_id")),
    Pin(f"{_CFN}.provisioners", "_lambda_create", contains=("_lambda_svc._fetch_code_from_s3(",)),
    Pin(_EVENTS, "_events_log_list", (), ('_events_log.get("entries")',)),
    Pin(_EVENTS, "_archives"),
    Pin(_EVENTS, "_replays"),
    Pin(_EVENTS, "_create_archive", ("data",), ("_archives[name] = {",)),
    Pin(_EVENTS, "_update_archive", ("data",)),
    Pin(_EVENTS, "_delete_archive", ("data",), ("del _archives[name]",)),
    Pin(_EVENTS, "_describe_archive", ("data",)),
    Pin(_EVENTS, "_archive_event", ("event", "view"), ('archive.setdefault("Events", []).append(event)',)),
    Pin(
        _EVENTS,
        "_start_replay",
        ("data",),
        ('replayed["ReplayName"] = name', '"Destination": dest', "_dispatch_event(replayed)"),
    ),
    Pin(_EVENTS, "_dispatch_event", ("event", "view"), ("_invoke_target(target, event, rule, view)",)),
    Pin(_EVENTS, "_invoke_target", ("target", "event", "rule", "view")),
    Pin(_DYNAMODB, "_trim_stream_records", ("table_name", "account_id", "region"), ("_stream_trimmed[table_name]",)),
    Pin(_DYNAMODB, "_emit_stream_event", contains=("_stream_records[table_name].append(record)",)),
    Pin(_DYNAMODB, "_stream_records"),
    Pin(_DYNAMODB, "_stream_trimmed"),
    Pin(_DYNAMODB, "_stream_trimmed"),
    Pin(_LOGS, "_append_log_events", ("stream", "events")),
    Pin(_LOGS, "_create_log_stream", ("data",)),
    Pin(_LOGS, "_delete_log_stream", ("data",)),
    Pin(_LOGS, "_put_log_events", ("data",), ("_append_log_events(s, stored)",)),
    Pin("ministack.services.s3", "_buckets"),
    Pin("ministack.services.s3", "_put_object", contains=("_persist_object(bucket_name, key, obj)",)),
    Pin("ministack.services.kms", "get_state", ()),
    Pin("ministack.services.kms", "_restore_state", ("data",)),
    Pin("ministack.services.kms", "_keys"),
    Pin("ministack.services.kms", "_resolve_key", ("key_id_or_arn",)),
    Pin(f"{_CFN}.provisioners", "_kms_key_create", ("logical_id", "props", "stack_name")),
    Pin(f"{_CFN}.provisioners", "_kms_key_update", ("physical_id", "old_props", "new_props", "stack_name")),
    Pin("ministack.services.secretsmanager", "get_state", ()),
    Pin("ministack.services.secretsmanager", "_restore_state", ("data",)),
    Pin("ministack.services.secretsmanager", "_secrets"),
    Pin(f"{_CFN}.provisioners", "_sm_secret_create", ("logical_id", "props", "stack_name"), ('"DeletedDate": None',)),
    Pin(f"{_CFN}.provisioners", "_RESOURCE_HANDLERS"),
    Pin(f"{_CFN}.stacks", "_runs_on_worker_thread", ("resource_type",)),
)


def check() -> None:
    """Compare ministack with what the seam was made for.

    Raises:
        MovedError: with everything that does not fit.
    """
    problems = [problem for pin in PINS if (problem := pin.problem())]
    installed = version("ministack")
    if installed != MINISTACK:
        problems.insert(0, f"ministack {installed} is installed, not {MINISTACK}")
    if problems:
        raise MovedError("; ".join(problems))
