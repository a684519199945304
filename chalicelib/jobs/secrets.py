"""Environment variables that are secret: what may be asked for, and how they are kept.

    request      NAME: a value, or a reference to a secret in Secrets Manager       `SecretVariables`, `problems`
    record       NAME: ciphertext, or the reference; an item of its own             `Vault`
    spec.json    the same; the agent's role, and no other, can decrypt it           docs/secrets.md

A value is in memory from the request's body until it is encrypted, and nowhere else: not in the job's record, the state
machine, an event, a log line, an answer or the text of an error.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator

from chalicelib.errors import FieldProblem
from chalicelib.identity.caller import Caller
from chalicelib.jobs.variables import name_problem

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

FIELD = "config.environment.secret_variables"
MAX_SECRETS = 32
MAX_VALUE_BYTES = (
    4096  # what KMS encrypts in one call: https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html
)
# What is shorter stands in too many lines by chance: hiding it would leave no log worth reading.
MIN_VALUE_CHARACTERS = 4
MAX_JSON_KEY = 256

# Names of secrets: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
_SECRET_NAME = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")
_CURE = 'Use text, or {"secret_arn": "arn:aws:secretsmanager:...", "json_key": "optional"}.'


@dataclass(frozen=True)
class SecretValue:
    """A value that came with the request."""

    value: str = field(repr=False)

    def to_text(self) -> str:
        """For whatever writes a request down: the value is not in it."""
        return "**********"


@dataclass(frozen=True)
class SecretReference:
    """A secret in Secrets Manager, read by the agent when the script starts.

    Attributes:
        json_key: which member of a secret that is a JSON object; the whole text without one.
    """

    secret_arn: str
    json_key: str | None = None

    def to_dict(self) -> dict[str, str]:
        return {name: value for name, value in vars(self).items() if value is not None}


Secret = SecretValue | SecretReference
Sealed = Mapping[str, Mapping[str, str]]
"""By variable: `{"ciphertext": base64}`, or `{"secret_arn": ..., "json_key": ...}`."""


def _object(given: Any) -> Any:
    # Pydantic's own words about a wrong type repeat what was given, which may be a secret.
    if not isinstance(given, dict):
        raise ValueError('is not an object | Use {"NAME": "value"}.')  # noqa: TRY004  pydantic passes on ValueErrors
    return given


def _secret(given: Any) -> Secret:
    if isinstance(given, str):
        return SecretValue(given)
    if not isinstance(given, dict) or not {"secret_arn"} <= set(given) <= {"secret_arn", "json_key"}:
        raise ValueError(f"is neither a value nor a reference | {_CURE}")
    arn, key = given["secret_arn"], given.get("json_key")
    if not isinstance(arn, str) or not (key is None or (isinstance(key, str) and 0 < len(key) <= MAX_JSON_KEY)):
        raise ValueError(f"is not a reference | {_CURE}")
    return SecretReference(arn, key)


def _written(secret: Secret) -> str | dict[str, str]:
    return secret.to_text() if isinstance(secret, SecretValue) else secret.to_dict()


SecretVariables = Annotated[
    dict[
        str,
        Annotated[
            Secret,
            PlainValidator(_secret, json_schema_input_type=str | dict[str, str]),
            PlainSerializer(_written, return_type=str | dict[str, str]),
        ],
    ],
    BeforeValidator(_object, json_schema_input_type=dict[str, str | dict[str, str]]),
    Field(max_length=MAX_SECRETS),
]
"""The shape in a request. Nothing that it raises or writes down holds a value."""


@dataclass(frozen=True)
class SecretsPlace:
    """Where secrets may be referred to: this account and region, below `aimatrix/<tenant>/`."""

    partition: str
    region: str
    account: str

    @classmethod
    def of_key(cls, key_arn: str) -> SecretsPlace:
        """The place of a KMS key."""
        _, partition, _, region, account, _ = key_arn.split(":", 5)
        return cls(partition, region, account)

    def prefix(self, tenant: str) -> str:
        """What the ARNs of a tenant's secrets begin with."""
        return f"arn:{self.partition}:secretsmanager:{self.region}:{self.account}:secret:aimatrix/{tenant}/"


