from __future__ import annotations

import itertools
import json
import time
from dataclasses import dataclass
from functools import cache

import pytest

from chalicelib.errors import Unauthenticated
from chalicelib.identity.tokens import FIRST_RETRY_INTERVAL, KEYS_LIFETIME, REFETCH_INTERVAL
from tests.faults import Shows
from tests.unit.identity.issuer import Issuer, claims, ec_key, jwk, rsa_key, token


class TestVerify:
    def test_reads_tenant_user_roles_and_permissions(self) -> None:
        caller = Issuer().verifier().verify(token(claims(roles=["USER", "VIEWER"], permissions=["models:deploy"])))
        assert (caller.tenant, caller.user) == ("acme", "ada")
        assert caller.roles == {"USER", "VIEWER"}
        assert caller.granted == {"models:deploy"}

    def test_a_token_without_tenant_is_of_the_default_tenant(self) -> None:
        assert Issuer().verifier().verify(token(claims(tenant=None))).tenant == "default"

    def test_a_token_without_roles_has_none(self) -> None:
        assert Issuer().verifier().verify(token(claims(roles=None))).roles == frozenset()

    def test_takes_a_token_that_is_for_several_audiences(self) -> None:
        assert Issuer().verifier().verify(token(claims(aud=["mail", "aimatrix"]))).user == "ada"

    @pytest.mark.parametrize("user", ["ada@example.com", "auth0|5f7c", "a.b-c_d", "x" * 128, "Ada+test", "..."])
    def test_takes_the_names_that_identity_providers_give(self, user: str) -> None:
        assert Issuer().verifier().verify(token(claims(sub=user))).user == user

    @pytest.mark.parametrize("seconds", [-29, 29])
    def test_forgives_clocks_that_differ_by_less_than_half_a_minute(self, seconds: int) -> None:
        now = int(time.time())
        assert Issuer().verifier().verify(token(claims(exp=now - 25, nbf=now + 25))).user == "ada"

    def test_says_why_for_the_log(self) -> None:
        with pytest.raises(Unauthenticated) as raised:
            Issuer().verifier().verify(token(claims(exp=1)))
        assert "expired" in raised.value.detail


class TestRotation:
    def test_a_new_key_is_found_after_a_minute_at_the_latest(self) -> None:
        issuer = Issuer()
        verifier = issuer.verifier()
        verifier.verify(token())
        issuer.keys.append(jwk(rsa_key("second"), "second"))
        issuer.now += REFETCH_INTERVAL
        assert verifier.verify(token(key=rsa_key("second"), kid="second")).user == "ada"

    def test_both_keys_are_good_while_they_overlap(self) -> None:
        issuer = Issuer(keys=[jwk(rsa_key(), "first"), jwk(rsa_key("second"), "second")])
        verifier = issuer.verifier()
        for round_ in range(50):
            issuer.now += 30 * round_
            assert verifier.verify(token()).user == "ada"
            assert verifier.verify(token(key=rsa_key("second"), kid="second")).user == "ada"

    def test_a_key_that_is_no_longer_published_is_refused_once_the_cache_is_old(self) -> None:
        issuer = Issuer(keys=[jwk(rsa_key(), "first"), jwk(rsa_key("second"), "second")])
        verifier = issuer.verifier()
        verifier.verify(token())
        issuer.keys.pop(0)
        assert verifier.verify(token()).user == "ada"
        issuer.now += KEYS_LIFETIME + 1
        with pytest.raises(Unauthenticated):
            verifier.verify(token())

    def test_a_key_that_changes_under_its_id_is_taken_over(self) -> None:
        issuer = Issuer()
        verifier = issuer.verifier()
        verifier.verify(token())
        issuer.keys[:] = [jwk(rsa_key("second"), "first")]
        issuer.now += KEYS_LIFETIME + 1
        assert verifier.verify(token(key=rsa_key("second"))).user == "ada"
        with pytest.raises(Unauthenticated):
            verifier.verify(token())


class TestOutage:
    @pytest.mark.parametrize(
        "answer",
        [
            OSError("down"),
            TimeoutError("slow"),
            b"",
            b"<html>",
            b"null",
            b"[]",
            b"{}",
            b'{"keys": null}',
            b'{"keys": {}}',
            b'{"keys": []}',
            b'{"keys": [null, 1, "x", {}]}',
            b"[" * 100_000,
            b"\xff\xfe",
        ],
    )
    def test_the_last_good_keys_go_on(self, answer: bytes | Exception) -> None:
        issuer = Issuer()
        verifier = issuer.verifier()
        verifier.verify(token())
        issuer.answer = answer
        for _ in range(100):
            issuer.now += KEYS_LIFETIME
            assert verifier.verify(token()).user == "ada"

    def test_asks_at_most_once_a_minute_while_the_issuer_is_away(self) -> None:
        issuer = Issuer()
        verifier = issuer.verifier()
        verifier.verify(token())
        issuer.now += KEYS_LIFETIME + 1
        issuer.answer = OSError("down")
        issuer.fetched.clear()
        for _ in range(600):
            issuer.now += 0.5
            verifier.verify(token())
        assert len(issuer.fetched) <= 5 + 1

    def test_one_bad_key_does_not_spoil_the_others(self) -> None:
        broken = [
            {"kty": "RSA", "kid": "bad"},
            {"kty": "RSA", "kid": "worse", "n": 1, "e": []},
            {"kty": "oct", "kid": "x"},
        ]
        issuer = Issuer(keys=[*broken, None, {"kid": 7}, jwk(rsa_key(), "first")])
        assert issuer.verifier().verify(token()).user == "ada"

    def test_a_process_without_any_keys_asks_every_five_seconds_whatever_comes_in(self) -> None:
        issuer = Issuer(answer=OSError("down"))
        verifier = issuer.verifier()
        for _ in range(1000):
            issuer.now += 0.06
            with pytest.raises(Unauthenticated):
                verifier.verify(token())
        assert len(issuer.fetched) <= 60 / FIRST_RETRY_INTERVAL + 1

    def test_a_process_without_any_keys_recovers_within_five_seconds(self) -> None:
        issuer = Issuer(answer=OSError("down"))
        verifier = issuer.verifier()
        with pytest.raises(Unauthenticated):
            verifier.verify(token())
        issuer.answer = None
        issuer.now += FIRST_RETRY_INTERVAL
        assert verifier.verify(token()).user == "ada"


