"""Requests that schemathesis makes of the committed openapi.json: whatever they hold, no answer is a fault."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from tests.e2e.conftest import ROOT, Cloud
from tests.faults import Shows

pytestmark = pytest.mark.e2e

EXAMPLES = 25
"""For each operation; `st run openapi.json` runs as many as one likes."""


class TestEveryOperation:
    @pytest.mark.timeout(600)
    def test_answers_made_up_requests_and_takes_no_field_that_it_does_not_know(
        self, cloud: Cloud, shows: Shows
    ) -> None:
        document: Any = schemathesis
        schema = document.openapi.from_path(ROOT / "openapi.json")
        token = cloud.token("fuzz", "USER", "ADMIN", "MODEL_DEPLOYER", tenant="fuzzed")
        base = cloud.api.removesuffix("/api/v1")
        seen: Counter[str] = Counter()
        wrong: list[str] = []

        def check(case: Any) -> None:
            answer = case.call(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=30)
            seen["requests"] += 1
            said = f"{case.method} {case.path}: {answer.status_code} to {str(case.body)[:200]}"
            if answer.status_code >= 500:
                wrong.append(said)
            # Names are made up, so hardly any field is one that exists.
            if isinstance(case.body, dict) and case.body:
                seen["bodies"] += 1
                if answer.status_code < 400:
                    wrong.append(said)

        operations = [found.ok() for found in schema.get_all_operations()]
        for operation in operations:
            run = given(case=operation.as_strategy())(check)
            slow = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
            # The same requests each time: what a long run finds belongs into a test of its own.
            options = settings(
                max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=slow
            )
            options(run)()
        shows(
            27,
            f"schemathesis: {seen['requests']} requests to {len(operations)} operations, {seen['bodies']} with unknown "
            f"fields, {len(wrong)} accepted or failed",
        )
        assert wrong == []
        assert seen["bodies"] > len(operations) // 4
