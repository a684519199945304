"""Whether a failed attempt is followed by another one (Batch's retry strategies)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_CONDITIONS = {"onExitCode": "exit_code", "onReason": "reason", "onStatusReason": "status_reason"}


def retries(strategy: Mapping[str, Any], attempts_made: int, ended: Mapping[str, str]) -> bool:
    """The first rule whose every condition matches decides; without a matching rule the job is tried again.

    Args:
        ended: ``exit_code``, ``reason`` and ``status_reason`` of the attempt, as text.
    """
    if attempts_made >= int(strategy["attempts"]):
        return False
    for rule in strategy.get("evaluateOnExit", []):
        conditions = {name: rule[member] for member, name in _CONDITIONS.items() if member in rule}
        if all(_matches(pattern, ended.get(name, "")) for name, pattern in conditions.items()):
            return bool(rule["action"].upper() == "RETRY")
    return True


def _matches(pattern: str, text: str) -> bool:
    """Batch's patterns: a text, or the beginning of one followed by an asterisk."""
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern
