"""What has to go before a stack can."""

from __future__ import annotations

from typing import Any, cast

import boto3
from moto import mock_aws

from chalicelib.tenants.roles import Purpose, TenantRoles
from infra.undeploy import delete_tenant_roles

POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}'


@mock_aws  # type: ignore[untyped-decorator]
def test_the_roles_of_tenants_of_this_stack_go_and_no_others() -> None:
    iam: Any = boto3.client("iam", "us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")
    policy = iam.create_policy(PolicyName="p", PolicyDocument=POLICY)["Policy"]["Arn"]
    for place in ("mine/us-east-1", "mine/eu-west-1", "mine-too/us-east-1"):
        prefix = f"arn:aws:iam::123456789012:role/aimatrix/{place}/"
        roles = TenantRoles(lambda: cast("Any", iam), prefix, lambda _purpose: policy)
        for tenant in ("acme", "umbrella"):
            for purpose in Purpose:
                roles.require(tenant, purpose)
    iam.create_role(RoleName="somebody-elses", AssumeRolePolicyDocument=POLICY)
    assert len(delete_tenant_roles(iam, "mine", "us-east-1")) == 6
    assert delete_tenant_roles(iam, "mine", "us-east-1") == []
    left = {role["Path"] for role in iam.list_roles()["Roles"]}
    others = {f"/aimatrix/{place}/{p.value}/" for place in ("mine/eu-west-1", "mine-too/us-east-1") for p in Purpose}
    assert left == {"/", *others}
