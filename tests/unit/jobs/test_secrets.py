"""Secret variables of a request: their shape, their rules, and that no value gets out of them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.errors import FieldProblem, InvalidRequest
from chalicelib.identity.caller import Caller
from chalicelib.jobs.request import TrainingJobRequest
from chalicelib.jobs.secrets import (
    FIELD,
    MAX_VALUE_BYTES,
    Secret,
    SecretReference,
    SecretsPlace,
    SecretValue,
    Vault,
    problems,
)
from chalicelib.shape import read
from tests.unit.jobs.hostile import NOT_NAMES, VARIABLES

CANARY = "canary-5f0c9a528f6e"
ADA = Caller("acme", "ada", frozenset({"USER"}))
KEY = "arn:aws:kms:eu-west-1:123456789012:key/0f9d6a0f-7b11-4f0e-bc0e-5f0c9a528f6e"
PLACE = SecretsPlace.of_key(KEY)
OWN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:aimatrix/acme/"


def body(**environment: Any) -> bytes:
    config = {"script_path": "s3://b/s", "dataset_path": "s3://b/d", "environment": environment}
    return json.dumps({"name": "n", "framework": "custom", "config": config}).encode()


def secrets(given: Any) -> dict[str, Secret]:
    return read(TrainingJobRequest, body(secret_variables=given)).config.environment.secret_variables


def found(given: dict[str, Secret], **ordinary: str) -> list[FieldProblem]:
    return list(problems(given, ordinary, ADA, PLACE))


@dataclass
class FakeKms:
    """Turns values around; remembers what it was asked."""

    asked: list[dict[str, Any]] = field(default_factory=list)

    def encrypt(self, **arguments: Any) -> dict[str, bytes]:
        self.asked.append(arguments)
        return {"CiphertextBlob": arguments["Plaintext"][::-1]}


def vault(kms: FakeKms | None = None, pepper: bytes = b"pepper") -> Vault:
    return Vault(lambda: kms or FakeKms(), KEY, lambda: pepper)  # type: ignore[arg-type, return-value]


class TestShape:
    def test_takes_values_and_references(self) -> None:
        given = {"TOKEN": CANARY, "PASSWORD": {"secret_arn": OWN + "db", "json_key": "password"}}
        assert secrets(given) == {"TOKEN": SecretValue(CANARY), "PASSWORD": SecretReference(OWN + "db", "password")}

    def test_is_empty_when_nothing_is_said(self) -> None:
        assert read(TrainingJobRequest, body()).config.environment.secret_variables == {}

    WRONG = (
        CANARY,
        [CANARY],
        {"T": [CANARY]},
        {"T": {"value": CANARY}},
        {"T": {"secret_arn": CANARY, "value": CANARY}},
        {"T": {"secret_arn": [CANARY]}},
        {"T": {"secret_arn": OWN, "json_key": [CANARY]}},
        {"T": {"secret_arn": OWN, "json_key": ""}},
        {"T": {"secret_arn": OWN, "json_key": CANARY * 100}},
        {"T": None},
        {"T": 5},
        {f"T{number}": CANARY for number in range(33)},
        None,
    )

    @pytest.mark.parametrize("given", WRONG, ids=lambda given: repr(given)[:40])
    def test_refuses_anything_else_without_repeating_it(self, given: Any) -> None:
        with pytest.raises(InvalidRequest) as raised:
            secrets(given)
        (problem,) = raised.value.problems
        assert problem.field.startswith(FIELD)
        assert problem.cure
        assert CANARY not in f"{raised.value.detail}{problem}"

    def test_hides_values_in_whatever_shows_the_request(self) -> None:
        request = read(TrainingJobRequest, body(secret_variables={"TOKEN": CANARY}))
        shown = [repr(request), str(request), repr(request.model_dump()), request.model_dump_json()]
        assert [text for text in shown if CANARY in text] == []
        assert "TOKEN" in shown[3]

    def test_hides_what_was_given_when_an_error_is_shown(self) -> None:
        with pytest.raises(ValueError, match="validation error") as raised:
            TrainingJobRequest.model_validate_json(body(secret_variables={"T": [CANARY]}))
        assert CANARY not in f"{raised.value!s}{raised.value!r}"


class TestRules:
    def test_finds_nothing_wrong_with_a_value_and_a_reference_of_ones_own(self) -> None:
        given: dict[str, Secret] = {"TOKEN": SecretValue(CANARY), "DB": SecretReference(OWN + "team/db-AbCdEf")}
        assert found(given, OTHER="x") == []

    @pytest.mark.parametrize("name", [*VARIABLES, *NOT_NAMES], ids=ascii)
    def test_refuses_the_names_that_no_variable_may_have(self, name: str) -> None:
        assert [problem.field for problem in found({name: SecretValue(CANARY)})] == [f"{FIELD}.{name[:80]}"]

    def test_refuses_a_name_that_is_an_ordinary_variable_too(self) -> None:
        (problem,) = found({"TOKEN": SecretValue(CANARY)}, TOKEN="public")
        assert (problem.field, problem.message) == (f"{FIELD}.TOKEN", "is given twice")

    @pytest.mark.parametrize(
        "value", ["", "abc", "x\0" + CANARY, "x" * (MAX_VALUE_BYTES + 1), "ü" * (MAX_VALUE_BYTES // 2 + 1)], ids=len
    )
    def test_refuses_a_value_that_cannot_be_hidden_or_encrypted(self, value: str) -> None:
        (problem,) = found({"TOKEN": SecretValue(value)})
        assert problem.field == f"{FIELD}.TOKEN"
        assert CANARY not in str(problem)

    @pytest.mark.parametrize("value", ["abcd", "x" * MAX_VALUE_BYTES])
    def test_takes_values_up_to_both_bounds(self, value: str) -> None:
        assert found({"TOKEN": SecretValue(value)}) == []

    NOT_OWN = (
        "",
        "db",
        OWN,
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:aimatrix/db",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:aimatrix/umbrella/db",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:aimatrix/acme2/db",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:aimatrix/ACME/db",
        "arn:aws:secretsmanager:eu-west-1:210987654321:secret:aimatrix/acme/db",
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:aimatrix/acme/db",
        "arn:aws-cn:secretsmanager:eu-west-1:123456789012:secret:aimatrix/acme/db",
        "arn:aws:ssm:eu-west-1:123456789012:parameter/aimatrix/acme/db",
        OWN + "db:password",
        OWN + "a b",
        OWN + "db\n",
        OWN + "*",
        OWN + "x" * 513,
        " " + OWN + "db",
    )

    @pytest.mark.parametrize("arn", NOT_OWN, ids=lambda arn: arn[-50:])
    def test_refuses_every_reference_outside_the_tenants_own_place(self, arn: str) -> None:
        (problem,) = found({"DB": SecretReference(arn)})
        assert problem.field == f"{FIELD}.DB.secret_arn"
        assert OWN in problem.cure


class TestVault:
    def test_encrypts_each_value_for_its_tenant_job_and_name(self) -> None:
        kms = FakeKms()
        sealed = vault(kms).seal("acme", "job-1", {"A": SecretValue("first"), "B": SecretValue("ünd")})
        contexts = [call["EncryptionContext"] for call in kms.asked]
        assert contexts == [
            {"aimatrix:tenant": "acme", "aimatrix:job-id": "job-1", "aimatrix:variable": name} for name in "AB"
        ]
        assert {call["KeyId"] for call in kms.asked} == {KEY}
        assert base64.b64decode(sealed["A"]["ciphertext"]) == b"tsrif"
        assert base64.b64decode(sealed["B"]["ciphertext"])[::-1].decode() == "ünd"

    def test_keeps_a_reference_as_it_is(self) -> None:
        kms = FakeKms()
        given = {"DB": SecretReference(OWN + "db", "password"), "ALL": SecretReference(OWN + "all")}
        assert vault(kms).seal("acme", "job-1", given) == {
            "DB": {"secret_arn": OWN + "db", "json_key": "password"},
            "ALL": {"secret_arn": OWN + "all"},
        }
        assert kms.asked == []

    def test_fingerprints_are_equal_only_for_the_same_values_of_the_same_user(self) -> None:
        same: dict[str, Secret] = {"A": SecretValue("first"), "B": SecretValue("other")}
        first = vault().fingerprint("acme", "ada", same)
        assert vault().fingerprint("acme", "ada", dict(reversed(same.items()))) == first
        others = {
            vault().fingerprint("acme", "ada", {**same, "B": SecretValue("other!")}),
            vault().fingerprint("acme", "ada", {"A": SecretValue("other"), "B": SecretValue("first")}),
            vault().fingerprint("acme", "bob", same),
            vault().fingerprint("umbrella", "ada", same),
            vault(pepper=b"another").fingerprint("acme", "ada", same),
            vault().fingerprint("acme", "ada", {**same, "B": SecretReference("other")}),
        }
        assert len(others) == 6
        assert first not in others