def problems(
    secrets: Mapping[str, Secret], ordinary: Mapping[str, str], caller: Caller, place: SecretsPlace
) -> Iterator[FieldProblem]:
    """What is wrong with a request's secret variables, beyond their shape."""
    for name, secret in secrets.items():
        at = f"{FIELD}.{name[:80]}"
        if problem := name_problem(at, name):
            yield problem
        if name in ordinary:
            yield FieldProblem(at, "is given twice", "Take it out of environment_variables.")
        if isinstance(secret, SecretReference):
            prefix = place.prefix(caller.tenant)
            own = secret.secret_arn.removeprefix(prefix)
            if own == secret.secret_arn or not _SECRET_NAME.fullmatch(own):
                yield FieldProblem(f"{at}.secret_arn", "is not a secret of yours", f"Use an ARN that begins {prefix}.")
        elif len(secret.value) < MIN_VALUE_CHARACTERS:
            cure = f"Use at least {MIN_VALUE_CHARACTERS} characters: a shorter value can't be kept out of the log."
            yield FieldProblem(at, "is too short", cure)
        elif "\0" in secret.value or len(secret.value.encode()) > MAX_VALUE_BYTES:
            cure = f"Use at most {MAX_VALUE_BYTES:,} bytes without NUL; Secrets Manager holds longer ones."
            yield FieldProblem(at, "has a value that can't be kept", cure)


@dataclass(frozen=True)
class Vault:
    """Encrypts, and compares without knowing. It can't decrypt: its role may not.

    Args:
        kms: the client, made when there is a secret to keep.
        key: ARN of the key that encrypts.
        pepper: the installation's own secret, for fingerprints.
    """

    kms: Callable[[], KMSClient]
    key: str
    pepper: Callable[[], bytes]

    @property
    def place(self) -> SecretsPlace:
        return SecretsPlace.of_key(self.key)

    def seal(self, tenant: str, job_id: str, secrets: Mapping[str, Secret]) -> Sealed:
        """What is recorded of a job's secrets.

        KMS encrypts each value by AES-256-GCM under a key that it derives for this one call, and authenticates the context
        with it: https://docs.aws.amazon.com/kms/latest/cryptographic-details/encrypt-operation.html.
        """
        sealed: dict[str, Mapping[str, str]] = {}
        for name, secret in secrets.items():
            if isinstance(secret, SecretReference):
                sealed[name] = secret.to_dict()
                continue
            answer = self.kms().encrypt(
                KeyId=self.key,
                Plaintext=secret.value.encode(),
                EncryptionContext=encryption_context(tenant, job_id, name),
            )
            sealed[name] = {"ciphertext": base64.b64encode(answer["CiphertextBlob"]).decode()}
        return sealed

    def fingerprint(self, tenant: str, user: str, secrets: Mapping[str, Secret]) -> str:
        """Tells whether two requests carry the same values, and nothing to anybody without the pepper.

        A plain hash would let whoever reads the table try values until one fits.
        """
        values = {
            name: secret.value if isinstance(secret, SecretValue) else secret.to_dict()
            for name, secret in secrets.items()
        }
        # The first word keeps these digests apart from all others that are made with the pepper.
        text = json.dumps(["secret_variables", tenant, user, values], sort_keys=True, separators=(",", ":"))
        return hmac.new(self.pepper(), text.encode(), hashlib.sha256).hexdigest()


def encryption_context(tenant: str, job_id: str, variable: str) -> dict[str, str]:
    """What a ciphertext is bound to: KMS decrypts it for exactly these words. The agent says the same ones."""
    return {"aimatrix:tenant": tenant, "aimatrix:job-id": job_id, "aimatrix:variable": variable}
