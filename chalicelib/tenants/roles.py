"""A tenant's own IAM roles: what its containers run as.

The template has one policy each for training, serving and batch transform. All say `${aws:PrincipalTag/aimatrix-tenant}`
where a tenant's name belongs, so all that tells one tenant's role from another's is a tag. The policy is the role's
permissions boundary too: whatever else should ever be attached, the role can do no more.

    /aimatrix/<stack>/<region>/training/<tenant>-training-<digest>      tag aimatrix-tenant = <tenant>
    /aimatrix/<stack>/<region>/serving/<tenant>-serving-<digest>
    /aimatrix/<stack>/<region>/transforming/<tenant>-transforming-<digest>

A role is made before the first thing of its tenant that needs it. A new role is known everywhere some seconds later; until
then SageMaker refuses it, which the state machines try again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from chalicelib.log import logger

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

TAG = "aimatrix-tenant"
_NAME_KEPT = 40  # of a tenant's name; IAM's names have at most 64 characters


class Purpose(Enum):
    """What a role is for. The services are those that may take it."""

    TRAINING = "training"
    SERVING = "serving"
    TRANSFORMING = "transforming"

    @property
    def services(self) -> tuple[str, ...]:
        if self is Purpose.TRAINING:
            return ("sagemaker.amazonaws.com", "ecs-tasks.amazonaws.com")
        return ("sagemaker.amazonaws.com",)


@dataclass(frozen=True)
class TenantRoles:
    """
    Args:
        client: gives IAM's client; asked for only when a role may be missing.
        prefix: what the ARNs of all roles of this installation begin with, `arn:...:role/aimatrix/<stack>/<region>/`.
        policy_arn: the policy for a purpose.
    """

    client: Callable[[], IAMClient]
    prefix: str
    policy_arn: Callable[[Purpose], str]
    _made: set[str] = field(default_factory=set, init=False, compare=False)

    def require(self, tenant: str, purpose: Purpose) -> str:
        """ARN of the role, which is there when this returns. Asked again, a warm process asks nobody."""
        name = self._name(tenant, purpose)
        path = self._path(purpose)
        if name not in self._made:
            self._make(tenant, purpose, name, path)
            self._made.add(name)
        return f"{self.prefix.partition(':role')[0]}:role{path}{name}"

    def _make(self, tenant: str, purpose: Purpose, name: str, path: str) -> None:
        policy = self.policy_arn(purpose)
        client = self.client()
        try:
            client.create_role(
                RoleName=name,
                Path=path,
                AssumeRolePolicyDocument=json.dumps(_trust(self.prefix.split(":")[4], purpose)),
                Description=f"aimatrix: {purpose.value} of one tenant",
                PermissionsBoundary=policy,
                Tags=[{"Key": TAG, "Value": tenant}],
            )
        except client.exceptions.EntityAlreadyExistsException:
            # Whoever made it may have died before the next call, which changes nothing where it was made.
            logger.debug("a tenant's role is there", extra={"role": name})
        else:
            logger.info("a tenant's role was made", extra={"role": name, "tenant": tenant})
        client.attach_role_policy(RoleName=name, PolicyArn=policy)

    def _path(self, purpose: Purpose) -> str:
        return f"{self.prefix.partition(':role')[2]}{purpose.value}/"

    def _name(self, tenant: str, purpose: Purpose) -> str:
        digest = hashlib.sha256(f"{self.prefix} {tenant}".encode()).hexdigest()[:10]
        return f"{tenant[:_NAME_KEPT]}-{purpose.value}-{digest}"


def _trust(account: str, purpose: Purpose) -> dict[str, Any]:
    """Only these services, and only for this account: nobody else's training job can take the role."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": list(purpose.services)},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": account}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
