"""Who may do what, and what is remembered of it: keys, tokens, roles of tenants, the audit log."""

from __future__ import annotations

import secrets
import time
from functools import cached_property
from typing import TYPE_CHECKING

from chalicelib.bootstrap.stores import Stores

if TYPE_CHECKING:
    from chalicelib.api_keys.authentication import Authentication
    from chalicelib.api_keys.gateways import Pepper
    from chalicelib.api_keys.service import ApiKeyService
    from chalicelib.audit.recorder import Recorder
    from chalicelib.audit.sealing import Sealing
    from chalicelib.audit.service import AuditService
    from chalicelib.identity.tokens import Verifier
    from chalicelib.tenants.roles import TenantRoles
    from chalicelib.uploads.service import UploadService


class Identity(Stores):
    """Who may do what, and what is remembered of it: keys, tokens, roles of tenants, the audit log."""

    @cached_property
    def tenant_roles(self) -> TenantRoles:
        from chalicelib.tenants.roles import Purpose, TenantRoles

        def policy_arn(purpose: Purpose) -> str:
            settings = self.settings
            match purpose:
                case Purpose.TRAINING:
                    return settings.training_policy_arn
                case Purpose.SERVING:
                    return settings.serving_policy_arn
                case Purpose.TRANSFORMING:
                    return settings.transforming_policy_arn

        return TenantRoles(lambda: self.clients.iam, self.settings.tenant_roles, policy_arn)

    @cached_property
    def audit(self) -> Recorder:
        from chalicelib.audit.recorder import Recorder

        return Recorder(lambda: self._audit_store, self.now, self.new_id)

    @cached_property
    def audit_log(self) -> AuditService:
        from chalicelib.audit.service import AuditService

        return AuditService(self._audit_store)

    @cached_property
    def audit_sealing(self) -> Sealing:
        from chalicelib.audit.sealing import Sealing

        return Sealing(self._audit_store, time.monotonic)

    @cached_property
    def uploads(self) -> UploadService:
        from chalicelib.uploads.service import UploadService

        return UploadService(self.objects, self.now, self.new_id, self.audit)

    @cached_property
    def token_verifier(self) -> Verifier:
        from chalicelib.identity import authorizer
        from chalicelib.identity.store import LastGoodKeys

        return authorizer.verifier(self.settings, LastGoodKeys(self._keys_table, self.settings.jwks_url))

    @cached_property
    def key_authentication(self) -> Authentication:
        from chalicelib.api_keys.authentication import Authentication

        return Authentication(self._key_store, self.pepper, self.now)

    @cached_property
    def pepper(self) -> Pepper:
        from chalicelib.api_keys.gateways import Pepper

        return Pepper(lambda: self.clients.secretsmanager, self.settings.key_pepper_arn)

    @cached_property
    def api_keys(self) -> ApiKeyService:
        from chalicelib.api_keys.key import ID_BYTES, SECRET_BYTES, KeyText
        from chalicelib.api_keys.service import ApiKeyService

        return ApiKeyService(
            store=self._key_store,
            pepper=self.pepper,
            now=self.now,
            new_text=lambda: KeyText(secrets.token_hex(ID_BYTES), secrets.token_hex(SECRET_BYTES)),
            audit=self.audit,
        )
