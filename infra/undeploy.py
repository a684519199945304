"""`python -m infra.undeploy --stack STACK`: takes an installation down; tables, buckets and keys stay.

The roles of tenants are made while the service runs and belong to no stack. CloudFormation could not delete the policies
that they carry, so they go first.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import boto3

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient


def delete_tenant_roles(iam: IAMClient, stack: str, region: str) -> list[str]:
    """Delete every role that the installation made for a tenant; returns their names. May be repeated."""
    deleted = []
    for page in iam.get_paginator("list_roles").paginate(PathPrefix=f"/aimatrix/{stack}/{region}/"):
        for role in page["Roles"]:
            name = role["RoleName"]
            for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
                iam.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
            iam.delete_role(RoleName=name)
            deleted.append(name)
    return deleted


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.undeploy", description=__doc__)
    parser.add_argument("--stack", required=True, help="name of the stack")
    parser.add_argument("--region", help="region of the stack; else that of the AWS configuration")
    given = parser.parse_args()
    session = boto3.Session(region_name=given.region)
    cloudformation = session.client("cloudformation")
    # Fails for a stack that is not there.
    cloudformation.describe_stacks(StackName=given.stack)
    for name in delete_tenant_roles(session.client("iam"), given.stack, session.region_name):
        sys.stdout.write(f"deleted the role {name}\n")
    cloudformation.delete_stack(StackName=given.stack)
    sys.stdout.write(f"deleting {given.stack} ...\n")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=given.stack)
    sys.stdout.write("deleted; tables, buckets, keys and the training log group stay\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