@dataclass
class Remembering:
    """What all processes share."""

    document: bytes | None = None
    saved: int = 0

    def load(self) -> bytes | None:
        return self.document

    def save(self, document: bytes) -> None:
        self.saved += 1
        self.document = document


class TestMemory:
    def test_lets_a_process_that_starts_during_an_outage_know_the_last_good_keys(self) -> None:
        memory = Remembering()
        Issuer(memory=memory).verifier().verify(token())
        away = Issuer(answer=OSError("down"), memory=memory)
        verifier = away.verifier()
        for _ in range(100):
            away.now += 1
            assert verifier.verify(token()).user == "ada"
        assert len(away.fetched) <= 100 / FIRST_RETRY_INTERVAL + 1

    def test_gives_way_to_the_issuer_as_soon_as_it_is_back(self) -> None:
        issuer = Issuer(
            answer=OSError("down"), memory=Remembering(json.dumps({"keys": [jwk(rsa_key(), "first")]}).encode())
        )
        verifier = issuer.verifier()
        verifier.verify(token())
        issuer.answer, issuer.keys = None, [jwk(rsa_key("second"), "second")]
        issuer.now += FIRST_RETRY_INTERVAL
        assert verifier.verify(token(key=rsa_key("second"), kid="second")).user == "ada"
        with pytest.raises(Unauthenticated):
            verifier.verify(token())

    @pytest.mark.parametrize("document", [None, b"", b"nonsense", b"[]"])
    def test_that_holds_nothing_lets_nobody_in(self, document: bytes | None) -> None:
        with pytest.raises(Unauthenticated):
            Issuer(answer=OSError("down"), memory=Remembering(document)).verifier().verify(token())

    @pytest.mark.parametrize("answer", [b"", b"<html>", b'{"keys": []}'])
    def test_keeps_nothing_that_is_no_use(self, answer: bytes) -> None:
        memory = Remembering()
        with pytest.raises(Unauthenticated):
            Issuer(answer=answer, memory=memory).verifier().verify(token())
        assert memory.saved == 0

    def test_is_written_once_a_fetch(self) -> None:
        issuer = Issuer(memory=Remembering())
        verifier = issuer.verifier()
        for _ in range(100):
            verifier.verify(token())
        assert isinstance(issuer.memory, Remembering)
        assert issuer.memory.saved == 1


class TestADayInTheLifeOfAnIssuer:
    def test_refuses_no_honest_caller_and_asks_at_most_once_a_minute(self, shows: Shows) -> None:
        """A new key every hour, published a minute before its use; an outage in every third hour; strangers all the time."""
        issuer = Issuer(keys=[jwk(rsa_key("0"), "0")])
        verifier = issuer.verifier()
        refused, asked, fetched_at = 0, 0, []
        for second in range(24 * 3600 // 15):
            issuer.now += 15
            hour, left = divmod(second * 15, 3600)
            name = str(hour % 4)
            if left == 3600 - 75:
                coming = str((hour + 1) % 4)
                issuer.keys = [jwk(rsa_key(name), name), jwk(rsa_key(coming), coming)]
            issuer.answer = OSError("down") if hour % 3 == 2 and 600 <= left < 3000 else None
            before = len(issuer.fetched)
            for honest in (True, False):
                asked += honest
                try:
                    verifier.verify(signed(name) if honest else token(kid=f"made-up-{second}"))
                except Unauthenticated:
                    refused += honest
            fetched_at += [issuer.now] * (len(issuer.fetched) - before)
        closest = min(later - earlier for earlier, later in itertools.pairwise(fetched_at))
        shows(25, f"{asked} honest tokens over a day, {refused} refused; fetches at least {closest:.0f} s apart")
        assert refused == 0
        assert closest >= REFETCH_INTERVAL


@cache
def signed(name: str) -> str:
    return token(claims(exp=2**40), key=rsa_key(name), kid=name)


class TestFlood:
    def test_made_up_key_ids_cause_at_most_one_fetch_a_minute(self) -> None:
        issuer = Issuer()
        keys = issuer.key_set()
        minutes = 10
        for number in range(minutes * 600):
            issuer.now += 0.1
            assert keys.key(f"made-up-{number}") is None
        assert len(issuer.fetched) <= minutes + 1

    def test_honest_tokens_pass_in_the_middle_of_it(self) -> None:
        issuer = Issuer(keys=[jwk(rsa_key(), "first"), jwk(ec_key(), "curve")])
        verifier = issuer.verifier()
        honest = [token(), token(key=ec_key(), algorithm="ES256", kid="curve")]
        for number in range(200):
            issuer.now += 1
            with pytest.raises(Unauthenticated):
                verifier.verify(token(kid=f"made-up-{number}"))
            assert verifier.verify(honest[number % 2]).user == "ada"
