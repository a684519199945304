"""Why an attempt ended, and what follows from it: one table.

The texts are AWS's own. SageMaker writes `Category: text` into FailureReason, where the text after `AlgorithmError:` is
the script's; Batch says it in `statusReason` and in the container's `reason` and `exitCode`:

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeTrainingJob.html
    https://docs.aws.amazon.com/batch/latest/userguide/job_retries.html
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html

What a script prints must not pass for the cloud's own failure, so its words are only searched for signs of full memory.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from chalicelib.jobs.gateways import BackendJob, BackendState


class Cause(Enum):
    """Causes in AWS's own categories; `script` is everything else that the user's code did."""

    CAPACITY = "capacity"
    SPOT_INTERRUPTION = "spot-interruption"
    THROTTLING = "throttling"
    INTERNAL = "internal"
    IMAGE = "image"
    OUT_OF_MEMORY = "out-of-memory"
    DATA = "data"
    SCRIPT = "script"
    TIME_LIMIT = "time-limit"
    STOPPED = "stopped"
    PREEMPTED = "preempted"
    REFUSED = "refused"


@dataclass(frozen=True)
class Policy:
    """How many attempts there are at most when one ends so, and after how many seconds the next begins (doubling)."""

    attempts: int
    wait_seconds: int

    @property
    def retries(self) -> bool:
        return self.attempts > 1


_NO_RETRY = Policy(attempts=1, wait_seconds=10)

POLICIES: dict[Cause, Policy] = {
    Cause.CAPACITY: Policy(attempts=8, wait_seconds=30),
    Cause.SPOT_INTERRUPTION: Policy(attempts=8, wait_seconds=5),
    Cause.THROTTLING: Policy(attempts=8, wait_seconds=5),
    Cause.INTERNAL: Policy(attempts=4, wait_seconds=2),
    Cause.IMAGE: Policy(attempts=2, wait_seconds=10),
    Cause.OUT_OF_MEMORY: _NO_RETRY,
    Cause.DATA: _NO_RETRY,
    Cause.SCRIPT: _NO_RETRY,
    Cause.TIME_LIMIT: _NO_RETRY,
    Cause.STOPPED: _NO_RETRY,
    # It waits for its turn in the queue, not for a time, and however often it has to.
    Cause.PREEMPTED: Policy(attempts=10_000, wait_seconds=0),
    Cause.REFUSED: _NO_RETRY,
}
MAX_WAIT_SECONDS = 900
DEFAULT_WIDENED_ATTEMPTS = 3
"""For a cause that is tried again only because the user asks for it, without saying how often."""

# In SageMaker's FailureReason, before the colon; in what Step Functions caught, the error's name.
_BY_CATEGORY = (
    ("CapacityError", Cause.CAPACITY),
    ("Insufficient capacity", Cause.CAPACITY),
    ("InsufficientCapacity", Cause.CAPACITY),
    ("INSUFFICIENT_INSTANCE_CAPACITY", Cause.CAPACITY),
    ("ResourceLimitExceeded", Cause.CAPACITY),
    ("Throttl", Cause.THROTTLING),
    ("TooManyRequests", Cause.THROTTLING),
    ("Rate exceeded", Cause.THROTTLING),
    ("InternalServerError", Cause.INTERNAL),
    ("InternalFailure", Cause.INTERNAL),
    ("ServerException", Cause.INTERNAL),
    ("ServiceUnavailable", Cause.INTERNAL),
    ("CannotPullContainer", Cause.IMAGE),
    ("ImageNotFound", Cause.IMAGE),
    ("CannotCreateContainer", Cause.INTERNAL),
    ("CannotStartContainer", Cause.INTERNAL),
    ("CannotInspectContainer", Cause.INTERNAL),
    ("ContainerRuntimeTimeoutError", Cause.INTERNAL),
    ("DockerTimeoutError", Cause.INTERNAL),
    ("ResourceInitializationError", Cause.INTERNAL),
    # Not "Spot" alone: SageMaker names the parameter EnableManagedSpotTraining when it refuses a request.
    ("SpotInterruption", Cause.SPOT_INTERRUPTION),
    ("Host EC2", Cause.SPOT_INTERRUPTION),
    ("OutOfMemoryError: Container killed", Cause.OUT_OF_MEMORY),
    ("Task failed to start", Cause.INTERNAL),
    ("ClientError", Cause.DATA),
)
_SCRIPTS_OWN = ("AlgorithmError", "Essential container")
_IMAGE_AT_FAULT = re.compile(
    r"(?i)cannot pull|image .*(?:not found|does not exist)|no permission to .*ecr|executable file not found"
)
_MEMORY_IN_CLIENT_ERROR = re.compile(r"(?i)instance type with more memory|out of memory")
DATA_IN_MANIFEST = "data"
"""What the agent writes as the cause where it, and not SageMaker, could not fetch the dataset."""

_GPU_MEMORY_IS_FULL = re.compile(
    r"CUDA out of memory|CUDA error: out of memory|cudaErrorMemoryAllocation|CUDNN_STATUS_ALLOC_FAILED"
    r"|OOM when allocating tensor[^\n]*GPU:\d"
)
# The kernel's, CPython's, PyTorch's, TensorFlow's, C++'s and XGBoost's words for memory that is used up.
_MEMORY_IS_FULL = re.compile(
    r"CUDA out of memory|CUDA error: out of memory|cudaErrorMemoryAllocation|\bOutOfMemoryError\b|\bMemoryError\b"
    r"|can't allocate memory|Cannot allocate memory|OOM when allocating tensor|std::bad_alloc|Unable to allocate \S+ \S?iB"
    r"|Container killed due to memory usage"
)
_KILLED = 137  # 128 + SIGKILL: nobody here kills a script that is not being stopped, but the kernel does
_EXIT_CODE = re.compile(r"exit code: (\d+)\s*$", re.IGNORECASE)


def cause_of(found: BackendJob, error: str | None, said: str | None = None, claimed: str | None = None) -> Cause:
    """Why an attempt that did not complete ended.

    Args:
        error: what Step Functions caught, `name: text`, when the backend knows nothing of the attempt.
        said: the script's own last words.
        claimed: the cause in the manifest. A script may write it too, and gains nothing: nobody retries lacking data.
    """
    if found.timed_out:
        return Cause.TIME_LIMIT
    if found.state is BackendState.STOPPED:
        return Cause.PREEMPTED if found.is_preempted else Cause.STOPPED
    if found.state is not BackendState.FAILED:
        return _by_category(error or "") or Cause.REFUSED
    reason = found.reason or ""
    if not reason.startswith(_SCRIPTS_OWN) and (cause := _by_category(reason)):
        return _closer(cause, reason)
    if _is_memory_full(found, reason, said or ""):
        return Cause.OUT_OF_MEMORY
    return Cause.DATA if claimed == DATA_IN_MANIFEST else Cause.SCRIPT


def wait_before_retry(cause: Cause, ended: int, asked: Mapping[str, Any], seed: str) -> int | None:
    """Seconds until the next attempt, or None when there is to be none.

    Half of the wait is fixed, half by chance, so that jobs which fail together do not come back together. The chance is
    drawn from the seed: whoever asks twice is told the same.

    Args:
        ended: how many attempts have ended, without those that gave way to another job.
        asked: `config.retry` of the job.
        seed: tells this retry from all others.
    """
    policy = policy_of(cause, asked)
    if ended >= policy.attempts:
        return None
    longest = min(MAX_WAIT_SECONDS, policy.wait_seconds << min(20, max(0, ended - 1)))
    half = longest // 2
    return longest - half + random.Random(seed).randint(0, half)  # noqa: S311  not for secrets


def policy_of(cause: Cause, asked: Mapping[str, Any]) -> Policy:
    """The table's policy as a job tightens or widens it; of what nobody may ask for, the table's."""
    usual = POLICIES[cause]
    if cause not in ASKABLE:
        return usual
    only = asked.get("on")
    most = asked.get("max_attempts")
    if only is None and cause is Cause.OUT_OF_MEMORY and asked.get("larger_instance"):
        return Policy(most if most is not None else DEFAULT_WIDENED_ATTEMPTS, usual.wait_seconds)
    if only is None:
        return Policy(most, usual.wait_seconds) if most is not None and usual.retries else usual
    if cause.value not in only:
        return _NO_RETRY
    widened = usual.attempts if usual.retries else DEFAULT_WIDENED_ATTEMPTS
    return Policy(most if most is not None else widened, usual.wait_seconds)


ASKABLE = frozenset(Cause) - {Cause.TIME_LIMIT, Cause.STOPPED, Cause.PREEMPTED, Cause.REFUSED}
"""What `config.retry.on` may name: all after which another attempt can have another end."""


def is_gpu_memory(reason: str) -> bool:
    """Whether the memory that was used up is that of a GPU, by the words of an attempt that ended so."""
    return bool(_GPU_MEMORY_IS_FULL.search(reason))


def _by_category(text: str) -> Cause | None:
    return next((cause for fragment, cause in _BY_CATEGORY if fragment in text), None)


def _closer(cause: Cause, reason: str) -> Cause:
    """What a category that means several things means here."""
    if cause is Cause.DATA and _MEMORY_IN_CLIENT_ERROR.search(reason):
        return Cause.OUT_OF_MEMORY
    return Cause.IMAGE if cause in {Cause.DATA, Cause.INTERNAL} and _IMAGE_AT_FAULT.search(reason) else cause


def _is_memory_full(found: BackendJob, reason: str, said: str) -> bool:
    if _MEMORY_IS_FULL.search(reason) or _MEMORY_IS_FULL.search(said):
        return True
    match = _EXIT_CODE.search(reason)
    code = int(match[1]) if match else found.exit_code
    return code == _KILLED
