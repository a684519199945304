"""Tells who presents a key. The authorizer's part of this room."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from chalicelib.api_keys.gateways import Pepper
from chalicelib.api_keys.key import KeyStatus, KeyText
from chalicelib.api_keys.store import USE_NOTED_EVERY, KeyStore
from chalicelib.aws import AwsError
from chalicelib.clock import Clock
from chalicelib.errors import Unauthenticated
from chalicelib.identity.caller import Caller
from chalicelib.log import logger

# Compared with when there is no such key, so that the time taken does not say so.
_NOBODYS_DIGEST = "0" * 64


@dataclass(frozen=True)
class Authentication:
    store: KeyStore
    pepper: Pepper
    now: Clock

    def authenticate(self, text: str) -> Caller:
        """Whom a key acts for.

        Raises:
            Unauthenticated: for whatever reason; the detail is for the log, not for the caller.
        """
        presented = KeyText.parse(text)
        if presented is None:
            raise Unauthenticated("the key is not one of ours")
        key = self.store.get(presented.key_id)
        digest = presented.digest(self.pepper.value)
        matches = hmac.compare_digest(key.digest if key else _NOBODYS_DIGEST, digest)
        if key is None or not matches:
            raise Unauthenticated(f"the key {presented.key_id} is not known or its secret is wrong")
        now = self.now()
        status = key.status(now)
        if status is not KeyStatus.ACTIVE:
            raise Unauthenticated(f"the key {presented.key_id} is {status.value}")
        if key.last_used_at is None or now - key.last_used_at >= USE_NOTED_EVERY:
            try:
                self.store.note_use(key.key_id, now)
            except AwsError as error:
                # That a use could not be noted is no reason to refuse it.
                logger.warning("could not note the use of a key", extra={"key_id": key.key_id, "detail": str(error)})
        return key.caller()
