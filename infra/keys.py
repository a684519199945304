"""KMS: the keys that the service holds itself. Who may use one is in `infra.capabilities`."""

from __future__ import annotations

from infra.grants import POLICY_VERSION, Grant
from infra.names import TENANT, TOPIC_ARN, Json, arn, att, sub, tenant_role_arn

RECEIPT_KEY = "ReceiptKey"
SECRETS_KEY = "SecretsKey"
NOTIFICATIONS_KEY = "NotificationsKey"

# What a ciphertext is bound to, as `chalicelib.jobs.secrets` says it: all three words, and no other.
_CONTEXT = ("aimatrix:tenant", "aimatrix:job-id", "aimatrix:variable")
BOUND_TO_A_VARIABLE: Json = {
    "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": list(_CONTEXT)},
    "Null": {f"kms:EncryptionContext:{name}": "false" for name in _CONTEXT},
}


# The same for the secrets of webhooks, as `chalicelib.webhooks.vault` says it.
_WEBHOOK = ("aimatrix:tenant", "aimatrix:webhook-id")
BOUND_TO_A_WEBHOOK: Json = {
    "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": list(_WEBHOOK)},
    "Null": {f"kms:EncryptionContext:{name}": "false" for name in _WEBHOOK},
}


def _key(description: str, properties: Json) -> Json:
    # The key outlives the stack: what it signed has to stay verifiable, what it encrypted readable.
    return {
        "Type": "AWS::KMS::Key",
        "DeletionPolicy": "RetainExceptOnCreate",
        "UpdateReplacePolicy": "Retain",
        "Properties": {"Description": description, "KeyPolicy": _decided_by_iam(), **properties},
    }


def _decided_by_iam() -> Json:
    """AWS's default key policy: the account's IAM policies decide, and no key can lock its account out.

    https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
    """
    account = arn("iam", "root", region=False)
    statement = {"Sid": "LetIamDecide", "Effect": "Allow", "Principal": {"AWS": account}, "Action": "kms:*"}
    return {"Version": POLICY_VERSION, "Statement": [{**statement, "Resource": "*"}]}


def _decrypted_by_the_agent_only() -> Json:
    """IAM decides who encrypts; whatever it says, nobody decrypts but a training container."""
    policy = _decided_by_iam()
    policy["Statement"].append(
        {
            "Sid": "OnlyTheAgentDecrypts",
            "Effect": "Deny",
            "Principal": {"AWS": "*"},
            "Action": ["kms:Decrypt", "kms:ReEncryptFrom"],
            "Resource": "*",
            "Condition": {"ArnNotLike": {"aws:PrincipalArn": tenant_role_arn("training")}},
        }
    )
    return policy


def _used_for_the_topic() -> Json:
    """EventBridge and CloudWatch publish to an encrypted topic in their own name: with this key, for that topic alone.

    https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    """
    policy = _decided_by_iam()
    policy["Statement"].append(
        {
            "Sid": "PublishToTheTopic",
            "Effect": "Allow",
            "Principal": {"Service": ["events.amazonaws.com", "cloudwatch.amazonaws.com"]},
            "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
            "Resource": "*",
            "Condition": {"StringEquals": {"kms:EncryptionContext:aws:sns:topicArn": TOPIC_ARN}},
        }
    )
    return policy


DECRYPT_SECRETS = Grant(
    "DecryptSecrets",
    ("kms:Decrypt",),
    (att(SECRETS_KEY),),
    {**BOUND_TO_A_VARIABLE, "StringEquals": {"kms:EncryptionContext:aimatrix:tenant": sub(TENANT)}},
)
"""Of the container's own tenant: the tenant is part of what each value is bound to."""


def fragment() -> Json:
    receipts = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}
    secrets = {
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EnableKeyRotation": True,
        "KeyPolicy": _decrypted_by_the_agent_only(),
    }
    notifications = {
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EnableKeyRotation": True,
        "KeyPolicy": _used_for_the_topic(),
    }
    return {
        "Resources": {
            NOTIFICATIONS_KEY: _key("Encrypts the secrets of webhooks, and notices to operators", notifications),
            RECEIPT_KEY: _key("Signs the receipts of finished jobs", receipts),
            SECRETS_KEY: _key("Encrypts the secret variables of jobs", secrets),
        }
    }
