"""Receipts are believed when they are as the service signed them; usage comes page by page."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from aimatrix.client import NotFoundError, Receipt
from tests.unit.client.fake_service import JOB_ID, Clock, FakeService, Fault, client_of, problem
from tests.unit.client.sealed import contents, pem, sealed


class TestAskedFor:
    SEALING = problem(404, "not-there-yet", "it is being sealed", reason="being-sealed")

    def test_a_receipt_that_is_being_sealed_is_waited_for(self) -> None:
        service = FakeService(receipts={JOB_ID: sealed(contents())})
        service.faults = [Fault("GET", "/receipt", self.SEALING) for _ in range(3)]
        clock = Clock()
        assert client_of(service, clock).costs.receipt(JOB_ID).contents == contents()
        assert len(clock.sleeps) == 3

    def test_a_receipt_is_not_waited_for_longer_than_asked(self) -> None:
        service = FakeService(faults=[Fault("GET", "/receipt", self.SEALING) for _ in range(3)])
        with pytest.raises(NotFoundError, match="being sealed"):
            client_of(service).costs.receipt(JOB_ID, timeout=0)
        assert len(service.faults) == 2

    def test_a_receipt_of_a_job_that_runs_is_not_waited_for(self) -> None:
        runs = problem(404, "not-there-yet", "the job is running", reason="job-not-finished")
        service = FakeService(faults=[Fault("GET", "/receipt", runs) for _ in range(2)])
        with pytest.raises(NotFoundError, match="the job is running"):
            client_of(service).costs.receipt(JOB_ID)
        assert len(service.faults) == 1


class TestReceipt:
    def test_as_signed_is_valid(self) -> None:
        assert Receipt.from_document(sealed(contents())).problems(pem()) == []

    def test_is_valid_whatever_the_order_of_its_fields(self) -> None:
        document = sealed(contents())
        shuffled = {**document, "receipt": dict(reversed(document["receipt"].items()))}
        assert Receipt.from_document(shuffled).problems(pem()) == []

    @pytest.mark.parametrize(
        "change",
        [
            {"job_id": "j-2"},
            {"user_id": "bob"},
            {"attempts": []},
            {"totals": {**contents()["totals"], "total_usd": "0.000001"}},
            {"added": "field"},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_that_was_altered_is_not(self, change: dict[str, Any]) -> None:
        document = sealed(contents())
        altered = {**document, "receipt": {**document["receipt"], **change}}
        assert "signature" in Receipt.from_document(altered).problems(pem())[0]

    def test_of_another_key_is_not(self) -> None:
        other = ec.generate_private_key(ec.SECP256R1())
        assert Receipt.from_document(sealed(contents(), other)).problems(pem())

    def test_with_a_broken_signature_is_not(self) -> None:
        document = sealed(contents())
        for value in ("", "%%%", document["signature"]["value"][:-8]):
            broken = {**document, "signature": {**document["signature"], "value": value}}
            assert Receipt.from_document(broken).problems(pem())

    def test_that_says_it_is_not_signed_is_not(self) -> None:
        document = sealed(contents())
        unsigned = {**document, "signature": {**document["signature"], "algorithm": "none"}}
        assert Receipt.from_document(unsigned).problems(pem()) == ["it is signed with none, not ECDSA_SHA_256"]

    def test_that_does_not_add_up_is_not_even_if_it_is_signed(self) -> None:
        totals = {**contents()["totals"], "instances_usd": "9"}
        problems = Receipt.from_document(sealed(contents(totals=totals))).problems(pem())
        assert problems == ["instances_usd is 9, but its lines come to 0.001917"]

    def test_is_not_checked_with_a_key_of_another_kind(self) -> None:
        with pytest.raises(ValueError, match="P-256"):
            Receipt.from_document(sealed(contents())).problems(pem(ec.generate_private_key(ec.SECP384R1())))

    def test_is_no_other_document(self) -> None:
        documents: list[dict[str, Any]] = [{}, {"receipt": {}, "signature": {}}, {"receipt": [], "signature": {}}]
        for document in documents:
            with pytest.raises(ValueError, match="no receipt"):
                Receipt.from_document(document)


class TestCostCalls:
    def test_fetch_usage_page_by_page(self) -> None:
        service = FakeService(usage=[{"job_id": f"j-{number}"} for number in range(5)])
        rows = list(client_of(service).costs.usage("2031-05", user_id="bob"))
        assert [row["job_id"] for row in rows] == [f"j-{number}" for number in range(5)]
        first = service.requests[0].url.params
        assert (first["month"], first["user_id"]) == ("2031-05", "bob")

    def test_fetch_csv_with_one_header(self) -> None:
        service = FakeService(usage=[{"job_id": f"j-{number}"} for number in range(5)])
        text = "".join(client_of(service).costs.usage_csv())
        assert text.split() == ["job_id", "j-0", "j-1", "j-2", "j-3", "j-4"]
