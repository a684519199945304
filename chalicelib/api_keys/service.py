"""Create, list and revoke API keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from chalicelib.api_keys.gateways import Pepper
from chalicelib.api_keys.key import SCOPES, ApiKey, KeyText, NewKey
from chalicelib.api_keys.request import ApiKeyRequest
from chalicelib.api_keys.store import KeyPage, KeyStore
from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.clock import Clock, to_text
from chalicelib.errors import Conflict, FieldProblem, InvalidRequest, NotFound, RefusedValue
from chalicelib.identity.caller import Caller, is_user
from chalicelib.identity.permissions import Permission

MAX_KEYS = 200
"""Records that a user may have, those of keys that ended lately included: a bound on what a runaway script can fill."""

_KEY_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class ApiKeyService:
    """
    Args:
        new_text: a key with a fresh id and secret.
        limit: how many keys a user may have.
    """

    store: KeyStore
    pepper: Pepper
    now: Clock
    new_text: Callable[[], KeyText]
    audit: Recorder
    limit: int = MAX_KEYS

    def create(self, caller: Caller, request: ApiKeyRequest) -> NewKey:
        """Make a key that acts as the caller, with a part of what the caller may do.

        Raises:
            InvalidRequest, RefusedValue: what is wrong with the scopes.
            Conflict: the caller has too many keys.
        """
        caller.require(Permission.KEYS_MANAGE)
        scopes = _scopes(caller, request.scopes)
        if len(self.store.search(caller.tenant, caller.user, self.limit, 0, None).keys) >= self.limit:
            raise Conflict(
                f"You have {self.limit} keys. Revoke what you don't need; a record goes 30 days after its key ended."
            )
        text = self.new_text()
        now = self.now()
        key = ApiKey(
            tenant=caller.tenant,
            key_id=text.key_id,
            user=caller.user,
            name=request.name,
            scopes=scopes,
            digest=text.digest(self.pepper.value),
            created_at=now,
            expires_at=now + timedelta(days=request.expires_in_days),
        )
        made = self.audit.entry(
            caller,
            Action.CREATE_API_KEY,
            subject("key", key.key_id),
            name=key.name,
            scopes=" ".join(scopes),
            expires_at=to_text(key.expires_at),
        )
        self.store.create(key, made)
        return NewKey(key, text.reveal())

    def search(self, caller: Caller, user: str | None, limit: int, offset: int, cursor: str | None) -> KeyPage:
        """The keys a caller may see, newest first: own ones, or everybody's in the tenant with the permission."""
        caller.require(Permission.KEYS_MANAGE)
        if not caller.may(Permission.KEYS_MANAGE_ALL):
            if user not in {None, caller.user}:
                return KeyPage((), None)
            user = caller.user
        if user is not None and not is_user(user):
            return KeyPage((), None)
        after = KeyStore.cursor(cursor, caller.tenant, user)
        return self.store.search(caller.tenant, user, limit, offset, after)

    def get(self, caller: Caller, key_id: str) -> ApiKey:
        """
        Raises:
            NotFound: not there, or not this caller's to see.
        """
        caller.require(Permission.KEYS_MANAGE)
        key = self.store.get(key_id) if _KEY_ID.fullmatch(key_id) else None
        if key is None or key.tenant != caller.tenant:
            raise NotFound("API key")
        if key.user != caller.user and not caller.may(Permission.KEYS_MANAGE_ALL):
            raise NotFound("API key")
        return key

    def revoke(self, caller: Caller, key_id: str) -> ApiKey:
        """End a key, from the next request on. Doing it again changes nothing.

        Raises:
            NotFound: not there, or not this caller's.
        """
        key = self.get(caller, key_id)
        now = self.now()
        revoked = self.audit.entry(caller, Action.REVOKE_API_KEY, subject("key", key_id), owner=key.user, name=key.name)
        return replace(key, revoked_at=now) if self.store.revoke(key, now, revoked) else key


def _scopes(caller: Caller, wanted: list[str]) -> tuple[str, ...]:
    """The scopes in the table's order, each once."""
    known = {permission.value: permission for permission in SCOPES}
    if unknown := [name for name in dict.fromkeys(wanted) if name not in known]:
        problem = f"holds {', '.join(repr(name[:40]) for name in unknown[:5])}, which no key can have"
        raise InvalidRequest.about(FieldProblem("scopes", problem, f"Use some of {', '.join(known)}."))
    chosen = [permission for name, permission in known.items() if name in wanted]
    if missing := [permission.value for permission in chosen if not caller.may(permission)]:
        cure = "Leave them out: a key can have no more than you have yourself."
        raise RefusedValue.about(FieldProblem("scopes", f"holds {', '.join(missing)}, which you do not have", cure))
    return tuple(permission.value for permission in chosen)
