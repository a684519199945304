"""What other rooms call: a write for their own transaction; and what protocols call: a refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from chalicelib.audit.entry import ACTIONS, REFUSALS, Action, Entry, Outcome, subject_of_path
from chalicelib.audit.store import AuditStore
from chalicelib.clock import Clock, IdMaker
from chalicelib.errors import ServiceError
from chalicelib.identity.caller import Caller
from chalicelib.table import Write


@dataclass(frozen=True)
class Recorder:
    """
    Args:
        store: gives the log. Asked for only when something is recorded: a service that records works too in a function
            that never does, and was not told where the log is.
    """

    store: Callable[[], AuditStore]
    now: Clock
    new_id: IdMaker

    def entry(self, caller: Caller, action: Action, subject: str, **details: str | None) -> Write:
        """That this was done, to be written together with what was done.

        Args:
            details: a few words more; None is left out. Nothing secret: an administrator reads it.
        """
        said = {name: value for name, value in details.items() if value is not None}
        return self.store().waiting(Entry(self.new_id(), self.now(), caller, action, subject, details=said))

    def record(self, caller: Caller, action: Action, subject: str, **details: str | None) -> None:
        """That this was done, by itself: for what changes no record of ours."""
        self.store().write(self.entry(caller, action, subject, **details))

    def refused(self, caller: Caller, operation: str, path: Mapping[str, str], error: ServiceError) -> None:
        """That an operation was refused, if it is one that is recorded, and an error that is.

        Args:
            operation: its name in the API.
            path: the placeholders of the request's path, with their values.
        """
        action = ACTIONS.get(operation)
        if action is None or error.code not in REFUSALS:
            return
        entry = Entry(
            entry_id=self.new_id(),
            at=self.now(),
            caller=caller,
            action=action,
            subject=subject_of_path(path),
            outcome=Outcome.REFUSED,
            code=error.code,
            detail=error.detail,
        )
        self.store().write(self.store().waiting(entry))
