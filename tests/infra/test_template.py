"""The built template keeps our rules, and says what others rely on."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.jobs.secrets import encryption_context
from chalicelib.settings import LOOPBACK_WEBHOOK_PORTS, Settings
from chalicelib.webhooks import vault
from infra import assertions, capabilities, functions, names, permissions, policies
from infra import template as composer
from infra.names import Json

Change = Callable[[Json], object]


def properties(template: Json, logical_id: str) -> Any:
    return template["Resources"][logical_id]["Properties"]


def policy(template: Json, role: str) -> list[Json]:
    statements: list[Json] = properties(template, role)["Policies"][0]["PolicyDocument"]["Statement"]
    return statements


class TestBuiltTemplate:
    def test_breaks_no_rule(self, template: Json) -> None:
        assert assertions.problems(template) == []

    def test_has_every_output_that_the_laptop_and_the_client_read(self, template: Json) -> None:
        assert set(template["Outputs"]) == {
            *("ApiUrl", "RestApiId", "ArtifactsBucket", "JobsTable", "ModelsTable", "DeploymentsTable", "MetricsTable"),
            *("ExperimentsTable", "RetrainingTable"),
            *("UsageTable", "QuotasTable", "KeysTable", "AuditTable", "CapacityTable", "EventsTable"),
            *("WebhooksTable", "NotificationTopicArn"),
            *("TrainJobStateMachineArn", "DeployModelStateMachineArn", "UndeployModelStateMachineArn"),
            "ShiftTrafficStateMachineArn",
            "TransformDataStateMachineArn",
            *("EventBusName", "BatchJobQueueArn"),
        }

    def test_needs_only_what_an_installation_must_be_told(self, template: Json) -> None:
        needed = {name for name, parameter in template["Parameters"].items() if "Default" not in parameter}
        assert needed == {"TokenIssuer", "JwksUrl", "AgentUri", "MlflowTrackingUri", "DeploymentBucket"}

    def test_names_everything_after_the_stack(self, template: Json) -> None:
        named = {
            "JobsTable": ("TableName", "${AWS::StackName}-jobs"),
            "ArtifactsBucket": ("BucketName", "${AWS::StackName}-artifacts-${AWS::AccountId}-${AWS::Region}"),
            "TrainJobStateMachine": ("StateMachineName", "${AWS::StackName}-train-job"),
            "PlanJob": ("FunctionName", "${AWS::StackName}-plan-job"),
            "APIHandler": ("FunctionName", "${AWS::StackName}-api"),
        }
        for logical_id, (name, value) in named.items():
            assert properties(template, logical_id)[name] == {"Fn::Sub": value}

    @pytest.mark.parametrize(
        ("table", "indexes"),
        [
            ("JobsTable", {"tenant", "tenant-status", "owner", "owner-status"}),
            ("ModelsTable", {"tenant", "tenant-status", "tenant-framework", "tenant-framework-status"}),
            (
                "DeploymentsTable",
                {"tenant", "tenant-status", "tenant-environment", "tenant-environment-status", "model", "live"},
            ),
            ("AuditTable", {"tenant", "actor", "subject", "action"}),
            ("MetricsTable", set()),
            ("RetrainingTable", set()),
            ("KeysTable", {"tenant", "owner"}),
            ("EventsTable", {"kind"}),
            ("WebhooksTable", {"tenant", "owner", "webhook", "due"}),
        ],
    )
    def test_has_the_indexes_that_lists_are_read_from(self, template: Json, table: str, indexes: set[str]) -> None:
        found = properties(template, table).get("GlobalSecondaryIndexes", [])
        assert {index["IndexName"]: [key["AttributeName"] for key in index["KeySchema"]] for index in found} == {
            f"by-{index}": [f"{index.replace('-', '_')}_key", "listed_at"] for index in indexes
        }

    def test_asks_its_authorizer_about_the_whole_request_each_time(self, template: Json) -> None:
        (scheme,) = properties(template, "RestAPI")["DefinitionBody"]["securityDefinitions"].values()
        authorizer = scheme["x-amazon-apigateway-authorizer"]
        assert (authorizer["type"], authorizer["authorizerResultTtlInSeconds"]) == ("request", 0)
        # With an identity source, a request that lacks it could be refused before the authorizer is asked.
        assert "identitySource" not in authorizer

    def test_leaves_batch_out_where_no_subnets_are_given(self, template: Json) -> None:
        batch = [r for r in template["Resources"].values() if r["Type"].startswith("AWS::Batch::")]
        assert batch
        assert {resource["Condition"] for resource in batch} == {"HasBatch", "HasBatchV100"}
        assert {"Condition": "HasBatch"} in template["Conditions"]["HasBatchV100"]["Fn::And"]

    def test_gives_a_function_only_settings_that_exist(self) -> None:
        for shape in functions.SHAPES.values():
            assert set(shape.settings) <= functions.SETTINGS.keys()
            assert len(set(shape.settings)) == len(shape.settings)

    def test_has_no_setting_that_no_function_is_given(self) -> None:
        assert {name for shape in functions.SHAPES.values() for name in shape.settings} == functions.SETTINGS.keys()

    def test_runs_every_function_within_the_wait_of_its_state(self, template: Json) -> None:
        from infra import asl, machines

        seconds = {f"${{{f.logical_id}}}": functions.SHAPES[f.name].seconds for f in names.FUNCTIONS}
        for machine in names.MACHINES:
            for state in asl.states(machines.definition(machine)):
                if "lambda:invoke" in state.resource:
                    assert state.body["TimeoutSeconds"] > seconds[state.body["Arguments"]["FunctionName"]], state.name

    def test_is_known_whole_to_the_embedded_cloud(self, template: Json) -> None:
        from ministack.services.cloudformation import provisioners

        known = set(provisioners._RESOURCE_HANDLERS) | {"AWS::Serverless::Function", "AWS::Serverless::Api"}
        used = {resource["Type"] for resource in template["Resources"].values()}
        # The compute emulator brings those of Batch, the seam the archive: see localcloud/seam.
        assert {kind for kind in used - known if not kind.startswith("AWS::Batch::")} == {"AWS::Events::Archive"}


class TestRoles:
    def test_authorizer_may_do_nothing_but_log_and_look_at_keys(self, template: Json) -> None:
        sids = [statement["Sid"] for statement in policy(template, "AuthorizeRole")]
        assert sids == ["WriteOwnLog", "VerifyKeys", "ReadKeyPepper"]
        grants = permissions.FUNCTION_GRANTS["authorize"]
        actions = {action for grant in grants for action in grant.actions}
        assert actions == {"dynamodb:GetItem", "dynamodb:UpdateItem", "secretsmanager:GetSecretValue"}

    def test_only_the_api_and_its_authorizer_read_what_keys_are_hashed_with(self) -> None:
        readers = {
            name for name, all_of in permissions.FUNCTION_GRANTS.items() if capabilities.READ_KEY_PEPPER in all_of
        }
        assert readers == {names.API, "authorize"}

    def test_only_ingestion_appends_metrics_beside_the_api(self) -> None:
        writers = {
            name
            for name, grants in permissions.FUNCTION_GRANTS.items()
            for grant in grants
            if "dynamodb:BatchWriteItem" in grant.actions and names.table_arn("metrics") in grant.resources
        }
        assert writers == {names.API, "ingest_logs"}

    def test_nobody_can_take_a_row_out_of_the_audit_log_or_change_one(self, template: Json) -> None:
        in_an_inbox = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["inbox#*"]}}
        free: set[tuple[str, str]] = set()
        for function in names.FUNCTIONS:
            for statement in policy(template, function.role_id):
                if names.table_arn("audit") in statement.get("Resource", []) and statement.get("Condition") is None:
                    free |= {(function.name, action) for action in statement["Action"]}
                elif names.table_arn("audit") in statement.get("Resource", []):
                    assert statement["Condition"] == in_an_inbox
        reading = {"GetItem", "BatchGetItem", "Query", "ConditionCheckItem"}
        writing = {pair for pair in free if pair[1].removeprefix("dynamodb:") not in reading}
        assert writing == {("chain_audit", "dynamodb:PutItem")}

    def test_every_function_has_its_line_in_the_table(self) -> None:
        assert set(permissions.FUNCTION_GRANTS) == {function.name for function in names.FUNCTIONS}

    def test_no_function_reads_outside_the_tenants(self, template: Json) -> None:
        elsewhere = {"ReadAgent", "ReadCaptures"}
        for function in names.FUNCTIONS:
            for statement in policy(template, function.role_id):
                if statement.get("Action") == ["s3:GetObject"] and statement["Sid"] not in elsewhere:
                    assert all("/tenants/" in resource["Fn::Sub"] for resource in statement["Resource"])

    def test_training_writes_only_results_and_checkpoints_of_its_tenant(self, template: Json) -> None:
        writing = [
            statement
            for where, statement in policies.statements(template)
            if where.startswith("TrainingPolicy.") and "s3:PutObject" in statement["Action"]
        ]
        own, checkpoints, through_mlflow = ([part["Fn::Sub"] for part in each["Resource"]] for each in writing)
        tenant = "tenants/${!aws:PrincipalTag/aimatrix-tenant}"
        assert [f"tenants/{each.partition('tenants/')[2]}" for each in own] == [f"{tenant}/jobs/*"]
        assert [f"tenants/{each.partition('tenants/')[2]}" for each in checkpoints] == [
            f"{tenant}/users/*/checkpoints/*",
            f"{tenant}/shared/checkpoints/*",
        ]
        assert [each.rpartition(":::")[2].partition("/")[2] for each in through_mlflow] == ["mlflow/*"]

    def test_containers_reach_nothing_of_a_tenant_but_their_own(self, template: Json) -> None:
        for policy_id in ("TrainingPolicy", "ServingPolicy", "TransformingPolicy"):
            text = json.dumps(properties(template, policy_id))
            assert "tenants/${!aws:PrincipalTag/aimatrix-tenant}/" in text
            assert "tenants/*" not in text

    def test_secrets_are_encrypted_by_the_service_and_decrypted_by_training_only(self, template: Json) -> None:
        holders: dict[str, set[str]] = {
            "kms:Encrypt": set(),
            "kms:Decrypt": set(),
            "secretsmanager:GetSecretValue": set(),
        }
        for where, statement in policies.statements(template):
            for action in statement["Action"]:
                if action in holders:
                    holders[action].add(where)
        assert holders["kms:Encrypt"] == {"ApiHandlerRole.EncryptSecrets", "ApiHandlerRole.SealWebhookSecrets"}
        assert holders["kms:Decrypt"] == {"TrainingPolicy.DecryptSecrets", "DeliverWebhooksRole.OpenWebhookSecrets"}
        referred = {"TrainingPolicy.ReadReferredSecrets"}
        assert {where for where in holders["secretsmanager:GetSecretValue"] if "Pepper" not in where} == referred

    def test_secrets_of_webhooks_are_bound_to_them(self, template: Json) -> None:
        said = vault.encryption_context("t", "w")
        for where, statement in policies.statements(template):
            if where.endswith(("SealWebhookSecrets", "OpenWebhookSecrets")):
                assert statement["Resource"] == [names.att("NotificationsKey")]
                assert statement["Condition"]["ForAllValues:StringEquals"]["kms:EncryptionContextKeys"] == list(said)
                assert statement["Condition"]["Null"] == {f"kms:EncryptionContext:{name}": "false" for name in said}

    def test_nothing_in_it_lets_a_webhook_lead_to_the_machine_itself(self, template: Json) -> None:
        assert LOOPBACK_WEBHOOK_PORTS not in json.dumps(template)
        assert not LOOPBACK_WEBHOOK_PORTS.startswith(functions.PREFIX)

    def test_receipts_are_signed_by_the_functions_that_end_jobs_only(self, template: Json) -> None:
        holders = {where for where, statement in policies.statements(template) if "kms:Sign" in statement["Action"]}
        ending = ("FinishJob", "Reconcile", "OnExecutionEvent")
        assert holders == {f"{function}Role.SignReceipts" for function in ending}

    def test_secrets_are_bound_to_what_the_service_says_they_are(self, template: Json) -> None:
        (statement,) = (
            each for where, each in policies.statements(template) if where == "TrainingPolicy.DecryptSecrets"
        )
        said = encryption_context("t", "j", "v")
        assert statement["Condition"]["ForAllValues:StringEquals"]["kms:EncryptionContextKeys"] == list(said)
        assert statement["Condition"]["Null"] == {f"kms:EncryptionContext:{name}": "false" for name in said}
        own = {"kms:EncryptionContext:aimatrix:tenant": {"Fn::Sub": "${!aws:PrincipalTag/aimatrix-tenant}"}}
        assert statement["Condition"]["StringEquals"] == own

    def test_no_two_statements_of_a_policy_share_a_name(self, template: Json) -> None:
        for logical_id, _ in assertions.of_type(template, "AWS::IAM::Role"):
            for attached in properties(template, logical_id).get("Policies", []):
                sids = [s.get("Fn::If", [None, s])[1]["Sid"] for s in attached["PolicyDocument"]["Statement"]]
                assert len(set(sids)) == len(sids), logical_id


def _statement(template: Json, **changes: Any) -> None:
    policy(template, "PlanJobRole").append({"Sid": "New", "Effect": "Allow", "Action": ["s3:GetObject"], **changes})


BREAKS: list[tuple[str, Change]] = [
    ("actions_are_named", lambda t: _statement(t, Action=["s3:Get*"], Resource=["arn:aws:s3:::b/k"])),
    ("actions_are_named", lambda t: _statement(t, NotAction=["s3:GetObject"], Resource=["arn:aws:s3:::b/k"])),
    ("resources_are_named", lambda t: _statement(t, Resource="*")),
    ("resources_are_named", lambda t: _statement(t, Resource=["arn:aws:s3:::*"])),
    ("resources_are_named", lambda t: _statement(t, Resource={"Fn::Sub": "arn:${AWS::Partition}:s3:::*"})),
    ("resources_are_named", lambda t: _statement(t, NotResource=["arn:aws:s3:::b/k"])),
    ("resources_are_named", lambda t: _statement(t, Action="cloudwatch:PutMetricData", Resource="*")),
    (
        "roles_are_passed_to_one_service",
        lambda t: _statement(t, Action=["iam:PassRole"], Resource=["arn:aws:iam::1:role/x"]),
    ),
    (
        "roles_are_passed_to_one_service",
        lambda t: _statement(t, Action=["iam:PassRole"], Resource=[{"Fn::GetAtt": ["BatchInstanceRole", "Arn"]}]),
    ),
    (
        "made_roles_are_bounded",
        lambda t: _statement(t, Action=["iam:CreateRole"], Resource=[names.tenant_role_arn("x")]),
    ),
    (
        "made_roles_are_bounded",
        lambda t: _statement(t, Action=["iam:CreateServiceLinkedRole"], Resource=[names.tenant_role_arn("training")]),
    ),
    (
        "made_roles_are_bounded",
        lambda t: _statement(t, Action=["iam:AttachRolePolicy"], Resource=[names.tenant_role_arn("training")]),
    ),
    (
        "made_roles_are_bounded",
        lambda t: _statement(
            t,
            Action=["iam:CreateRole"],
            Resource=[names.tenant_role_arn("training")],
            Condition={"StringEquals": {"iam:PermissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess"}},
        ),
    ),
    (
        "made_roles_are_bounded",
        lambda t: _statement(t, Action=["iam:PutRolePolicy"], Resource=["arn:aws:iam::1:role/r"]),
    ),
    (
        "roles_are_assumed_by_services",
        lambda t: properties(t, "PlanJobRole")["AssumeRolePolicyDocument"]["Statement"][0].update(
            Principal={"AWS": "*"}
        ),
    ),
    (
        "functions_have_their_own_role",
        lambda t: properties(t, "PlanJob").update(Role=properties(t, "FinishJob")["Role"]),
    ),
    ("functions_log_to_a_group_of_their_own", lambda t: properties(t, "PlanJob").pop("LoggingConfig")),
    ("logs_are_kept_for_a_limited_time", lambda t: properties(t, "BatchLogGroup").pop("RetentionInDays")),
    ("asynchronous_targets_have_dead_letters", lambda t: t["Resources"].pop("IngestLogsInvocations")),
    (
        "asynchronous_targets_have_dead_letters",
        lambda t: properties(t, "BatchJobRule")["Targets"][0].pop("DeadLetterConfig"),
    ),
    (
        "asynchronous_targets_have_dead_letters",
        lambda t: properties(t, "PublishEventsJobsStream").pop("DestinationConfig"),
    ),
    ("asynchronous_targets_have_dead_letters", lambda t: properties(t, "WebhooksQueue").pop("RedrivePolicy")),
    ("events_are_confined_to_our_names", lambda t: properties(t, "BatchJobRule")["EventPattern"].pop("detail")),
    ("tables_are_safe", lambda t: properties(t, "JobsTable").pop("PointInTimeRecoverySpecification")),
    ("tables_are_safe", lambda t: t["Resources"]["JobsTable"].pop("DeletionPolicy")),
    ("buckets_are_safe", lambda t: properties(t, "ArtifactsBucket").pop("BucketEncryption")),
    ("buckets_are_safe", lambda t: properties(t, "ArtifactsBucket").pop("VersioningConfiguration")),
    ("buckets_are_safe", lambda t: properties(t, "ArtifactsBucket")["PublicAccessBlockConfiguration"].popitem()),
    ("buckets_are_safe", lambda t: t["Resources"].pop("ArtifactsBucketPolicy")),
    ("buckets_are_safe", lambda t: properties(t, "ArtifactsBucket").pop("LifecycleConfiguration")),
    (
        "queues_are_encrypted_and_keep_messages",
        lambda t: properties(t, "IngestLogsDeadLetters").pop("SqsManagedSseEnabled"),
    ),
    (
        "queues_are_encrypted_and_keep_messages",
        lambda t: properties(t, "IngestLogsDeadLetters").pop("MessageRetentionPeriod"),
    ),
    ("keys_rotate_and_are_kept", lambda t: properties(t, "SecretsKey").pop("EnableKeyRotation")),
    ("keys_rotate_and_are_kept", lambda t: t["Resources"]["ReceiptKey"].pop("DeletionPolicy")),
    ("decryption_is_for_somebody", lambda t: properties(t, "SecretsKey")["KeyPolicy"]["Statement"].pop()),
    ("decryption_is_for_somebody", lambda t: properties(t, "SecretsKey")["KeyPolicy"]["Statement"][1].pop("Condition")),
    (
        "api_is_regional_and_authorized",
        lambda t: properties(t, "RestAPI").update(EndpointConfiguration={"Type": "EDGE"}),
    ),
    (
        "api_is_regional_and_authorized",
        lambda t: properties(t, "RestAPI")["DefinitionBody"]["paths"]["/v1/models"]["get"].pop("security"),
    ),
    (
        "machines_log_and_have_their_own_role",
        lambda t: properties(t, "TrainJobStateMachine").pop("LoggingConfiguration"),
    ),
    ("nothing_asks_where_it_runs", lambda t: t["Conditions"].update(OnLaptop={"Fn::Equals": ["a", "b"]})),
    ("parameters_and_outputs_are_described", lambda t: t["Parameters"]["AgentUri"].pop("Description")),
]


class TestRules:
    @pytest.mark.parametrize(("rule", "change"), BREAKS)
    def test_find_what_breaks_them(self, template: Json, rule: str, change: Change) -> None:
        broken = copy.deepcopy(template)
        change(broken)
        found = assertions.problems(broken)
        assert found
        assert all(problem.startswith(rule) for problem in found), found

    def test_are_each_tried(self) -> None:
        assert {rule for rule, _ in BREAKS} == {rule.__name__ for rule in assertions.RULES}


class TestComposing:
    def test_refuses_a_part_for_a_function_that_the_application_lacks(self) -> None:
        packaged: Json = {"Resources": {"PlanJob": {"Properties": {}}}, "Outputs": {}}
        with pytest.raises(composer.TemplateError, match=r"app\.py has no function or API for .*PlanJob"):
            composer.completed(packaged)

    def test_refuses_a_function_without_permissions(self) -> None:
        resources = {"Unknown": {"Type": "AWS::Serverless::Function", "Properties": {}}}
        with pytest.raises(composer.TemplateError, match="without permissions or settings: Unknown"):
            composer.completed({"Resources": resources, "Outputs": {}})

    def test_refuses_two_fragments_that_define_the_same(self) -> None:
        with pytest.raises(composer.TemplateError, match="two fragments define Resources A"):
            composer._add({"A": 1}, {"A": 2}, "Resources")


@pytest.mark.parametrize(
    ("given", "is_taken"),
    [
        ("", True),
        ("ml.p3.2xlarge=0.2", True),
        ("ml.p3.2xlarge=0.2,p3.2xlarge=1", True),
        ("ml.p3.2xlarge", False),
        ("ml.p3.2xlarge=0.2,", False),
        ("ml.p3.2xlarge=often", False),
    ],
)
def test_rates_of_interruption_are_taken_as_the_functions_read_them(
    template: Json, given: str, *, is_taken: bool
) -> None:
    pattern = template["Parameters"]["SpotInterruptionsPerHour"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, given)) is is_taken
    if is_taken:
        rates = Settings({"AIMATRIX_SPOT_RATES": given}).spot_rates
        assert len(rates) == given.count("=")
