"""From the inbox into the chain: once, in order, whoever calls and how often."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.audit.chain import START, Position, walk
from chalicelib.audit.sealing import MAX_SECONDS, Sealing
from chalicelib.audit.store import SEAL_AT_ONCE, AuditStore, HeadMoved, Waiting
from chalicelib.audit.tasks import SealingFailed, chain_audit
from chalicelib.bootstrap import Platform
from chalicelib.table import ConditionFailed
from tests.functional.audit.conftest import ALICE, STRANGER, Audit


@dataclass(frozen=True)
class Overtaken(AuditStore):
    """Between reading the inbox and sealing, the other sealing function comes first: `times` times."""

    times: list[int] = field(default_factory=lambda: [1])

    def seal(self, tenant: str, head: Position, waiting: Any) -> Position:
        if self.times:
            self.times.pop()
            AuditStore(self.table).seal(tenant, head, waiting)
        return super().seal(tenant, head, waiting)


def event(*tenants: str) -> dict[str, Any]:
    """What the stream sends: see infra/streams.py for what it leaves out."""
    return {
        "Records": [{"dynamodb": {"Keys": {"pk": {"S": f"inbox#{tenant}"}, "sk": {"S": "x"}}}} for tenant in tenants]
    }


def call(audit: Audit, *tenants: str, sealing: Sealing | None = None) -> None:
    platform = cast("Platform", type("Platform", (), {"audit_sealing": sealing or audit.sealing}))
    chain_audit(platform, event(*tenants))


class TestSealing:
    def test_takes_entries_out_of_the_inbox_oldest_first(self, audit: Audit) -> None:
        for about in ("a", "b", "c"):
            audit.did(about=about)
        sealed = audit.sealing.seal("acme")
        rows = audit.rows()
        assert [row["subject"] for row in rows] == ["job/a", "job/b", "job/c"]
        assert (sealed.rows, sealed.head) == (3, Position(3, rows[-1]["hash"]))
        assert walk(rows).position == audit.store.head("acme") == sealed.head
        assert audit.store.inbox("acme", 10) == []

    def test_keeps_every_field_as_it_was_written(self, audit: Audit) -> None:
        audit.did()
        audit.was_refused()
        written = [each.row for each in audit.store.inbox("acme", 10)]
        audit.sealing.seal("acme")
        added = {"seq", "previous", "hash"}
        assert [{name: row[name] for name in row if name not in added} for row in audit.rows()] == written

    def test_goes_on_where_the_chain_ends(self, audit: Audit) -> None:
        audit.sealed(2)
        rows = audit.sealed(3)
        assert [row["seq"] for row in rows] == [1, 2, 3, 4, 5]
        assert walk(rows).broken is None

    def test_seals_more_than_fit_into_a_transaction(self, audit: Audit) -> None:
        rows = audit.sealed(SEAL_AT_ONCE + 2)
        assert len(rows) == SEAL_AT_ONCE + 2
        assert walk(rows).broken is None

    def test_twice_changes_nothing(self, audit: Audit) -> None:
        rows = audit.sealed(3)
        assert audit.sealing.seal("acme").rows == 0
        assert audit.rows() == rows

    @pytest.mark.parametrize("times", [1, 2])
    def test_of_two_at_a_time_seals_each_entry_once(self, audit: Audit, times: int) -> None:
        audit.did(times=3)
        sealed = replace(audit.sealing, store=Overtaken(audit.store.table, [1] * times)).seal("acme")
        rows = audit.rows()
        assert [row["seq"] for row in rows] == [1, 2, 3]
        assert walk(rows).position == sealed.head == audit.store.head("acme")

    def test_late_with_what_it_read_seals_nothing(self, audit: Audit) -> None:
        audit.did(times=2)
        waiting = audit.store.inbox("acme", 10)
        audit.sealing.seal("acme")
        for head in (START, Position(1, "f" * 64)):
            with pytest.raises(HeadMoved):
                audit.store.seal("acme", head, waiting)
        assert len(audit.rows()) == 2

    def test_stops_at_a_row_beyond_the_head_rather_than_write_over_it(self, audit: Audit) -> None:
        audit.sealed(2)
        forged = {"pk": "acme", "sk": "row#000000000003", "hash": "x"}
        audit.store.table.write(audit.store.table.put(forged))
        audit.did()
        with pytest.raises(ConditionFailed):
            audit.sealing.seal("acme")
        assert audit.broken() == (3, "altered")
        assert len(audit.store.inbox("acme", 10)) == 1

    @pytest.mark.parametrize("text", [None, "", "{", "[]", "1", '"x"', "{}", '{"id": 1}'])
    def test_of_an_entry_that_nobody_of_ours_wrote_holds_up_no_other(self, audit: Audit, text: str | None) -> None:
        item = {"pk": "inbox#acme", "sk": "2026-01-01T00:00:00.000Z#e-0", "entry": text}
        audit.store.table.write(audit.store.table.put(item))
        rows = audit.sealed(1)
        assert [row["action"] for row in rows] == ["unreadable", "submit_job"]
        assert audit.broken() is None

    def test_of_an_entry_that_names_another_tenant_stays_with_the_inbox(self, audit: Audit) -> None:
        audit.did(STRANGER)
        (entry,) = audit.store.inbox("umbrella", 10)
        audit.store.table.write(
            audit.store.table.put(
                {"pk": "inbox#acme", "sk": entry.sk, "entry": '{"id":"1","at":"2","tenant":"umbrella"}'}
            )
        )
        audit.sealing.seal("acme")
        assert [row["tenant"] for row in audit.rows()] == ["acme"]

    @settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(steps=st.lists(st.sampled_from(["write", "seal", "read", "late"]), max_size=12))
    def test_in_any_order_of_steps_leaves_one_chain_of_all_entries(self, audit: Audit, steps: list[str]) -> None:
        """Two sealing functions: one runs whole (`seal`), the other reads and writes apart (`read`, `late`)."""
        before, written = len(audit.rows()), 0
        held: tuple[Position, list[Waiting]] | None = None
        for step in steps:
            if step == "write":
                audit.did()
                written += 1
            elif step == "seal":
                audit.sealing.seal("acme")
            elif step == "read":
                held = audit.store.head("acme"), audit.store.inbox("acme", SEAL_AT_ONCE)
            elif held and held[1]:
                try:
                    audit.store.seal("acme", *held)
                except HeadMoved:
                    held = None
        audit.sealing.seal("acme")
        rows = audit.rows()
        assert len(rows) == before + written
        assert len({row["id"] for row in rows}) == len(rows)
        assert walk(rows).position == audit.store.head("acme")


class TestFunction:
    def test_seals_for_every_tenant_that_is_named(self, audit: Audit) -> None:
        audit.did(times=2)
        audit.did(STRANGER)
        call(audit, "acme", "umbrella", "acme")
        assert (len(audit.rows("acme")), len(audit.rows("umbrella"))) == (2, 1)

    def test_called_again_or_for_nobody_changes_nothing(self, audit: Audit) -> None:
        audit.did()
        for _ in range(3):
            call(audit, "acme", "nobody")
        assert len(audit.rows("acme")) == 1

    def test_seals_what_an_event_that_was_lost_had_been_about(self, audit: Audit) -> None:
        audit.did(times=2)
        audit.did()
        call(audit, "acme")
        assert len(audit.rows()) == 3

    def test_fails_for_one_tenant_and_seals_for_the_next(self, audit: Audit) -> None:
        audit.did(ALICE)
        audit.did(STRANGER)
        audit.store.table.write(audit.store.table.put({"pk": "acme", "sk": "row#000000000001"}))
        with pytest.raises(SealingFailed, match="acme"):
            call(audit, "acme", "umbrella")
        assert len(audit.rows("umbrella")) == 1

    def test_fails_with_what_there_was_no_time_for_and_goes_on_when_called_again(self, audit: Audit) -> None:
        audit.did(times=SEAL_AT_ONCE + 1)
        seconds = iter([0.0, 0.0, MAX_SECONDS + 1])
        with pytest.raises(SealingFailed):
            call(audit, "acme", sealing=replace(audit.sealing, monotonic=lambda: next(seconds)))
        assert len(audit.rows()) == SEAL_AT_ONCE
        call(audit, "acme")
        assert len(audit.rows()) == SEAL_AT_ONCE + 1

    def test_fails_while_the_table_can_not_be_reached(self, audit: Audit) -> None:
        gone = replace(audit.store, table=replace(audit.store.table, name="gone"))
        with pytest.raises(SealingFailed):
            call(audit, "acme", sealing=replace(audit.sealing, store=gone))
