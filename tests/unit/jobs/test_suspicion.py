"""What looks like a secret and was not marked as one."""

from __future__ import annotations

import hashlib
import time
import uuid
from typing import Any

import pytest

from chalicelib.jobs.suspicion import MAX_NOTICES, credentials_in, notices

# Put together here, so that no scanner of this repository takes them for real ones.
CREDENTIALS = {
    "an access key of AWS": "AKIA" + "IOSFODNN7EXAMPLE",
    "a token of GitHub": "ghp_" + "a1B2" * 9,
    "a token of GitLab": "glpat-" + "a1B2" * 5,
    "a token of Hugging Face": "hf_" + "a1B2" * 8,
    "a key of an AI service": "sk-" + "a1B2" * 6,
    "a token of Slack": "xoxb-" + "1234567890-abc",
    "a key of Google": "AIza" + "a1B2c" * 7,
    "a private key": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE...",
    "a JSON web token": "eyJ" + "hbGciOiJ9" + ".eyJ" + "zdWIiOiIx" + "." + "c2lnbmF0dXJl",
    "an address with a password": "postgres://app:" + "hunter2@db.internal/app",
}
# AWS's own example of a secret key, and a random text.
RANDOM = ("wJalrXUtnFEMI/" + "K7MDENG/bPxRfiCYEXAMPLEKEY", "tGzv3JOkF0XG5Qx2TlKWIAtGzv3JOkF0")
HARMLESS = (
    "adam",
    "0.001",
    "meta-llama/Llama-2-7b-chat-hf",
    "s3://artifacts/tenants/acme/users/ada/train.csv",
    "https://huggingface.co/datasets/squad",
    "The quick brown fox jumps over the lazy dog",
    hashlib.sha256(b"x").hexdigest(),
    hashlib.sha256(b"x").hexdigest().upper(),
    str(uuid.UUID(int=2**127)),
    "2026-03-01T12:00:00Z",
    "/opt/ml/Checkpoints/Epoch-10/model-00001-of-00005",
)


def config(variables: dict[str, str] | None = None, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"environment": {"environment_variables": variables or {}}, "parameters": parameters or {}}


class TestNotices:
    @pytest.mark.parametrize(
        "name",
        [
            *("HF_TOKEN", "TOKEN", "hfToken", "WANDB_API_KEY", "apikey", "DB_PASSWORD", "passwd", "CLIENT_SECRET"),
            *("AZURE_CREDENTIALS", "SSH_PRIVATE_KEY", "ACCESS-KEY", "access.key", "passphrase", "MY_TOKEN_2"),
        ],
    )
    def test_warn_of_a_name_that_says_so(self, name: str) -> None:
        (notice,) = notices(config({name: "value-of-it"}))
        assert notice.startswith(f"config.environment.environment_variables.{name} looks like a secret (by its name)")
        assert "secret_variables" in notice
        assert "value-of-it" not in notice
        assert len(notices(config(parameters={name: "value-of-it"}))) == 1

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("TOKENIZERS_PARALLELISM", "false it is"),
            ("MAX_TOKENS", "many of them"),
            ("tokenizer", "bert-base-uncased"),
            ("pad_token", "<pad>"),
            ("mask_token", "[MASK]"),
            ("use_token", "true"),
            ("token_count", "about 500"),
            ("SECRET_FILE", "/run/secrets/x"),
            ("password_length", "very long"),
            ("api_key", ""),
            ("token_weight", "0.5"),
            ("monkey", "business"),
        ],
    )
    def test_do_not_cry_wolf(self, name: str, value: str) -> None:
        assert notices(config({name: value}, {name: value})) == []

    @pytest.mark.parametrize(("what", "value"), CREDENTIALS.items())
    def test_warn_of_a_credential_under_any_name_and_inside_of_text(self, what: str, value: str) -> None:
        (notice,) = notices(config({"SETTING": f"x={value} y"}))
        assert f"it holds {what}" in notice
        assert value not in notice

    @pytest.mark.parametrize("value", RANDOM)
    def test_warn_of_a_long_random_text(self, value: str) -> None:
        assert "long random text" in notices(config({"SETTING": value}))[0]

    @pytest.mark.parametrize("value", HARMLESS)
    def test_pass_over_what_scripts_are_usually_given(self, value: str) -> None:
        assert notices(config({"SETTING": value}, {"setting": [value, {"x": value}]})) == []

    def test_find_what_is_deep_in_a_parameter(self) -> None:
        (notice,) = notices(config(parameters={"a": {"b": [{"password": "hunter22"}]}}))
        assert notice.startswith("config.parameters.a.b.0.password looks")

    def test_are_bounded(self) -> None:
        many = notices(config({f"TOKEN_{number}X": "value" for number in range(60)}))
        assert len(many) == MAX_NOTICES + 1
        assert many[-1] == "40 more look like secrets."

    def test_take_no_time_over_hostile_text(self) -> None:
        hostile = ["a" * 65_000, "eyJ" + "a" * 60_000, "a:/" * 20_000, "a://" + "b" * 60_000, "-----BEGIN " * 6_000]
        begun = time.perf_counter()
        for text in hostile:
            notices(config({"X": text, "TOKEN" * 5000: "value"}))
        assert time.perf_counter() - begun < 2


class TestCredentialsInParameters:
    @pytest.mark.parametrize(("what", "value"), CREDENTIALS.items())
    def test_are_named_with_their_cure_and_without_their_value(self, what: str, value: str) -> None:
        (problem,) = credentials_in({"deep": [{"setting": value}]})
        assert (problem.field, problem.message) == ("config.parameters.deep.0.setting", f"holds {what}")
        assert "secret_variables" in problem.cure
        assert value not in str(problem)

    @pytest.mark.parametrize(
        "name", ["password", "db_password", "apiKey", "API-KEY", "aws.secret_access_key", "hf_token", "client_secret"]
    )
    def test_are_told_by_names_that_nothing_else_has(self, name: str) -> None:
        (problem,) = credentials_in({"a": {name: "value-of-it"}})
        assert (problem.field, problem.message) == (f"config.parameters.a.{name}", "is called like a credential")
        assert "value-of-it" not in str(problem)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("eos_token", "<|endoftext|>"),
            ("sep_token", "separator"),
            ("token", "character"),
            ("secret", "santa-2026"),
            ("password_column", "user_password"),
            ("api_key", "none"),
            ("password", "1234567890"),
            ("monkey", "business-class"),
        ],
    )
    def test_are_not_told_by_names_that_others_have(self, name: str, value: str) -> None:
        assert list(credentials_in({name: value})) == []

    @pytest.mark.parametrize("value", [*HARMLESS, *RANDOM])
    def test_are_not_seen_where_there_may_be_something_else(self, value: str) -> None:
        assert list(credentials_in({"setting": value, "n": 5, "b": True, "x": None})) == []
