"""What creating and revoking keys leave in the audit log."""

from __future__ import annotations

from chalicelib.api_keys.request import ApiKeyRequest
from tests.functional.api_keys.conftest import ADMIN, ALICE, Keys


class TestKeys:
    def test_are_created_and_revoked_in_the_log_without_their_secret(self, keys: Keys) -> None:
        request = ApiKeyRequest.model_validate({"name": "ci", "scopes": ["jobs:read"], "expires_in_days": 30})
        new = keys.service.create(ALICE, request)
        for _ in range(2):
            keys.service.revoke(ADMIN, new.key.key_id)
        about = f"key/{new.key.key_id}"
        assert keys.log.told() == [("alice", "create_api_key", about), ("root", "revoke_api_key", about)]
        created, revoked = keys.log.entries()
        assert created["details"] == {"name": "ci", "scopes": "jobs:read", "expires_at": "2026-03-31T12:00:00.000Z"}
        assert revoked["details"] == {"owner": "alice", "name": "ci"}
        assert new.text not in str(keys.log.entries())
        assert new.key.digest not in str(keys.log.entries())
