"""The audit log: how fast entries are sealed and verified, and what one submission pays for being in it.

Write units by DynamoDB's rule, one per KB begun, two in a transaction, from the bytes of the items of a real submission:
ministack counts calls, not bytes.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from aimatrix.client import Client
from benchmarks.cloud import Cloud, cloud, trivial_request
from benchmarks.figures import Figure
from chalicelib.audit.entry import Action, Entry, subject
from chalicelib.audit.store import SEAL_AT_ONCE, AuditStore
from chalicelib.identity.caller import Caller, Origin
from chalicelib.table import Table, as_json, decode
from infra.tables import INDEXES

ENTRIES = 5000
TENANT = "bench"
TARGET_SEALED = 100
"""More than the 58 submissions a second that this machine accepts."""

_SEALS = frozenset({"seq", "previous", "hash"})


def measure() -> list[Figure]:
    with cloud() as running:
        name = json.loads((running.state / "deployment.json").read_bytes())["outputs"]["AuditTable"]
        store = AuditStore(Table(running.boto("dynamodb"), name))
        sealed = _seconds_to_seal(store)
        with Client.connect(api=running.api, token=running.token("root", "ADMIN", TENANT)) as admin:
            began = time.monotonic()
            found = admin.audit.verify()
            verified = time.monotonic() - began
        if found.broken or found.verified.seq != ENTRIES:
            raise AssertionError(f"the log is not whole: {found}")
        at_once, afterwards = _write_units(running, store)
    return [
        Figure(
            "entries written and sealed, by the stream's function",
            ENTRIES / sealed,
            "rows/s",
            TARGET_SEALED,
            more_is_better=True,
        ),
        Figure("rows read and verified by the client", ENTRIES / verified, "rows/s"),
        Figure("write units that a submission waits for, more than without", at_once, "units"),
        Figure("write units to seal its row afterwards, alone", afterwards + 2, "units"),
        Figure("the same, of 49 sealed at once", afterwards + 2 / SEAL_AT_ONCE, "units"),
    ]


def _seconds_to_seal(store: AuditStore) -> float:
    caller = Caller(TENANT, "bench", frozenset({"USER"}), origin=Origin("0" * 36, "192.0.2.1"))
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    items = []
    for number in range(ENTRIES):
        entry = Entry(
            f"{number:036d}",
            moment + timedelta(milliseconds=number),
            caller,
            Action.SUBMIT_JOB,
            subject("job", f"{number:036d}"),
            details={"name": "bench"},
        )
        items.append(decode(store.waiting(entry).arguments["Item"]))
    began = time.monotonic()
    store.table.put_all(items)
    while store.head(TENANT).seq < ENTRIES:
        time.sleep(0.05)
    return time.monotonic() - began


def _write_units(running: Cloud, store: AuditStore) -> tuple[int, int]:
    """Of the transaction that submits, and of the one that seals, its head left out."""
    with running.client() as client:
        job = client.jobs.submit(trivial_request(client))
    while not (
        page := store.table.query(("subject_key", f"default#job/{job.job_id}"), index="by-subject", limit=1)
    ).items:
        continue
    item = page.items[0]
    (row,) = (row for row in store.rows("default", 0, 1000) if row.get("subject") == f"job/{job.job_id}")
    entry = as_json({name: value for name, value in row.items() if name not in _SEALS})
    waiting = {"pk": "inbox#default", "sk": item["listed_at"], "entry": entry}
    entered, sealed = _units(waiting), _units(item)
    return 2 * entered, 2 * entered + 2 * sealed + len(INDEXES["audit"]) * sealed


def _units(item: Mapping[str, Any]) -> int:
    return math.ceil(_bytes(item) / 1024)


def _bytes(value: Any) -> int:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html"""
    match value:
        case Mapping():
            return 3 + sum(len(name.encode()) + _bytes(each) + 1 for name, each in value.items())
        case list():
            return 3 + sum(_bytes(each) + 1 for each in value)
        case str():
            return len(value.encode())
    return 21  # the most that a number takes
