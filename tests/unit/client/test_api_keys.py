from __future__ import annotations

import httpx
import pytest

from aimatrix.client import NotAuthenticatedError, NotFoundError, UnreachableError
from tests.unit.client.fake_service import KEY, FakeService, Fault, api_key_document, client_of


class TestApiKeys:
    def test_are_made_with_what_was_said(self) -> None:
        service = FakeService()

        made = client_of(service).api_keys.create("ci", ["jobs:read", "models:read"], expires_in_days=7)

        assert service.bodies("POST", "/api-keys") == [
            {"name": "ci", "scopes": ["jobs:read", "models:read"], "expires_in_days": 7}
        ]
        assert (made.text, made.key.scopes) == (KEY, ("jobs:read", "models:read"))

    def test_do_not_show_by_accident(self) -> None:
        made = client_of(FakeService()).api_keys.create("ci", ["jobs:read"])

        assert KEY not in f"{made!r} {made.key.document}"

    def test_are_made_once_when_the_answer_was_lost(self) -> None:
        service = FakeService(faults=[Fault("POST", "api-keys", httpx.ReadError("reset"), handled=True)])

        with pytest.raises(UnreachableError):
            client_of(service).api_keys.create("ci", ["jobs:read"])
        assert len(service.api_keys) == 1

    def test_are_listed_to_the_last_page(self) -> None:
        service = FakeService(api_keys=[api_key_document(f"k{number}") for number in range(5)])

        listed = client_of(service).api_keys.list(user_id="alice")

        assert [key.key_id for key in listed] == [f"k{number}" for number in range(5)]
        assert service.requests[0].url.params["user_id"] == "alice"

    def test_are_revoked(self) -> None:
        service = FakeService(api_keys=[api_key_document("k1")])
        client = client_of(service)

        client.api_keys.revoke("k1")

        assert client.api_keys.get("k1").status == "revoked"
        with pytest.raises(NotFoundError):
            client.api_keys.revoke("k2")


class TestKeyInPlaceOfAToken:
    def test_is_sent_alone(self) -> None:
        service = FakeService(api_keys=[api_key_document("k1")])

        client_of(service, key=KEY).api_keys.get("k1")

        assert service.requests[0].headers["x-api-key"] == KEY
        assert "authorization" not in service.requests[0].headers

    def test_that_is_refused_is_not_tried_again(self) -> None:
        service = FakeService()

        with pytest.raises(NotAuthenticatedError):
            client_of(service, key="aimx_revoked").api_keys.get("k1")
        assert len(service.requests) == 1
