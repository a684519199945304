"""Settings of hosting. Seconds and bytes throughout; the defaults are SageMaker's where SageMaker documents one."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1024 * 1024
GIBIBYTE = 1024 * MEBIBYTE


@dataclass(frozen=True)
class HostingSettings:
    """Limits of one machine that stands in for many.

    Attributes:
        instance_cap: processes that one variant gets at most, however many instances it asks for.
        model_bytes: of an unpacked model.
        model_files: in an unpacked model.
        startup_timeout: until `/ping` answers, where the variant names none.
        request_timeout: of one invocation.
        stop_grace: between SIGTERM and SIGKILL, once a process has no request left.
        drain_timeout: for requests in progress when an instance is to end.
        restart_first: wait before a process that died is started again; doubles up to `restart_most`.
        serverless_idle: without a request, until a serverless variant has no process any more.
        healthy_after: a process that lived this long starts again with the first wait.
    """

    instance_cap: int = 2
    model_bytes: int = 20 * GIBIBYTE
    model_files: int = 100_000
    payload_bytes: int = 25 * MEBIBYTE
    startup_timeout: float = 480.0
    request_timeout: float = 60.0
    stop_grace: float = 5.0
    drain_timeout: float = 65.0
    serverless_idle: float = 30.0
    restart_first: float = 0.2
    restart_most: float = 30.0
    healthy_after: float = 60.0
    ping_first: float = 0.02
    ping_most: float = 0.5
