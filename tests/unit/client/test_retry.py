from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimatrix.client.retry import RetryPolicy, retry_after_seconds
from tests.unit.client.fake_service import seeded

NOW = datetime(2031, 5, 1, 10, 0, tzinfo=UTC)


class TestDelay:
    @given(attempt=st.integers(1, 30), seed=st.integers())
    def test_lies_between_nothing_and_the_cap(self, attempt: int, seed: int) -> None:
        delay = RetryPolicy(attempts=31, base=0.5, cap=8).delay(attempt, None, seeded(seed))

        assert delay is not None
        assert 0 <= delay <= min(8, 0.5 * 2 ** (attempt - 1))

    def test_gives_up_after_the_last_attempt(self) -> None:
        assert RetryPolicy(attempts=3).delay(3, None, seeded(1)) is None

    def test_never_comes_back_before_the_service_allows(self) -> None:
        delay = RetryPolicy().delay(1, 5.0, seeded(1))

        assert delay is not None
        assert delay >= 5.0

    def test_gives_up_rather_than_wait_beyond_the_cap(self) -> None:
        assert RetryPolicy(cap=20).delay(1, 3600.0, seeded(1)) is None


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("7", 7.0),
            ("Thu, 01 May 2031 10:00:30 GMT", 30.0),
            ("Thu, 01 May 2031 09:00:00 GMT", 0.0),
            ("", None),
            ("soon", None),
            ("-3", None),
            ("٣", None),
        ],
    )
    def test_reads_seconds_and_dates_and_nothing_else(self, value: str, seconds: float | None) -> None:
        assert retry_after_seconds({"retry-after": value}, NOW) == seconds

    def test_is_none_without_the_header(self) -> None:
        assert retry_after_seconds({}, NOW) is None
