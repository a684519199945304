"""Our own rules about the finished template, each a function that yields what breaks it.

`python -m infra.check` runs all of them, and so do the tests, each also against a template made to break it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from infra import names, policies, tables
from infra.keys import NOTIFICATIONS_KEY
from infra.names import Json

Rule = Callable[[Json], Iterator[str]]

# Principals that call a function without waiting for its answer.
_ASYNCHRONOUS_CALLERS = {"events.amazonaws.com", "logs.amazonaws.com", "s3.amazonaws.com", "sns.amazonaws.com"}
_PUBLIC_PATHS = {"/v1/health", "/v1/info"}
_LOCAL_WORDS = re.compile(r"laptop|local|emulat|ministack", re.IGNORECASE)


def of_type(template: Json, *kinds: str) -> Iterator[tuple[str, Json]]:
    """Logical id and properties of every resource of these types."""
    for logical_id, resource in template["Resources"].items():
        if resource["Type"] in kinds:
            yield logical_id, resource.get("Properties", {})


def functions_have_their_own_role(template: Json) -> Iterator[str]:
    owners: Counter[str] = Counter()
    for logical_id, properties in of_type(template, "AWS::Serverless::Function"):
        role = json.dumps(properties.get("Role"))
        owners[role] += 1
        if owners[role] > 1:
            yield f"{logical_id} shares its role with another function"


def functions_log_to_a_group_of_their_own(template: Json) -> Iterator[str]:
    groups = dict(of_type(template, "AWS::Logs::LogGroup"))
    for logical_id, properties in of_type(template, "AWS::Serverless::Function"):
        group = properties.get("LoggingConfig", {}).get("LogGroup", {}).get("Ref")
        if group not in groups:
            yield f"{logical_id} has no log group in the template"


def logs_are_kept_for_a_limited_time(template: Json) -> Iterator[str]:
    for logical_id, properties in of_type(template, "AWS::Logs::LogGroup"):
        if "RetentionInDays" not in properties:
            yield f"{logical_id} keeps its lines for ever"


def asynchronous_targets_have_dead_letters(template: Json) -> Iterator[str]:
    caught = {
        _referred(properties["FunctionName"])
        for _, properties in of_type(template, "AWS::Lambda::EventInvokeConfig")
        if properties.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
    }
    for logical_id, properties in of_type(template, "AWS::Lambda::Permission"):
        function = _referred(properties["FunctionName"])
        if properties["Principal"] in _ASYNCHRONOUS_CALLERS and function not in caught:
            yield f"{function} is invoked asynchronously (by {logical_id}) and has no destination for failures"
    for logical_id, properties in of_type(template, "AWS::Events::Rule"):
        for target in properties["Targets"]:
            if not target.get("DeadLetterConfig", {}).get("Arn"):
                yield f"{logical_id} has a target without a dead-letter queue"
    queues = dict(of_type(template, "AWS::SQS::Queue"))
    for logical_id, properties in of_type(template, "AWS::Lambda::EventSourceMapping"):
        source = _referred(properties["EventSourceArn"])
        if source in queues:
            # A queue has no such destination: it moves a message itself, unless it is where failures end already.
            if "RedrivePolicy" not in queues[source] and not source.endswith("DeadLetters"):
                yield f"{logical_id} reads a queue without a dead-letter queue"
        elif not properties.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination"):
            yield f"{logical_id} has no destination for failures"


def events_are_confined_to_our_names(template: Json) -> Iterator[str]:
    for logical_id, properties in of_type(template, "AWS::Events::Rule"):
        if "ScheduleExpression" in properties:
            continue
        pattern = properties["EventPattern"]
        machines = [names.machine_arn(machine) for machine in names.MACHINES]
        is_ours = any(
            wanted == [{"prefix": names.NAME_PREFIX}]
            or wanted == {"name": [names.ref("ArtifactsBucket")]}
            or (wanted and all(each in machines for each in wanted))
            for wanted in pattern.get("detail", {}).values()
        )
        if any(source.startswith("aws.") for source in pattern["source"]) and not is_ours:
            yield f"{logical_id} wakes a function for every event of the account"


def tables_are_safe(template: Json) -> Iterator[str]:
    wanted: dict[str, Any] = {
        "BillingMode": "PAY_PER_REQUEST",
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        "SSESpecification": {"SSEEnabled": True},
        "StreamSpecification": {"StreamViewType": "NEW_AND_OLD_IMAGES"},
        "TimeToLiveSpecification": {"AttributeName": tables.TIME_TO_LIVE, "Enabled": True},
    }
    for logical_id, properties in of_type(template, "AWS::DynamoDB::Table"):
        for name, value in wanted.items():
            if properties.get(name) != value:
                yield f"{logical_id}: {name} is {properties.get(name)}, not {value}"
        yield from _kept(template, logical_id)


def buckets_are_safe(template: Json) -> Iterator[str]:
    refusing_http = {
        _referred(properties["Bucket"])
        for _, properties in of_type(template, "AWS::S3::BucketPolicy")
        for statement in properties["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny" and "aws:SecureTransport" in statement.get("Condition", {}).get("Bool", {})
    }
    for logical_id, properties in of_type(template, "AWS::S3::Bucket"):
        if properties.get("VersioningConfiguration", {}).get("Status") != "Enabled":
            yield f"{logical_id} keeps no versions"
        if "BucketEncryption" not in properties:
            yield f"{logical_id} is not encrypted"
        blocks = properties.get("PublicAccessBlockConfiguration", {})
        if len(blocks) != 4 or not all(blocks.values()):
            yield f"{logical_id} can be made public"
        if logical_id not in refusing_http:
            yield f"{logical_id} can be reached without TLS"
        if not any(
            "AbortIncompleteMultipartUpload" in r for r in properties.get("LifecycleConfiguration", {}).get("Rules", [])
        ):
            yield f"{logical_id} keeps incomplete uploads for ever"
        yield from _kept(template, logical_id)


def queues_are_encrypted_and_keep_messages(template: Json) -> Iterator[str]:
    for logical_id, properties in of_type(template, "AWS::SQS::Queue"):
        if not properties.get("SqsManagedSseEnabled"):
            yield f"{logical_id} is not encrypted"
        if properties.get("MessageRetentionPeriod", 0) < 7 * 24 * 3600:
            yield f"{logical_id} keeps messages for less than a week"


def keys_rotate_and_are_kept(template: Json) -> Iterator[str]:
    for logical_id, properties in of_type(template, "AWS::KMS::Key"):
        # KMS rotates no keys that sign: what was signed before could not be verified any more.
        if properties.get("KeyUsage", "ENCRYPT_DECRYPT") == "ENCRYPT_DECRYPT" and not properties.get(
            "EnableKeyRotation"
        ):
            yield f"{logical_id} encrypts with one key for ever"
        yield from _kept(template, logical_id)


def decryption_is_for_somebody(template: Json) -> Iterator[str]:
    """A key that encrypts refuses to decrypt for all but the tenants' training roles, whatever IAM says.

    Not that of notifications: it is a function of ours that opens what it encrypts, and IAM says which one.
    """
    training = names.tenant_role_arn("training")
    for logical_id, properties in of_type(template, "AWS::KMS::Key"):
        if properties.get("KeyUsage", "ENCRYPT_DECRYPT") != "ENCRYPT_DECRYPT" or logical_id == NOTIFICATIONS_KEY:
            continue
        denied = [
            statement
            for statement in properties["KeyPolicy"]["Statement"]
            if statement["Effect"] == "Deny"
            and {"kms:Decrypt", "kms:ReEncryptFrom"} <= set(statement["Action"])
            and statement.get("Condition", {}).get("ArnNotLike", {}).get("aws:PrincipalArn") == training
        ]
        if not denied:
            yield f"{logical_id} decrypts for whoever IAM allows it"


def api_is_regional_and_authorized(template: Json) -> Iterator[str]:
    for logical_id, properties in of_type(template, "AWS::Serverless::Api"):
        if properties["EndpointConfiguration"] != {"Type": "REGIONAL"}:
            yield f"{logical_id} is not regional"
        for path, methods in properties["DefinitionBody"]["paths"].items():
            for method, operation in methods.items():
                is_open = not operation.get("security")
                if method != "options" and is_open and path not in _PUBLIC_PATHS:
                    yield f"{logical_id}: {method.upper()} {path} has no authorizer"


def machines_log_and_have_their_own_role(template: Json) -> Iterator[str]:
    owners: Counter[str] = Counter()
    for logical_id, properties in of_type(template, "AWS::StepFunctions::StateMachine"):
        owners[json.dumps(properties["RoleArn"])] += 1
        if properties.get("LoggingConfiguration", {}).get("Level") not in {"ERROR", "ALL"}:
            yield f"{logical_id} does not log its errors"
    yield from (f"several machines share the role {role}" for role, count in owners.items() if count > 1)


def nothing_asks_where_it_runs(template: Json) -> Iterator[str]:
    for name, condition in template.get("Conditions", {}).items():
        if _LOCAL_WORDS.search(name) or _LOCAL_WORDS.search(json.dumps(condition)):
            yield f"the condition {name} asks whether this is AWS: one template for both"


def parameters_and_outputs_are_described(template: Json) -> Iterator[str]:
    for section in ("Parameters", "Outputs"):
        for name, entry in template[section].items():
            if not entry.get("Description"):
                yield f"{section} {name} has no description"


RULES: tuple[Rule, ...] = (
    policies.actions_are_named,
    policies.resources_are_named,
    policies.roles_are_passed_to_one_service,
    policies.made_roles_are_bounded,
    policies.roles_are_assumed_by_services,
    functions_have_their_own_role,
    functions_log_to_a_group_of_their_own,
    logs_are_kept_for_a_limited_time,
    asynchronous_targets_have_dead_letters,
    events_are_confined_to_our_names,
    tables_are_safe,
    buckets_are_safe,
    queues_are_encrypted_and_keep_messages,
    keys_rotate_and_are_kept,
    decryption_is_for_somebody,
    api_is_regional_and_authorized,
    machines_log_and_have_their_own_role,
    nothing_asks_where_it_runs,
    parameters_and_outputs_are_described,
)


def problems(template: Json) -> list[str]:
    """Everything in the template that breaks a rule, with the rule's name."""
    return [f"{rule.__name__}: {problem}" for rule in RULES for problem in rule(template)]


def _referred(value: Any) -> str:
    """The logical id behind a Ref or GetAtt."""
    if "Ref" in value:
        return str(value["Ref"])
    return str(value["Fn::GetAtt"][0])


def _kept(template: Json, logical_id: str) -> Iterator[str]:
    resource = template["Resources"][logical_id]
    if resource.get("DeletionPolicy") not in {"Retain", "RetainExceptOnCreate"}:
        yield f"{logical_id} is deleted with the stack"
    if resource.get("UpdateReplacePolicy") != "Retain":
        yield f"{logical_id} is lost when an update replaces it"
