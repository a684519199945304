"""The second wall between tenants: what a hostile container can reach with the credentials it is given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aimatrix.client import Client
from tests.e2e import scripts
from tests.e2e.conftest import Cloud

VICTIM, ATTACKER = "victim", "attacker"

# What a script may try with boto3. Each attempt's outcome is an error code of AWS, or "done".
ATTACK = """
import json, os, sys
import boto3
from botocore.exceptions import ClientError

theirs = json.loads(os.environ["THEIRS"])
s3, kms, sts, iam = (boto3.client(name, region_name="us-east-1") for name in ("s3", "kms", "sts", "iam"))
dynamodb, secrets = (boto3.client(name, region_name="us-east-1") for name in ("dynamodb", "secretsmanager"))
bucket, key = theirs["bucket"], theirs["key"]
me = sts.get_caller_identity()["Arn"]
role = "arn:aws:iam::" + me.split(":")[4] + ":role/" + me.split("/")[1]
trust = json.dumps({"Version": "2012-10-17", "Statement": []})

def found(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "done"

tried = {
    "read their object": found(s3.get_object, Bucket=bucket, Key=key),
    "list their objects": found(s3.list_objects_v2, Bucket=bucket, Prefix="tenants/victim/"),
    "list everybody": found(s3.list_objects_v2, Bucket=bucket, Prefix="tenants/"),
    "list all there is": found(s3.list_objects_v2, Bucket=bucket),
    "write into their jobs": found(s3.put_object, Bucket=bucket, Key="tenants/victim/jobs/x/model.tar.gz", Body=b"x"),
    "delete their object": found(s3.delete_object, Bucket=bucket, Key=key),
    "copy their object": found(
        s3.copy_object, Bucket=bucket, Key=theirs["mine"] + "/stolen", CopySource={"Bucket": bucket, "Key": key}
    ),
    "read their jobs": found(
        dynamodb.get_item, TableName=theirs["table"], Key={"pk": {"S": theirs["pk"]}, "sk": {"S": "job"}}
    ),
    "read their secret": found(secrets.get_secret_value, SecretId=theirs["secret"]),
    "become them": found(sts.assume_role, RoleArn=theirs["role"], RoleSessionName="eve"),
    "take their tag": found(iam.tag_role, RoleName=me.split("/")[1], Tags=[{"Key": "aimatrix-tenant", "Value": "victim"}]),
    "make a role": found(iam.create_role, RoleName="x", AssumeRolePolicyDocument=trust),
}
if theirs["ciphertext"]:
    import base64
    tried["decrypt their value"] = found(
        kms.decrypt, CiphertextBlob=base64.b64decode(theirs["ciphertext"]), EncryptionContext=theirs["context"]
    )
own = {
    "read own dataset": found(s3.get_object, Bucket=bucket, Key=theirs["own"]),
    "write own output": found(s3.put_object, Bucket=bucket, Key=theirs["mine"] + "/note", Body=b"x"),
}
print("RESULT " + json.dumps({"tried": tried, "own": own}))
"""


def _role(cloud: Cloud, tenant: str, purpose: str) -> str:
    """The role of a tenant, as an administrator finds it."""
    iam = cloud.boto("iam")
    for page in iam.get_paginator("list_roles").paginate(PathPrefix="/aimatrix/"):
        for role in page["Roles"]:
            tags = {tag["Key"]: tag["Value"] for tag in iam.list_role_tags(RoleName=role["RoleName"])["Tags"]}
            if tags.get("aimatrix-tenant") == tenant and f"/{purpose}/" in role["Arn"]:
                return str(role["Arn"])
    raise LookupError(f"{tenant} has no role for {purpose}")


class TestTheSecondWall:
    @pytest.mark.parametrize("backend", ["sagemaker", "batch"])
    def test_keeps_a_hostile_script_with_its_own_tenant(self, cloud: Cloud, tmp_path: Path, backend: str) -> None:
        with cloud.client("ada", tenant=VICTIM) as ada:
            request = scripts.request(ada, tmp_path, "print('hello')", secret_variables={"TOKEN": "canary-of-ada"})
            victim = ada.jobs.wait(ada.jobs.submit(request).job_id, timeout=120)
        assert victim.status == "completed"
        theirs = _what_is_theirs(cloud, victim.job_id, request.script_path)
        with cloud.client("eve", tenant=ATTACKER) as eve:
            tried, own = _attack(eve, tmp_path, theirs, backend)
        assert own == {"read own dataset": "done", "write own output": "done"}
        assert "decrypt their value" in tried
        let_in = {what: code for what, code in tried.items() if not code.startswith("AccessDenied")}
        assert let_in == {}

    def test_is_a_role_for_each_tenant_that_nothing_can_widen(self, cloud: Cloud, tmp_path: Path) -> None:
        with cloud.client("eve", tenant=ATTACKER) as eve:
            assert scripts.run(eve, tmp_path, "print('hello')").status == "completed"
        iam = cloud.boto("iam")
        name = _role(cloud, ATTACKER, "training").rpartition("/")[2]
        role = iam.get_role(RoleName=name)["Role"]
        (attached,) = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == attached["PolicyArn"]


def _what_is_theirs(cloud: Cloud, job_id: str, script_uri: str) -> dict[str, object]:
    """What an attacker who knows everything but the keys would know."""
    bucket, _, key = script_uri.removeprefix("s3://").partition("/")
    spec = json.loads(
        cloud.boto("s3")
        .get_object(Bucket=bucket, Key=f"tenants/{VICTIM}/jobs/{job_id}/attempt-1/spec.json")["Body"]
        .read()
    )
    secret = cloud.boto("secretsmanager").create_secret(Name=f"aimatrix/{VICTIM}/{job_id}", SecretString="theirs")
    tables = cloud.boto("dynamodb").list_tables()["TableNames"]
    return {
        "bucket": bucket,
        "key": key,
        "table": next(name for name in tables if name.endswith("-jobs")),
        "pk": f"{VICTIM}#{job_id}",
        "secret": secret["ARN"],
        "role": _role(cloud, VICTIM, "training"),
        "ciphertext": spec["secret_variables"]["TOKEN"]["ciphertext"],
        "context": {"aimatrix:tenant": VICTIM, "aimatrix:job-id": job_id, "aimatrix:variable": "TOKEN"},
    }


def _attack(
    client: Client, folder: Path, theirs: dict[str, object], backend: str
) -> tuple[dict[str, str], dict[str, str]]:
    request = scripts.request(client, folder, ATTACK, backend=backend)
    own = request.dataset_path.partition("//")[2].partition("/")[2]
    known = {**theirs, "own": own, "mine": f"tenants/{ATTACKER}/jobs/any"}
    job = scripts.run(client, folder, ATTACK, backend=backend, environment_variables={"THEIRS": json.dumps(known)})
    assert job.status == "completed", job.failure_reason
    (line,) = [each for each in scripts.lines(client, job) if each.startswith("RESULT ")]
    result = json.loads(line.removeprefix("RESULT "))
    return result["tried"], result["own"]
