"""Names that an environment variable of a script may have, secret or not."""

from __future__ import annotations

import re

from chalicelib.errors import FieldProblem

# Names that decide how a process is loaded, found or authorized. The agent and the backends own them.
_RESERVED_PREFIXES = (
    "AWS AIMATRIX SM SAGEMAKER ECS TRAINING_JOB MLFLOW"  # the platform's own
    " LD DYLD GCONV MALLOC GLIBC NVIDIA CUDA_VISIBLE"  # what the loader, the C library and the driver read
    " PYTHON PIP UV VIRTUAL_ENV BASH NODE_OPTIONS JAVA_TOOL JDK_JAVA"  # what interpreters read before the first line
    " OPENSSL SSL_CERT SSLKEYLOGFILE BOTO GIT_SSH"  # whom to trust, and as whom to act
)
_RESERVED_NAMES = (
    "PATH HOME SHELL IFS ENV USER LOGNAME HOSTNAME PWD OLDPWD TMPDIR TMP TEMP PROMPT_COMMAND PS4"
    " JOB_ID TRAINING_SCRIPT DATASET_PATH HOSTALIASES LOCALDOMAIN RES_OPTIONS LOCPATH NLSPATH TZDIR GETCONF_DIR"
    " HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY FTP_PROXY REQUESTS_CA_BUNDLE CURL_CA_BUNDLE"
)
_RESERVED = re.compile(
    rf"({'|'.join(_RESERVED_PREFIXES.split())})(_.*)?|{'|'.join(_RESERVED_NAMES.split())}|_"
    # Without the underscore too: PYTHONPATH, RUBYOPT, PERL5LIB.
    r"|(PYTHON|RUBY|PERL5|DYLD).*",
    re.IGNORECASE,
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")


def name_problem(field: str, name: str) -> FieldProblem | None:
    """Why a user may not set a variable of this name, or None."""
    if not _VARIABLE.fullmatch(name):
        cure = "Use letters, digits and _, not starting with a digit."
        return FieldProblem(field, "is not a name of a variable", cure)
    if _RESERVED.fullmatch(name):
        return FieldProblem(field, "is reserved", "Choose another name: this one decides how the process runs.")
    return None
