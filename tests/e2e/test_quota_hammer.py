"""Row 13: whoever submits at once, exactly as many get in as the limit says."""

from __future__ import annotations

import pytest

from benchmarks.quota import CLIENTS, hammer
from tests.e2e.conftest import Cloud
from tests.faults import WHOLE, Shows

pytestmark = pytest.mark.e2e
ROUNDS = 5 if WHOLE else 3


class TestHammer:
    @pytest.mark.timeout(600)
    def test_admits_exactly_the_limit_each_time(self, cloud: Cloud, shows: Shows) -> None:
        user, tenant = "hammer", "hammered"
        tokens = cloud.token(user, "USER", tenant=tenant), cloud.token("root", "ADMIN", tenant=tenant)
        with cloud.client(user, tenant=tenant) as client:
            outcome = hammer(client, cloud.api, *tokens, user, ROUNDS)
        shows(
            13,
            f"{outcome.rounds} rounds of {CLIENTS} clients, {outcome.wrong_rounds} wrong, "
            f"{outcome.refusals} refusals, {outcome.differences} differences",
        )
        assert outcome.unexpected == ()
        assert (outcome.wrong_rounds, outcome.differences) == (0, 0)
        assert outcome.refusals == ROUNDS * (CLIENTS - 5)
