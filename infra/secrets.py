"""Secrets Manager: what the service keeps secret from everybody, its operators' tables included."""

from __future__ import annotations

from infra.names import Json, stack_name

PEPPER_CHARACTERS = 64


def fragment() -> Json:
    pepper: Json = {
        "Type": "AWS::SecretsManager::Secret",
        # Without it no API key verifies any more, so it stays as long as the table of keys does.
        "DeletionPolicy": "RetainExceptOnCreate",
        "UpdateReplacePolicy": "Retain",
        "Properties": {
            "Name": stack_name("key-pepper"),
            "Description": "What API keys are hashed with; a new value ends all of them",
            "GenerateSecretString": {"PasswordLength": PEPPER_CHARACTERS, "ExcludePunctuation": True},
        },
    }
    return {"Resources": {"KeyPepper": pepper}}
