"""Events that go to addresses of users."""

from __future__ import annotations

import random
from functools import cached_property
from typing import TYPE_CHECKING

from chalicelib.bootstrap.events import Events
from chalicelib.table import Table

if TYPE_CHECKING:
    from chalicelib.webhooks.gateways import WakeUps
    from chalicelib.webhooks.intake import Intake
    from chalicelib.webhooks.sending import Sending
    from chalicelib.webhooks.service import WebhookService
    from chalicelib.webhooks.store import WebhookStore
    from chalicelib.webhooks.vault import Vault as WebhookVault


class Webhooks(Events):
    """Events that go to addresses of users."""

    @cached_property
    def _webhook_store(self) -> WebhookStore:
        from chalicelib.webhooks.store import WebhookStore

        return WebhookStore(Table(self.clients.dynamodb, self.settings.webhooks_table))

    @cached_property
    def _webhook_vault(self) -> WebhookVault:
        from chalicelib.webhooks.vault import Vault

        return Vault(lambda: self.clients.kms, self.settings.notifications_key)

    @cached_property
    def _wake_ups(self) -> WakeUps:
        from chalicelib.webhooks.gateways import WakeUps

        return WakeUps(lambda: self.clients.sqs, self.settings.webhooks_queue)

    @cached_property
    def webhooks(self) -> WebhookService:
        from chalicelib.webhooks.service import WebhookService

        return WebhookService(
            store=self._webhook_store,
            vault=lambda: self._webhook_vault,
            wake_ups=lambda: self._wake_ups,
            loopback_ports=self.settings.loopback_webhook_ports,
            now=self.now,
            new_id=self.new_id,
            audit=self.audit,
        )

    @cached_property
    def webhook_intake(self) -> Intake:
        from chalicelib.webhooks.intake import Intake

        return Intake(self._webhook_store, self._owner_of_job, self.now)

    @cached_property
    def webhook_sending(self) -> Sending:
        from chalicelib.webhooks import post
        from chalicelib.webhooks.sending import Sending

        return Sending(
            store=self._webhook_store,
            vault=self._webhook_vault,
            poster=post.Poster(post.tls()),
            wake_ups=self._wake_ups,
            loopback_ports=self.settings.loopback_webhook_ports,
            now=self.now,
            uniform=random.uniform,
        )
