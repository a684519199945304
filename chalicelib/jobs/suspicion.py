"""What in a job's configuration looks like a secret that was not marked as one. No I/O, and no value in what it says.

Variables are warned about, in every answer about the job. A parameter goes further than a variable: into the script's
arguments, the MLflow run and whatever reads them. So one that cannot be anything but a credential, by its form or by its
name, is refused.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from chalicelib.errors import FieldProblem

_VARIABLES, _PARAMETERS = "config.environment.environment_variables", "config.parameters"
_CURE = "Give it in config.environment.secret_variables, and have the script read that variable."
MAX_NOTICES = 20

_NAME = re.compile(
    # TOKENIZER and MAX_TOKENS are none; TOKEN_FILE names a place, not a secret.
    r"(TOKEN(?!S|IZ)|SECRET|PASSW(OR)?D|PASSPHRASE|CREDENTIAL|(API|ACCESS|AUTH|PRIVATE|SIGNING|ENCRYPTION)[_.-]?KEY)"
    r"(?!.*[_.-](FILE|PATH|DIR|URI|URL|NAME|ID|TYPE|COUNT|SIZE|LENGTH|DIM|INDEX)$)",
    re.IGNORECASE,
)
# Nothing that tunes a model is called so.
_CREDENTIAL_NAME = re.compile(
    r"(PASSW(OR)?D|PASSPHRASE|CLIENT[_.-]?SECRET|(API|ACCESS|SECRET|PRIVATE)[_.-]?KEY|(API|ACCESS|AUTH|HF|HUB)[_.-]?TOKEN)$",
    re.IGNORECASE,
)
_SHORTEST_CREDENTIAL = 8
# What such a name may hold without being a secret: switches, numbers, a tokenizer's <pad> and [MASK], an empty text.
_HARMLESS = re.compile(
    r"|true|false|yes|no|on|off|none|null|auto|[\d.,_+-]+|<[^<>]*>|\[[^\[\]]*\]|.{1,3}", re.IGNORECASE
)

# Forms that their makers chose so that they can be found.
_CREDENTIALS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (what, re.compile(pattern))
    for what, pattern in (
        ("an access key of AWS", r"\b(AKIA|ASIA)[A-Z2-7]{16}\b"),
        ("a token of GitHub", r"\bgh[pousr]_[A-Za-z0-9]{36,}|\bgithub_pat_[A-Za-z0-9_]{22,}"),
        ("a token of GitLab", r"\bglpat-[A-Za-z0-9_-]{20,}"),
        ("a token of Hugging Face", r"\bhf_[A-Za-z0-9]{30,}"),
        ("a key of an AI service", r"\bsk-[A-Za-z0-9_-]{20,}"),
        ("a token of Slack", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
        ("a key of Google", r"\bAIza[A-Za-z0-9_-]{35}"),
        ("a private key", r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----"),
        ("a JSON web token", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
        ("an address with a password", r"\b[a-z][a-z0-9+.-]{1,20}://[^/\s:@]{1,100}:[^/\s@]{3,100}@"),
    )
)
_RANDOM = re.compile(r"[A-Za-z0-9+/=_-]{24,512}")
_RUN = re.compile(r"[A-Za-z0-9]{12,}")
_RANDOM_BITS = 4.0  # a character; hexadecimal digits, of which checksums are made, reach no more


def notices(config: Mapping[str, Any]) -> list[str]:
    """A sentence for each variable and parameter that looks like a secret."""
    found = []
    for field, name, value in _texts(config):
        why = _why(name, value)
        if why:
            found.append(f"{field} looks like a secret ({why}); it is stored and shown as it is. {_CURE}")
    if len(found) > MAX_NOTICES:
        found[MAX_NOTICES:] = [f"{len(found) - MAX_NOTICES} more look like secrets."]
    return found


def credentials_in(parameters: Mapping[str, Any]) -> Iterator[FieldProblem]:
    """The parameters that can't be anything but a credential."""
    for field, name, value in _inside(_PARAMETERS, "", parameters):
        if what := _credential(value):
            yield FieldProblem(field, f"holds {what}", _CURE)
        elif _CREDENTIAL_NAME.search(name) and len(value) >= _SHORTEST_CREDENTIAL and not _HARMLESS.fullmatch(value):
            yield FieldProblem(field, "is called like a credential", _CURE)


def _texts(config: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Field, name and value of every text."""
    yield from _inside(_VARIABLES, "", config["environment"]["environment_variables"])
    yield from _inside(_PARAMETERS, "", config["parameters"])


def _inside(field: str, name: str, value: Any) -> Iterator[tuple[str, str, str]]:
    if isinstance(value, str):
        yield field, name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _inside(f"{field}.{key[:80]}", key, inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _inside(f"{field}.{index}", name, inner)


def _why(name: str, value: str) -> str | None:
    if what := _credential(value):
        return f"it holds {what}"
    if _NAME.search(name) and not _HARMLESS.fullmatch(value):
        return "by its name"
    if _is_random(value):
        return "it is a long random text"
    return None


def _credential(value: str) -> str | None:
    return next((what for what, pattern in _CREDENTIALS if pattern.search(value)), None)


def _is_random(value: str) -> bool:
    if not _RANDOM.fullmatch(value) or not _RUN.search(value):
        return False
    kinds = (str.isupper, str.islower, str.isdigit)
    counts = Counter(value)
    bits = -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
    return bits > _RANDOM_BITS and all(any(kind(character) for character in counts) for kind in kinds)
