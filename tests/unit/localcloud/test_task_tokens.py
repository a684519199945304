"""Whose a task token is, before and after its task has ended."""

from __future__ import annotations

import json

from localcloud.seam.task_tokens import Machines

MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:training"


def answer(token: object) -> bytes:
    return json.dumps({"taskToken": token, "output": "{}"}).encode()


def test_a_token_belongs_to_the_machine_whose_task_waits_with_it() -> None:
    machines = Machines(kept=1)
    machines.begin("a", MACHINE)
    assert machines.of_request(answer("a")) == MACHINE


def test_a_late_answer_is_still_asked_on_the_machine_so_that_it_is_told_the_task_has_ended() -> None:
    machines = Machines(kept=1)
    machines.begin("a", MACHINE)
    machines.end("a")
    assert machines.of_request(answer("a")) == MACHINE


def test_only_as_many_ended_tasks_are_kept_as_said_and_the_oldest_goes_first() -> None:
    machines = Machines(kept=2)
    for token in "abc":
        machines.begin(token, MACHINE)
    for token in "abc":
        machines.end(token)
    assert [machines.of_request(answer(token)) for token in "abc"] == [None, MACHINE, MACHINE]


def test_what_is_no_token_is_nobodys() -> None:
    machines = Machines(kept=1)
    bodies = [b"", b"[]", b"{", b"\xff", b"{}", answer(None), answer(["a"]), answer({})]
    assert [machines.of_request(body) for body in bodies] == [None] * len(bodies)
