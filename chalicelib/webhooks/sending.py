"""Attempts what waits, lane by lane: in order within a lane, several lanes at once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

from chalicelib.clock import Clock
from chalicelib.log import logger
from chalicelib.webhooks import signature
from chalicelib.webhooks.addresses import Forbidden, target_of
from chalicelib.webhooks.delivery import GONE, Attempt, Delivery, DeliveryStatus, Uniform
from chalicelib.webhooks.gateways import WakeUps
from chalicelib.webhooks.post import NotSent, Poster
from chalicelib.webhooks.store import SHARDS, Lane, Waiting, WebhookStore
from chalicelib.webhooks.vault import Vault
from chalicelib.webhooks.webhook import Webhook

# The function has a minute, and one request takes ten seconds at most.
RUN_SECONDS = 40.0
# Longer than the function lives: whoever holds a lane after that is dead.
LEASE = timedelta(seconds=90)
DISABLED_AFTER = timedelta(days=3)
AT_ONCE = 8
_LANES = 50
# A receiver that fails so often in a run is left alone for the rest of it, or it would take everybody's time.
_FAILURES = 3
_LATER = timedelta(seconds=60)


@dataclass
class Run:
    """What one invocation has seen: its time, and who fails."""

    stop_at: float
    failures: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    lock: Lock = field(default_factory=Lock)

    def note(self, webhook_id: str, outcome: str, *, failed: bool) -> None:
        with self.lock:
            self.outcomes[outcome] += 1
            self.failures[webhook_id] = self.failures[webhook_id] + 1 if failed else 0

    def gives_up_on(self, webhook_id: str) -> bool:
        with self.lock:
            return self.failures[webhook_id] >= _FAILURES


@dataclass(frozen=True)
class Sending:
    """
    Args:
        loopback_ports: where plain HTTP to this machine is allowed.
        monotonic: seconds that never go back.
        at_once: how many lanes are worked on.
    """

    store: WebhookStore
    vault: Vault
    poster: Poster
    wake_ups: WakeUps
    loopback_ports: frozenset[int]
    now: Clock
    uniform: Uniform
    monotonic: Callable[[], float] = time.monotonic
    at_once: int = AT_ONCE

    def run(self, lanes: Iterable[Lane]) -> Counter[str]:
        """Attempt what waits in these lanes; how many deliveries came to which end."""
        run = Run(self.monotonic() + RUN_SECONDS)
        with ThreadPoolExecutor(self.at_once, thread_name_prefix="webhooks") as threads:
            # A lane that fails for a reason of ours leaves its neighbours alone, and is found again when its lease is over.
            list(threads.map(lambda lane: self._safely(lane, run), dict.fromkeys(lanes)))
        return run.outcomes

    def run_due(self) -> Counter[str]:
        """Attempt what is due, as much of it as there is time for."""
        now = self.now()
        return self.run(lane for shard in range(SHARDS) for lane in self.store.due(shard, now, _LANES))

    def _safely(self, lane: Lane, run: Run) -> None:
        try:
            self._lane(lane, run)
        except Exception:  # noqa: BLE001
            logger.exception("a lane was left", extra=vars(lane))
            with run.lock:
                run.outcomes["left"] += 1

    def _lane(self, lane: Lane, run: Run) -> None:
        if self.monotonic() > run.stop_at:
            return
        now = self.now()
        waiting = self.store.take(lane, now, now + LEASE)
        if waiting is None:
            return
        webhook = self.store.get(lane.tenant, lane.webhook_id)
        if webhook is None:
            self.store.forget(lane)
            return
        due = self._send_all(webhook, lane, waiting, run)
        still_waits = self.store.give_back(lane, due)
        if still_waits:
            self.wake_ups.send(lane, due - self.now())

    def _send_all(self, webhook: Webhook, lane: Lane, waiting: list[Waiting], run: Run) -> datetime:
        """Send one after the other, until one fails; when the lane is due again, if anything waits in it then."""
        for each in waiting:
            delivery = self.store.delivery(lane.tenant, lane.webhook_id, each.event_id)
            if delivery is None or not each.is_of(delivery):
                self.store.drop(lane, each)
                continue
            if delivery.is_pending and webhook.is_active:
                if self.monotonic() > run.stop_at:
                    return self.now()
                if run.gives_up_on(webhook.webhook_id):
                    return self.now() + _LATER
                delivery = self._attempt(webhook, delivery, run)
            elif delivery.is_pending:
                delivery = self.store.note(delivery, Delivery.cancelled)
            if delivery.next_at is not None and each.is_of(delivery):
                return delivery.next_at
            self.store.drop(lane, each)
            webhook = self.store.get(lane.tenant, lane.webhook_id) or webhook
        return self.now()

    def _attempt(self, webhook: Webhook, delivery: Delivery, run: Run) -> Delivery:
        attempt = self._post(webhook, delivery)

        def attempted(read: Delivery) -> Delivery:
            return read.after(attempt, self.uniform) if read.wish == delivery.wish else read.beside(attempt)

        tried = self.store.note(delivery, attempted)
        run.note(webhook.webhook_id, tried.status.value, failed=not attempt.is_success)
        logger.info(
            "attempted a delivery",
            extra={
                "webhook_id": webhook.webhook_id,
                "event_id": delivery.event_id,
                "answer": attempt.status,
                "error": attempt.error,
                "milliseconds": attempt.milliseconds,
                "outcome": tried.status.value,
            },
        )
        if attempt.is_success:
            self.store.note_success(webhook)
        else:
            self._failed(webhook, tried, attempt)
        return tried

    def _failed(self, webhook: Webhook, delivery: Delivery, attempt: Attempt) -> None:
        if attempt.status == GONE:
            self.store.disable(webhook, "The receiver answered 410: it is gone.", attempt.at)
            return
        self.store.note_failure(webhook, attempt.at)
        since = webhook.failing_since
        if delivery.status is DeliveryStatus.FAILED and since and attempt.at - since >= DISABLED_AFTER:
            days = (attempt.at - since).days
            self.store.disable(webhook, f"Nothing has come through for {days} days.", attempt.at)

    def _post(self, webhook: Webhook, delivery: Delivery) -> Attempt:
        at, started = self.now(), self.monotonic()
        body = delivery.body.encode()
        status, error, retry_after = None, None, None
        try:
            keys = self.vault.open(webhook, at)
            headers = signature.headers(keys, delivery.event_id, int(at.timestamp()), body)
            # Its text is checked once more: what may be addressed can have changed since it was made.
            answer = self.poster.post(target_of(webhook.url, self.loopback_ports), body, headers)
        except Forbidden as refusal:
            error = f"the URL {refusal}"
        except NotSent as trouble:
            error = str(trouble)
        else:
            status, retry_after = answer.status, answer.retry_after
            if 300 <= status < 400:
                error = "redirects are not followed"
        milliseconds = round((self.monotonic() - started) * 1000)
        return Attempt(at, status, milliseconds, error, retry_after)
