"""Signatures, against the specification's own example and against whoever forges them."""

from __future__ import annotations

import pytest

from aimatrix.client import NotSigned, verify
from chalicelib.webhooks.signature import headers, key_of, secret_text, sign

# The example of the Standard Webhooks libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE, STAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
OTHER = secret_text(b"o" * 32)


class TestSign:
    def test_gives_what_the_specification_gives(self) -> None:
        assert sign(key_of(SECRET), MESSAGE, STAMP, BODY) == SIGNATURE

    def test_gives_one_signature_for_each_key(self) -> None:
        sent = headers([key_of(OTHER), key_of(SECRET)], MESSAGE, STAMP, BODY)
        assert sent["webhook-signature"].split(" ")[1] == SIGNATURE
        assert (sent["webhook-id"], sent["webhook-timestamp"]) == (MESSAGE, str(STAMP))


class TestVerify:
    SENT = headers([key_of(SECRET)], MESSAGE, STAMP, BODY)

    def test_returns_the_id_of_the_event(self) -> None:
        assert verify(SECRET, self.SENT, BODY, STAMP + 10) == MESSAGE
        assert verify(SECRET, {name.title(): value for name, value in self.SENT.items()}, BODY, STAMP) == MESSAGE

    @pytest.mark.parametrize("secret", [SECRET, OTHER])
    def test_takes_either_key_while_one_follows_the_other(self, secret: str) -> None:
        both = headers([key_of(OTHER), key_of(SECRET)], MESSAGE, STAMP, BODY)
        assert verify(secret, both, BODY, STAMP) == MESSAGE

    @pytest.mark.parametrize(
        ("changes", "body", "now"),
        [
            ({}, BODY + b" ", STAMP),
            ({"webhook-id": "other"}, BODY, STAMP),
            ({"webhook-timestamp": str(STAMP + 1)}, BODY, STAMP),
            ({"webhook-timestamp": ""}, BODY, STAMP),
            ({"webhook-timestamp": "１"}, BODY, STAMP),
            ({"webhook-timestamp": "-1"}, BODY, STAMP),
            ({"webhook-signature": ""}, BODY, STAMP),
            ({"webhook-signature": SIGNATURE[3:]}, BODY, STAMP),
            ({"webhook-signature": "v1a," + SIGNATURE[3:]}, BODY, STAMP),
            ({"webhook-signature": "v1,é"}, BODY, STAMP),
            ({}, BODY, STAMP + 301),
            ({}, BODY, STAMP - 301),
        ],
        ids=range(12),
    )
    def test_refuses_whatever_was_changed(self, changes: dict[str, str], body: bytes, now: float) -> None:
        with pytest.raises(NotSigned):
            verify(SECRET, {**self.SENT, **changes}, body, now)

    def test_refuses_a_stranger(self) -> None:
        with pytest.raises(NotSigned):
            verify(OTHER, self.SENT, BODY, STAMP)
        with pytest.raises(NotSigned):
            verify(SECRET, {}, BODY, STAMP)

    def test_says_what_is_no_secret(self) -> None:
        with pytest.raises(ValueError, match="whsec_"):
            verify("not base64!", self.SENT, BODY, STAMP)
