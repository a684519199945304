"""Our rules about the state machines: bounded waits, retries that spread out, and one end for every path."""

from __future__ import annotations

from collections.abc import Iterator

from infra.asl import Definition, State, states

FINISHING = {
    "train-job": "FinishJob",
    "deploy-model": "FinishDeployment",
    "undeploy-model": "FinishDeployment",
    "shift-traffic": "Done",
    "transform-data": "FinishTransform",
}
"""The state that every path of a machine ends in, and the only one that may end it."""

_RETRY_FIELDS = {"ErrorEquals", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds", "JitterStrategy"}
_FINISH_SECONDS = 3600
"""The finishing state keeps trying at least this long, at the latest possible times."""


def problems(machine: str, definition: Definition) -> list[str]:
    finishing = FINISHING[machine]
    found = [*_language(definition), *_comments(definition), *_timeouts(definition), *_retries(definition, finishing)]
    found += [*_caught(definition, finishing), *_one_end(definition, finishing)]
    return [f"{machine}: {problem}" for problem in found]


def _language(definition: Definition) -> Iterator[str]:
    if definition.get("QueryLanguage") != "JSONata":
        yield "is not written in JSONata"
    if "TimeoutSeconds" in definition:
        yield "has a timeout for the whole, which would end it without its finishing state"


def _comments(definition: Definition) -> Iterator[str]:
    yield from (
        f"{state.name} does not say why it exists" for state in states(definition) if not state.body.get("Comment")
    )


def _timeouts(definition: Definition) -> Iterator[str]:
    for state in states(definition):
        if state.kind == "Task" and not isinstance(state.body.get("TimeoutSeconds"), int):
            yield f"{state.name} has no explicit timeout"


def _retries(definition: Definition, finishing: str) -> Iterator[str]:
    for state in states(definition):
        if state.kind == "Task" and not state.body.get("Retry"):
            yield f"{state.name} never retries"
        for retry in state.body.get("Retry", []):
            if retry.get("MaxAttempts") == 0:
                # An error that is final: there is nothing to wait for.
                continue
            if missing := _RETRY_FIELDS - retry.keys():
                yield f"{state.name} has a retry without {', '.join(sorted(missing))}"
            elif retry["JitterStrategy"] != "FULL":
                yield f"{state.name} retries in step with everyone else"
        if state.name == finishing and state.kind == "Task" and _longest(state) < _FINISH_SECONDS:
            yield f"{state.name} gives up after {_longest(state):.0f} s"


def _one_end(definition: Definition, finishing: str) -> Iterator[str]:
    outer = {state.name: state for state in states(definition) if not state.inner}
    for state in outer.values():
        if state.is_end and state.name != finishing:
            yield f"{state.name} ends the machine without {finishing}"
        if finishing not in _reachable(outer, state.name):
            yield f"{finishing} cannot be reached from {state.name}"
    for name in outer.keys() - _reachable(outer, definition["StartAt"]):
        yield f"{name} is never reached"


def _caught(definition: Definition, finishing: str) -> Iterator[str]:
    for state in states(definition):
        if state.kind != "Task" or state.name == finishing:
            continue
        if not state.catches_all and not state.is_caught:
            yield f"{state.name} lets an error end the machine"


def _reachable(outer: dict[str, State], start: str) -> set[str]:
    seen, waiting = set[str](), [start]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += outer[name].successors()
    return seen


def _longest(state: State) -> float:
    """Seconds over which the retries of the last retrier are spread."""
    retry = state.body["Retry"][-1]
    delays = (
        min(retry["MaxDelaySeconds"], retry["IntervalSeconds"] * retry["BackoffRate"] ** attempt)
        for attempt in range(retry["MaxAttempts"])
    )
    return float(sum(delays))
