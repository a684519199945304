"""Sealing and verifying, without a store."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.audit.chain import GENESIS, START, Break, Fault, Position, Walk, digest, ended, seal, walk

texts = st.text(max_size=20)
rows = st.fixed_dictionaries(
    {"id": st.uuids().map(str), "user": texts, "action": texts},
    optional={"roles": st.lists(texts, max_size=3), "details": st.dictionaries(texts, texts, max_size=3)},
)
logs = st.lists(rows, min_size=2, max_size=12, unique_by=lambda row: str(row["id"]))

Chain = list[dict[str, Any]]


def chained(entries: Chain) -> Chain:
    found: Chain = []
    at = START
    for entry in entries:
        row = seal(entry, at)
        at = Position(row["seq"], row["hash"])
        found.append(row)
    return found


def head_of(chain: Chain) -> Position:
    return Position(chain[-1]["seq"], chain[-1]["hash"]) if chain else START


def verified(chain: Chain, head: Position) -> Walk:
    return ended(walk(chain), head)


class TestSeal:
    def test_numbers_rows_from_one_and_begins_with_zeros(self) -> None:
        first, second = chained([{"id": "a"}, {"id": "b"}])
        assert (first["seq"], first["previous"]) == (1, GENESIS)
        assert (second["seq"], second["previous"]) == (2, first["hash"])

    def test_is_the_same_for_ever(self) -> None:
        # sha256sum: {"details":{"a":"\r\n","b":"2"},"id":"1","previous":"000…","roles":["USER"],"seq":1,"user":"zo\u00eb"}
        row = {"id": "1", "user": "zoë", "details": {"b": "2", "a": "\r\n"}, "roles": ["USER"]}
        assert seal(row, START)["hash"] == "92ea9f37c12bacc0254b234ba37a7dc6d1bb94b8f31487bf3250b168f084eb2a"

    @given(entry=rows)
    def test_is_the_same_after_a_journey_as_json_whatever_the_order_of_names(self, entry: dict[str, Any]) -> None:
        sealed = seal(entry, START)
        back = json.loads(json.dumps(dict(reversed(sealed.items())), ensure_ascii=False))
        assert digest(back) == sealed["hash"]

    @given(one=rows, other=rows)
    def test_differs_where_rows_differ(self, one: dict[str, Any], other: dict[str, Any]) -> None:
        assert (digest(one) == digest(other)) == (one == other)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({"user": 'a","action":"b'}, {"user": "a", "action": "b"}),
            ({"user": "a\nb"}, {"user": "a\\nb"}),
            ({"user": "a\r\nb"}, {"user": "a\nb"}),
            ({"user": "\u00e9"}, {"user": "e\u0301"}),
            ({"user": "\\u0041"}, {"user": "A"}),
            ({"roles": ["a", "b"]}, {"roles": ["a,b"]}),
            ({"user": "1"}, {"user": 1}),
            ({"user": ""}, {}),
        ],
    )
    def test_can_not_be_confused_by_what_looks_alike(self, one: dict[str, Any], other: dict[str, Any]) -> None:
        assert digest(one) != digest(other)

    def test_finds_a_hash_for_what_no_row_of_ours_holds(self) -> None:
        assert digest({"user": b"\x00"}) != digest({"user": "\x00"})


class TestWalk:
    @given(entries=logs)
    def test_is_satisfied_with_what_was_sealed(self, entries: Chain) -> None:
        chain = chained(entries)
        assert verified(chain, head_of(chain)) == Walk(head_of(chain))

    def test_of_an_empty_log_is_good(self) -> None:
        assert verified([], START) == Walk(START)

    @given(entries=logs, data=st.data())
    def test_finds_a_removed_row(self, entries: Chain, data: st.DataObject) -> None:
        chain = chained(entries)
        gone = data.draw(st.integers(1, len(chain)))
        broken = verified(chain[: gone - 1] + chain[gone:], head_of(chain)).broken
        assert broken is not None
        assert (broken.seq, broken.fault) == (gone, Fault.MISSING)

    @given(entries=logs, data=st.data(), value=texts)
    def test_finds_an_altered_row(self, entries: Chain, data: st.DataObject, value: str) -> None:
        chain = chained(entries)
        row = data.draw(st.sampled_from(chain))
        name = data.draw(st.sampled_from([name for name in row if name != "seq"]))
        if row[name] == value:
            value += "!"
        chain[row["seq"] - 1] = {**row, name: value}
        assert verified(chain, head_of(chained(entries))).broken == _altered(row["seq"])

    @given(entries=logs, data=st.data())
    def test_finds_a_row_that_was_altered_and_hashed_again(self, entries: Chain, data: st.DataObject) -> None:
        chain = chained(entries)
        row = data.draw(st.sampled_from(chain))
        forged = {**row, "user": row["user"] + "!"}
        chain[row["seq"] - 1] = {**forged, "hash": digest(forged)}
        broken = verified(chain, head_of(chained(entries))).broken
        assert broken is not None
        assert (broken.seq, broken.fault) == (row["seq"], Fault.ALTERED)

    @given(entries=logs, data=st.data())
    def test_finds_two_rows_that_changed_places(self, entries: Chain, data: st.DataObject) -> None:
        chain = chained(entries)
        one, other = sorted(
            data.draw(st.lists(st.sampled_from(range(len(chain))), min_size=2, max_size=2, unique=True))
        )
        chain[one], chain[other] = chain[other], chain[one]
        broken = verified(chain, head_of(chained(entries))).broken
        assert broken is not None
        assert broken.seq == one + 1

    @given(entries=logs, data=st.data())
    def test_finds_two_rows_that_changed_what_they_say(self, entries: Chain, data: st.DataObject) -> None:
        chain = chained(entries)
        one, other = sorted(
            data.draw(st.lists(st.sampled_from(range(len(chain))), min_size=2, max_size=2, unique=True))
        )
        numbers = chain[one]["seq"], chain[other]["seq"]
        chain[one], chain[other] = {**chain[other], "seq": numbers[0]}, {**chain[one], "seq": numbers[1]}
        assert verified(chain, head_of(chained(entries))).broken == _altered(one + 1)

    @given(entries=logs, data=st.data(), entry=rows)
    def test_finds_a_row_put_between(self, entries: Chain, data: st.DataObject, entry: dict[str, Any]) -> None:
        chain = chained(entries)
        place = data.draw(st.integers(0, len(chain) - 1))
        forged = seal(entry, head_of(chain[:place]))
        broken = verified([*chain[:place], forged, *chain[place:]], head_of(chain)).broken
        assert broken is not None
        assert broken.seq in {place + 1, place + 2}

    @given(entries=logs, entry=rows)
    def test_finds_a_row_put_behind_the_end(self, entries: Chain, entry: dict[str, Any]) -> None:
        chain = chained(entries)
        broken = verified([*chain, seal(entry, head_of(chain))], head_of(chain)).broken
        assert broken is not None
        assert (broken.seq, broken.fault) == (len(chain) + 1, Fault.SURPLUS)

    @given(entries=logs, data=st.data())
    def test_goes_on_from_a_place_as_if_it_had_not_stopped(self, entries: Chain, data: st.DataObject) -> None:
        chain = chained(entries)
        place = data.draw(st.integers(0, len(chain)))
        first = walk(chain[:place])
        assert walk(chain[place:], first.position) == walk(chain)

    def test_from_a_place_that_never_was_names_the_row_there(self) -> None:
        chain = chained([{"id": "a"}, {"id": "b"}])
        broken = walk(chain[1:], Position(1, "f" * 64)).broken
        assert broken is not None
        assert (broken.seq, broken.fault) == (1, Fault.ALTERED)


class TestEnd:
    @pytest.mark.parametrize(
        ("head", "fault", "seq"),
        [
            (lambda chain: Position(5, "f" * 64), Fault.MISSING, 3),
            (lambda chain: Position(2, "f" * 64), Fault.ALTERED, 2),
            (lambda chain: Position(1, chain[0]["hash"]), Fault.SURPLUS, 2),
            (lambda chain: START, Fault.SURPLUS, 1),
        ],
    )
    def test_must_be_the_one_that_is_kept(self, head: Callable[[Chain], Position], fault: Fault, seq: int) -> None:
        chain = chained([{"id": "a"}, {"id": "b"}])
        broken = verified(chain, head(chain)).broken
        assert broken is not None
        assert (broken.fault, broken.seq) == (fault, seq)

    def test_says_which_rows_are_missing(self) -> None:
        chain = chained([{"id": name} for name in "abcde"])
        broken = verified(chain[:2], head_of(chain)).broken
        assert broken == Break(3, Fault.MISSING, "Rows 3 to 5 are missing.")


class TestNote:
    @given(entries=logs, data=st.data())
    def test_of_a_place_in_the_chain_is_found_again(self, entries: Chain, data: st.DataObject) -> None:
        chain = chained(entries)
        noted = head_of(chain[: data.draw(st.integers(1, len(chain)))])
        assert ended(walk(chain, noted=noted), head_of(chain), noted).broken is None

    @given(entries=logs, data=st.data())
    def test_tells_a_chain_that_was_written_anew(self, entries: Chain, data: st.DataObject) -> None:
        noted = head_of(chained(entries))
        forged = data.draw(st.integers(0, len(entries) - 1))
        anew = chained([*entries[:forged], {**entries[forged], "user": "somebody else"}, *entries[forged + 1 :]])
        if head_of(anew) != noted:
            broken = ended(walk(anew, noted=noted), head_of(anew), noted).broken
            assert broken == Break(
                noted.seq,
                Fault.REPLACED,
                f"Row {noted.seq} is whole, and not the one that was noted: the log was written anew.",
            )

    def test_tells_a_chain_that_was_cut_off_together_with_its_head(self) -> None:
        chain = chained([{"id": name} for name in "abc"])
        noted, cut = head_of(chain), chain[:1]
        broken = ended(walk(cut, noted=noted), head_of(cut), noted).broken
        assert broken == Break(2, Fault.MISSING, "Rows 2 to 3 are missing.")


def _altered(seq: int) -> Break:
    return Break(seq, Fault.ALTERED, f"What row {seq} says is not what was sealed.")
