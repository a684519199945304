"""Reads of the system's process table (psutil, so that it holds on every platform)."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

import psutil

KILL_SECONDS = 5.0
POLL_SECONDS = 0.005


def children_of(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.NoSuchProcess:
        return []


def carries(pid: int, variable: str, value: str) -> bool:
    """Whether the process was started with this environment variable."""
    try:
        return psutil.Process(pid).environ().get(variable) == value
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def is_ended(pid: int) -> bool:
    """Whether the process has ended and waits to be reaped."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def marked(variable: str, value: str) -> Iterator[int]:
    """Every process that was started with this environment variable."""
    for pid in psutil.pids():
        if carries(pid, variable, value):
            yield pid


def kill_tree(pid: int) -> None:
    """SIGKILL to a process and its descendants; waits until they are gone."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    deadline = time.monotonic() + KILL_SECONDS
    # An ended process whose parent is slow to reap it counts as gone; nothing signals the end of a stranger's child.
    while not all(_has_ended(member) for member in family) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    for member in family:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(member.pid, os.WNOHANG)


def _has_ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
