"""`/admin/audit` as API Gateway hands it to the function."""

from __future__ import annotations

from typing import Any, cast

import pytest

from chalicelib.audit.chain import Position, walk
from chalicelib.audit.routes import rooms
from chalicelib.bootstrap import Platform
from tests.functional.audit.conftest import ADMIN, ALICE, STRANGER, Audit
from tests.functional.rest import Gateway, Response


@pytest.fixture
def gateway(audit: Audit) -> Gateway:
    platform = cast("Platform", type("Platform", (), {"audit_log": audit.service}))
    authorizer: Any = None
    return Gateway.of(rooms(platform, authorizer))


def ask(gateway: Gateway, query: str = "", caller: Any = ADMIN) -> Response:
    return gateway.send(caller, "GET", f"/v1/admin/audit{query}")


class TestSearch:
    def test_answers_rows_with_their_seals(self, audit: Audit, gateway: Gateway) -> None:
        audit.sealed(2)
        answer = ask(gateway).json
        assert [row["seq"] for row in answer["rows"]] == [2, 1]
        assert set(answer["rows"][0]) >= {"id", "at", "user", "action", "subject", "outcome", "previous", "hash"}
        assert answer["next_cursor"] is None

    def test_pages(self, audit: Audit, gateway: Gateway) -> None:
        audit.sealed(3)
        first = ask(gateway, "?actor=alice&limit=2").json
        second = ask(gateway, f"?actor=alice&limit=2&cursor={first['next_cursor']}").json
        assert [row["seq"] for row in (*first["rows"], *second["rows"])] == [3, 2, 1]

    def test_takes_a_date_for_its_midnight_and_a_zone(self, audit: Audit, gateway: Gateway) -> None:
        audit.sealed(1)  # at 2026-03-01T12:00:01Z
        for query, found in (
            ("since=2026-03-01", 1),
            ("since=2026-03-02", 0),
            ("until=2026-03-01T14:00:00%2B02:00", 0),
            ("until=2026-03-01T14:00:02%2B02:00", 1),
        ):
            assert len(ask(gateway, f"?{query}").json["rows"]) == found

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("since=yesterday", "since"),
            ("until=2026-13-01", "until"),
            ("since=0001-01-01T00:00:00%2B23:00", "since"),
            ("since=2026-03-02&until=2026-03-01", "until"),
            (f"actor={'x' * 257}", "actor"),
            ("user=alice", "user"),
            ("limit=0", "limit"),
            ("cursor=AAAA", "cursor"),
        ],
    )
    def test_names_what_is_wrong_with_a_question(self, gateway: Gateway, query: str, field: str) -> None:
        answer = ask(gateway, f"?{query}")
        assert (answer.status, answer.json["errors"][0]["field"]) == (400, field)

    @pytest.mark.parametrize("path", ["", "/chain", "/verify"])
    def test_is_for_those_who_may(self, gateway: Gateway, path: str) -> None:
        assert ask(gateway, path, ALICE).status == 403


class TestChain:
    def test_gives_what_is_needed_to_verify_without_trust(self, audit: Audit, gateway: Gateway) -> None:
        audit.sealed(5)
        audit.did()
        rows: list[Any] = []
        cursor = ""
        while True:
            page = ask(gateway, f"/chain?limit=2{cursor}").json
            rows += page["rows"]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert walk(rows).position == Position(**page["head"])
        assert page["waiting"] == 1

    def test_shows_a_row_that_somebody_put_nonsense_into(self, audit: Audit, gateway: Gateway) -> None:
        audit.sealed(1)
        table = audit.store.table
        table.write(table.change("acme", "row#000000000001", {"roles": b"\x00"}))
        rows = ask(gateway, "/chain").json["rows"]
        broken = walk(rows).broken
        assert broken is not None
        assert broken.seq == 1


class TestVerify:
    def test_says_how_far_it_came(self, audit: Audit, gateway: Gateway) -> None:
        rows = audit.sealed(3)
        end = {"seq": 3, "hash": rows[-1]["hash"]}
        assert ask(gateway, "/verify").json == {
            "verified": end,
            "broken": None,
            "head": end,
            "waiting": 0,
            "next_cursor": None,
        }

    def test_names_the_broken_row(self, audit: Audit, gateway: Gateway) -> None:
        audit.sealed(3)
        audit.store.table.write(audit.store.table.delete("acme", "row#000000000002"))
        answer = ask(gateway, "/verify").json
        assert (answer["broken"]["seq"], answer["broken"]["fault"]) == (2, "missing")

    def test_of_an_empty_log_is_good(self, gateway: Gateway) -> None:
        answer = ask(gateway, "/verify", STRANGER).json
        assert (answer["broken"], answer["head"]["seq"]) == (None, 0)

    @pytest.mark.parametrize(
        "key", [{"seq": -1, "hash": "x"}, {"seq": 10**12, "hash": "x"}, {"seq": 1}, {"seq": "1", "hash": "x"}]
    )
    def test_refuses_a_cursor_that_it_never_gave(self, gateway: Gateway, key: dict[str, Any]) -> None:
        from chalicelib.cursor import Cursor

        answer = ask(gateway, f"/verify?cursor={Cursor(key).encode()}")
        assert (answer.status, answer.json["errors"][0]["field"]) == (400, "cursor")
