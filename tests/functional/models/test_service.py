"""Registering a model from outside, listing, reading and deprecating."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from botocore.stub import Stubber

from chalicelib.errors import Conflict, Forbidden, InvalidRequest, NotFound, RefusedValue
from chalicelib.models.model import ModelFilter, ModelStatus, Use, model_prefix
from chalicelib.models.store import StaleModel
from tests.functional.models.conftest import ADMIN, ALICE, BOB, BUCKET, STRANGER, Models


class TestRegister:
    def test_copies_the_archive_so_that_it_can_not_change_any_more(self, models: Models) -> None:
        model = models.register()
        models.upload(body=b"tampered")
        key = f"{model_prefix('acme', model.model_id)}model.tar.gz"
        assert model.archive.uri == f"s3://{BUCKET}/{key}"
        assert models.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"archive"
        assert (model.status, model.version, model.servable, model.mlflow) == (ModelStatus.READY, "1", True, None)

    def test_takes_a_native_file_and_says_that_it_can_not_be_served(self, models: Models) -> None:
        model = models.register(artifact_path=models.upload(name="model.ubj"), framework="xgboost")
        assert (model.kind, model.servable) == ("xgboost", False)
        assert "model.ubj" in (model.servable_reason or "")

    @pytest.mark.parametrize(
        ("name", "body", "message"),
        [
            ("model.tar.gz", b"", "is empty"),
            ("model.exe", b"x", "is not a model's file"),
            ("folder/", b"x", "is not a model's file"),
        ],
    )
    def test_names_what_is_wrong_with_the_file(self, models: Models, name: str, body: bytes, message: str) -> None:
        with pytest.raises(InvalidRequest) as error:
            models.register(artifact_path=models.upload(name=name, body=body))
        (problem,) = error.value.problems
        assert (problem.field, problem.message) == ("artifact_path", message)
        assert models.listed() == []

    def test_names_a_file_that_is_not_there(self, models: Models) -> None:
        with pytest.raises(InvalidRequest, match="does not exist"):
            models.register(artifact_path=f"s3://{BUCKET}/{ALICE.prefix}uploads/none/model.tar.gz")

    @pytest.mark.parametrize("owner", [BOB, STRANGER])
    def test_refuses_somebody_elses_file_and_a_missing_one_alike(self, models: Models, owner: Any) -> None:
        theirs = models.upload(owner)
        answers = []
        for path in (theirs, theirs + ".tar.gz"):
            with pytest.raises(RefusedValue) as error:
                models.register(artifact_path=path)
            answers.append(str(error.value))
        assert answers[0] == answers[1]

    def test_refuses_a_version_that_the_name_has_and_leaves_no_copy(self, models: Models) -> None:
        models.register(version="1.0")
        with pytest.raises(Conflict, match=r"version 1\.0 already"):
            models.register(version="1.0")
        kept = models.s3.list_objects_v2(Bucket=BUCKET, Prefix="tenants/acme/models/")["Contents"]
        assert len(kept) == 1

    def test_lets_two_tenants_use_the_same_name_and_version(self, models: Models) -> None:
        assert models.register(version="1.0").version == models.register(STRANGER, version="1.0").version

    @pytest.mark.parametrize("code", ["PreconditionFailed", "NoSuchKey"])
    def test_refuses_a_file_that_changed_between_the_look_and_the_copy(self, models: Models, code: str) -> None:
        artifacts = models.service.artifacts
        found = artifacts.inspect(ALICE, models.upload())
        # S3 compares; moto does not, so its answer is put here.
        with Stubber(models.s3) as stubber:
            source = {"Bucket": BUCKET, "Key": found.path.key}
            call = {"Bucket": BUCKET, "Key": "tenants/acme/models/m-1/model.tar.gz", "CopySource": source}
            call |= {"CopySourceIfMatch": found.etag, "ChecksumAlgorithm": "SHA256"}
            stubber.add_client_error("copy_object", code, http_status_code=412, expected_params=call)
            with pytest.raises(Conflict, match="changed"):
                artifacts.keep("acme", "m-1", found)


class TestSearch:
    def test_filters_by_framework_and_status_newest_first(self, models: Models) -> None:
        for framework, name in itertools.product(("sklearn", "xgboost"), ("a", "b")):
            models.register(framework=framework, name=name)
        old = models.register(name="old")
        models.service.deprecate(ALICE, old.model_id)
        assert models.listed() == ["old:1", "b:2", "a:2", "b:1", "a:1"]
        assert models.listed(wanted=ModelFilter(framework="xgboost")) == ["b:2", "a:2"]
        assert models.listed(wanted=ModelFilter(status=ModelStatus.DEPRECATED)) == ["old:1"]
        assert models.listed(wanted=ModelFilter("sklearn", ModelStatus.READY)) == ["b:1", "a:1"]

    def test_goes_on_with_a_cursor_without_loss_or_repeat(self, models: Models) -> None:
        for _ in range(5):
            models.register()
        seen: list[str] = []
        cursor: str | None = None
        while True:
            page = models.service.search(BOB, ModelFilter(), 2, 0, cursor)
            seen += [model.version for model in page.models]
            if page.cursor is None:
                break
            cursor = page.cursor.encode()
        assert seen == ["5", "4", "3", "2", "1"]
        offset = models.service.search(BOB, ModelFilter(), 2, 2, None)
        assert [model.version for model in offset.models] == ["3", "2"]

    def test_shows_nothing_of_another_tenant_not_even_by_its_cursor(self, models: Models) -> None:
        for _ in range(3):
            models.register()
        assert models.listed(STRANGER) == []
        cursor = models.service.search(ALICE, ModelFilter(), 1, 0, None).cursor
        assert cursor is not None
        assert models.service.search(STRANGER, ModelFilter(), 10, 0, cursor.encode()).models == ()

    def test_refuses_a_cursor_of_another_list(self, models: Models) -> None:
        for _ in range(2):
            models.register()
        cursor = models.service.search(ALICE, ModelFilter(), 1, 0, None).cursor
        assert cursor is not None
        with pytest.raises(InvalidRequest, match="cursor"):
            models.service.search(ALICE, ModelFilter(framework="sklearn"), 1, 0, cursor.encode())


class TestGet:
    def test_another_tenants_model_and_a_missing_one_are_the_same(self, models: Models) -> None:
        model = models.register()
        answers = []
        for caller, model_id in ((STRANGER, model.model_id), (ALICE, "none")):
            with pytest.raises(NotFound) as error:
                models.service.get(caller, model_id)
            answers.append(str(error.value))
        assert answers[0] == answers[1]
        assert models.service.get(BOB, model.model_id) == model


class TestDeprecate:
    @pytest.mark.parametrize("caller", [ALICE, ADMIN])
    def test_is_for_the_owner_and_for_admins_and_may_be_repeated(self, models: Models, caller: Any) -> None:
        model = models.register()
        first = models.service.deprecate(caller, model.model_id)
        assert first.status is ModelStatus.DEPRECATED
        assert models.service.deprecate(caller, model.model_id) == first

    def test_is_not_for_others(self, models: Models) -> None:
        with pytest.raises(Forbidden, match="models:deprecate-all"):
            models.service.deprecate(BOB, models.register().model_id)

    def test_does_not_exist_for_another_tenant(self, models: Models) -> None:
        with pytest.raises(NotFound):
            models.service.deprecate(STRANGER, models.register().model_id)

    @pytest.mark.parametrize("use", list(Use))
    def test_waits_for_the_deployments_that_use_it(self, models: Models, use: Use) -> None:
        model = models.register()
        used = replace(model, uses={"d-1": use}, status=ModelStatus.DEPLOYED if use is Use.SERVED else model.status)
        models.store.update(model, used, models.clock())
        with pytest.raises(Conflict, match="d-1"):
            models.service.deprecate(ALICE, model.model_id)


class TestUpdate:
    def test_refuses_to_overwrite_what_somebody_else_changed(self, models: Models) -> None:
        model = models.register()
        models.store.update(model, model.claimed_by("d-1"), models.clock())
        with pytest.raises(StaleModel):
            models.store.update(model, model.become(ModelStatus.DEPRECATED), models.clock())


class TestDelete:
    def test_removes_the_record_and_the_files_of_its_own(self, models: Models) -> None:
        model = models.register()
        models.service.delete(ADMIN, model.model_id)
        with pytest.raises(NotFound):
            models.service.get(ALICE, model.model_id)
        left = models.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"tenants/acme/models/{model.model_id}/")
        assert left["KeyCount"] == 0

    def test_leaves_the_version_taken(self, models: Models) -> None:
        models.service.delete(ADMIN, models.register(version="7").model_id)
        with pytest.raises(Conflict, match="version 7"):
            models.register(version="7")

    def test_is_refused_while_a_deployment_uses_it(self, models: Models) -> None:
        model = models.register()
        models.store.update(model, replace(model, uses={"d-1": Use.SERVED}), models.clock())
        with pytest.raises(Conflict, match="d-1"):
            models.service.delete(ADMIN, model.model_id)

    def test_is_for_administrators_of_the_tenant_alone(self, models: Models) -> None:
        model = models.register()
        with pytest.raises(Forbidden, match="models:delete"):
            models.service.delete(ALICE, model.model_id)
        with pytest.raises(NotFound):
            models.service.delete(STRANGER, model.model_id)
