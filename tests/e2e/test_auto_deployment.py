"""A model that is good enough is served in staging, and nobody has asked for it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.e2e import scripts
from tests.e2e.conftest import Cloud

pytestmark = pytest.mark.e2e

TRAINS = """
import os
open(os.path.join(os.environ['SM_MODEL_DIR'], 'm.txt'), 'w').write('x')
for name, value in (('accuracy', 0.93), ('precision', 0.91), ('recall', {recall})):
    print(f'{{name}}={{value}}', flush=True)
"""
METRICS = {name: f"{name}=([0-9.]+)" for name in ("accuracy", "precision", "recall")}
ANSWERS = "def model_fn(d):\n    return 1\ndef predict_fn(data, model):\n    return [model for _ in data]\n"


class TestAModelThatBecomesReady:
    def test_is_deployed_to_staging_when_its_metrics_are_above_the_bounds(self, cloud: Cloud, tmp_path: Path) -> None:
        with cloud.client("dora", "USER", "MODEL_DEPLOYER", tenant="auto") as dora:
            more = {"files": {"inference.py": ANSWERS}, "metric_definitions": METRICS}
            poor = scripts.run(dora, tmp_path, TRAINS.format(recall=0.7), name="poor", **more)
            good = scripts.run(dora, tmp_path, TRAINS.format(recall=0.9), name="good", **more)
            assert good.model_id is not None
            assert poor.model_id is not None
            until = time.monotonic() + 60
            while (decision := dora.models.get(good.model_id).document.get("auto_deployment")) is None:
                assert time.monotonic() < until, "nothing was decided"
                time.sleep(0.2)
            assert decision["deployed"] is True, decision
            active = dora.deployments.wait(decision["deployment_id"], timeout=120)
            assert (active.is_active(), active.reference) == (True, "good@staging"), active.failure_reason
            assert dora.deployments.predict(active.id, {"inputs": [[1]]})["predictions"] == [1]
            left = dora.models.get(poor.model_id).document["auto_deployment"]
            assert left["reason"] == "The model stays where it is: its recall is 0.7, not above 0.8."
            dora.deployments.delete(active.id)
            dora.deployments.wait_down(active.id, timeout=120)
