"""Reads of the system's process table (psutil, so that it holds on every platform)."""

from __future__ import annotations

from collections.abc import Iterator

import psutil

KILL_SECONDS = 5.0


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
    psutil.wait_procs(family, timeout=KILL_SECONDS)
