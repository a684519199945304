"""What registering and deprecating leave in the audit log."""

from __future__ import annotations

import pytest

from chalicelib.errors import Conflict
from tests.functional.models.conftest import ADMIN, Models


class TestRegistration:
    def test_from_outside_says_which_file(self, models: Models) -> None:
        model = models.register()
        (row,) = models.log.entries()
        assert (row["action"], row["subject"]) == ("register_external_model", f"model/{model.model_id}")
        assert row["details"]["artifact"].endswith("/model.tar.gz")

    def test_of_a_version_that_is_taken_is_not_said(self, models: Models) -> None:
        models.register(version="1.0")
        with pytest.raises(Conflict):
            models.register(version="1.0")
        assert len(models.log.entries()) == 1

    def test_of_a_trained_model_is_its_owners_and_said_once(self, models: Models) -> None:
        model = models.trained("j-1")
        assert models.trained("j-1") == model
        (row,) = models.log.entries()
        assert (row["user"], row["action"], row["subject"]) == ("alice", "register_model", f"model/{model.model_id}")
        assert row["details"] == {"name": "churn", "job": "j-1"}
        assert "source_ip" not in row


class TestDeprecation:
    def test_is_said_once(self, models: Models) -> None:
        model = models.register()
        for _ in range(2):
            models.service.deprecate(ADMIN, model.model_id)
        assert models.log.told()[1:] == [("root", "change_model", f"model/{model.model_id}")]
        assert models.log.entries()[1]["details"] == {"status": "deprecated"}
