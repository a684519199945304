"""Secret variables in the container: how the script gets them, and that nothing else does."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.functional.trainer.fake_mlflow import FakeMlflow, serve_mlflow
from tests.functional.trainer.fake_secrets import FakeSecrets, serve_secrets
from tests.functional.trainer.harness import Container, Finished
from tests.functional.trainer.test_tracking import CLIENT

CANARY = "canary/5f0c+9a52"
ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:aimatrix/default/db-AbCdEf"
# To see in a test that it has arrived, without the agent seeing it.
SHOW = "import os\nprint('-'.join(os.environ['TOKEN']))\n"
SHOWN = "-".join(CANARY)

LEAKY = """
import base64, json, os, sys, time, urllib.parse
secret = os.environ["TOKEN"]
print("plain", secret)
print("json", json.dumps({"token": secret}))
print("repr", repr({"token": secret}))
print("url", urllib.parse.quote(secret, safe=""))
print("base64", base64.b64encode(secret.encode()).decode())
print("basic", base64.b64encode(f"user:{secret}".encode()).decode())
print("stderr", secret, file=sys.stderr, flush=True)
for piece in (secret[:5], secret[5:] + "\\n"):
    sys.stdout.write(piece); sys.stdout.flush(); time.sleep(0.05)
print("#aimatrix " + json.dumps({"token": secret}))
print("x" * 16300 + secret + "x" * 100)
raise ValueError(f"the server did not like {secret}")
"""


@pytest.fixture
def aws() -> Iterator[FakeSecrets]:
    with serve_secrets() as fake:
        yield fake


@pytest.fixture
def secretive(container: Container, aws: FakeSecrets) -> Container:
    container.environ |= {"AWS_ENDPOINT_URL_KMS": aws.url, "AWS_ENDPOINT_URL_SECRETS_MANAGER": aws.url}
    container.spec["secret_variables"] = {"TOKEN": aws.seal(CANARY, "TOKEN")}
    return container


def forms() -> list[str]:
    encoded = [base64.b64encode(text.encode()).decode().rstrip("=") for text in (CANARY, f"user:{CANARY}")]
    return [CANARY, quote(CANARY, safe=""), encoded[0], encoded[1][8:-1]]


def leaks(finished: Finished) -> list[str]:
    """Where the canary turned up in any form: both streams, what was uploaded, what SageMaker reads."""
    places = {
        "stdout": finished.stdout,
        "stderr": finished.stderr,
        **{name: body for name, body in finished.s3.objects.items() if not name.endswith("uploads/train.py")},
        **{str(path): path.read_bytes() for path in finished.root.rglob("*") if path.is_file()},
    }
    return [place for place, body in places.items() for form in forms() if form.encode() in body]


class TestValues:
    def test_are_in_the_scripts_environment(self, secretive: Container, aws: FakeSecrets) -> None:
        secretive.script = SHOW
        assert secretive.run().script_lines() == [SHOWN]
        assert aws.requests == ["TrentService.Decrypt"]
        assert "/us-east-1/kms/aws4_request" in aws.authorizations[0]

    def test_come_from_secrets_manager_whole_or_by_key(self, secretive: Container, aws: FakeSecrets) -> None:
        aws.secrets[ARN] = {"SecretString": json.dumps({"password": "hunter2-pass", "port": 54321})}
        secretive.spec["secret_variables"] = {
            "ALL": {"secret_arn": ARN},
            "PASSWORD": {"secret_arn": ARN, "json_key": "password"},
            "PORT": {"secret_arn": ARN, "json_key": "port"},
        }
        secretive.script = "import os\nfor name in ('ALL', 'PASSWORD', 'PORT'): print('-'.join(os.environ[name]))\n"
        assert secretive.run().script_lines() == [
            "-".join('{"password": "hunter2-pass", "port": 54321}'), "h-u-n-t-e-r-2---p-a-s-s", "5-4-3-2-1",
        ]  # fmt: skip
        assert "/us-east-1/secretsmanager/aws4_request" in aws.authorizations[0]

    def test_cannot_replace_what_the_agent_owns(self, secretive: Container, aws: FakeSecrets) -> None:
        secretive.spec["secret_variables"] |= {"PATH": aws.seal("/evil-path", "PATH")}
        secretive.script = SHOW + "print(os.environ['PATH'].count('evil'))\n"
        finished = secretive.run()
        assert finished.script_lines() == [SHOWN, "0"]
        assert b"/evil-path" not in finished.stdout

    def test_are_asked_for_again_while_kms_is_busy(self, secretive: Container, aws: FakeSecrets) -> None:
        aws.refusals = [(400, "ThrottlingException"), (500, "KMSInternalException")]
        secretive.script = SHOW
        assert secretive.run().script_lines() == [SHOWN]
        assert len(aws.requests) == 3

    def test_cost_a_job_without_any_nothing(self, container: Container, aws: FakeSecrets) -> None:
        container.script = "import sys\nprint('hello')\n"
        assert container.run().script_lines() == ["hello"]
        assert aws.requests == []


class TestRefusals:
    def failed(self, container: Container) -> str:
        container.script = "print('it ran')"
        finished = container.run()
        assert finished.code == 1
        assert finished.script_lines() == []
        reason = str(finished.manifest["reason"])
        assert finished.structured("exit")[0]["reason"] == reason
        assert finished.failure == reason
        assert CANARY not in reason
        return reason

    def test_name_the_variable_and_what_aws_said(self, secretive: Container, aws: FakeSecrets) -> None:
        aws.refusals = [(400, "AccessDeniedException")]
        assert self.failed(secretive) == "the secret variable TOKEN can't be had: AccessDeniedException: not today"

    def test_end_a_job_whose_ciphertext_belongs_to_another(self, secretive: Container, aws: FakeSecrets) -> None:
        for change in ("aimatrix:tenant", "aimatrix:job-id", "aimatrix:variable"):
            secretive.spec["secret_variables"] = {"TOKEN": aws.seal(CANARY, "TOKEN", **{change: "another"})}
            assert "TOKEN can't be had: InvalidCiphertextException" in self.failed(secretive)

    @pytest.mark.parametrize(
        ("secret", "reference", "words"),
        [
            (None, {}, "ResourceNotFoundException: Secrets Manager can't find the specified secret."),
            ({"SecretBinary": "AAAA"}, {}, "the secret is binary"),
            ({"SecretString": CANARY}, {"json_key": "password"}, "the secret is not JSON"),
            ({"SecretString": f'{{"a": "{CANARY}"}}'}, {"json_key": "b"}, "no text under the json_key 'b'"),
            ({"SecretString": f'{{"a": ["{CANARY}"]}}'}, {"json_key": "a"}, "no text under the json_key 'a'"),
            ({"SecretString": f'["{CANARY}"]'}, {"json_key": "a"}, "no text under the json_key 'a'"),
            ({"SecretString": "abc"}, {}, "fewer than 4 characters"),
            ({"SecretString": f"\0{CANARY}"}, {}, "NUL"),
        ],
    )
    def test_say_what_a_referred_secret_lacks(
        self, secretive: Container, aws: FakeSecrets, secret: Any, reference: dict[str, str], words: str
    ) -> None:
        if secret is not None:
            aws.secrets[ARN] = secret
        secretive.spec["secret_variables"] = {"DB": {"secret_arn": ARN, **reference}}
        reason = self.failed(secretive)
        assert reason.startswith("the secret variable DB can't be had: ")
        assert words in reason

    @pytest.mark.parametrize("secret", [{}, {"ciphertext": 5}, "text", None])
    def test_say_when_the_spec_makes_no_sense(self, secretive: Container, secret: Any) -> None:
        secretive.spec["secret_variables"] = {"TOKEN": secret}
        assert "TOKEN can't be had" in self.failed(secretive)


class TestLeaks:
    def test_a_script_that_prints_its_secret_in_every_way_shows_none_of_them(self, secretive: Container) -> None:
        secretive.script = LEAKY
        finished = secretive.run()
        assert finished.code == 1
        found = leaks(finished)
        print(f"{len(found)} occurrences of the canary")
        assert found == []
        assert finished.script_lines()[:2] == ["plain ***", 'json {"token": "***"}']
        assert "ValueError: the server did not like ***" in str(finished.manifest["reason"])
        assert "***" in finished.failure

    def test_mlflow_is_told_none_of_it(self, secretive: Container) -> None:
        secretive.script = (
            CLIENT
            + """
secret = os.environ["TOKEN"]
post("runs/set-tag", run_id=RUN, run_uuid=RUN, key="tag", value="x " + secret)
post("runs/log-parameter", run_id=RUN, run_uuid=RUN, key="token", value=secret)
post("runs/log-batch", run_id=RUN, params=[{"key": "again", "value": secret}], tags=[{"key": secret, "value": "x"}])
metric(secret, 1.5)
post("runs/update", run_id=RUN, run_uuid=RUN, run_name=secret)
"""
        )
        with serve_mlflow() as mlflow:
            secretive.environ["AIMATRIX_MLFLOW_TRACKING_URI"] = mlflow.url
            finished = secretive.run()
            assert finished.code == 0, finished.stdout
            told = [request.path for request in mlflow.requests if CANARY.encode() in request.body]
            assert told == []
            assert _tags(mlflow)["tag"] == "x ***"
        assert leaks(finished) == []
        assert ("***", 1.5, 0) in finished.points()


def _tags(mlflow: FakeMlflow) -> dict[str, str]:
    return {
        tag["key"]: tag["value"]
        for call in ("runs/set-tag", "runs/log-batch")
        for document in mlflow.calls(call)
        for tag in (document.get("tags") or ([document] if "key" in document else []))
    }
