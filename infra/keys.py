"""KMS: the keys that the service holds itself. Who may use one is a grant in `infra.permissions`."""

from __future__ import annotations

from infra.grants import POLICY_VERSION
from infra.names import Json, arn

RECEIPT_KEY = "ReceiptKey"


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


def fragment() -> Json:
    receipts = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}
    return {"Resources": {RECEIPT_KEY: _key("Signs the receipts of finished jobs", receipts)}}
