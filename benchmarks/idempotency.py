"""The same submission many times at once: one job, one execution, one reservation, the same answer to everybody."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from aimatrix.client import Client
from benchmarks.cloud import cloud, trivial_request
from benchmarks.figures import Figure

CLIENTS, ROUNDS = 8, 1000
_NOTHING = "print('done', flush=True)\n"


@dataclass(frozen=True)
class Outcome:
    """
    Attributes:
        violations: rounds with more than one job, differing answers, or another body let through, in words.
        jobs: ids of the jobs that were made.
    """

    rounds: int
    violations: tuple[str, ...]
    jobs: tuple[str, ...]


def hammer(client: Client, api: str, token: str, rounds: int) -> Outcome:
    """One key per round, sent by all clients at once, then once more, then with another body."""
    body = trivial_request(client, _NOTHING).to_document()
    violations: list[str] = []
    jobs: list[str] = []
    with (
        httpx.Client(base_url=api, headers={"Authorization": f"Bearer {token}"}, timeout=60) as http,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        for number in range(rounds):
            key = {"Idempotency-Key": f"round-{number}"}

            def send(document: dict[str, Any], key: dict[str, str] = key) -> httpx.Response:
                return http.post("/training/jobs", json=document, headers=key)

            answers = [*pool.map(send, [body] * CLIENTS), send(body)]
            found = {(each.status_code, _identity(each)) for each in answers}
            if len(found) != 1 or answers[0].status_code != 201:
                violations.append(f"round {number}: {sorted(found)}")
                continue
            if (other := send({**body, "name": "another"})).status_code != 409:
                violations.append(f"round {number}: another body was answered {other.status_code}")
            jobs.append(answers[0].json()["job_id"])
    return Outcome(rounds, tuple(violations), tuple(jobs))


def measure() -> list[Figure]:
    with cloud() as running, running.client() as client:
        running.raise_quota()
        began = time.monotonic()
        outcome = hammer(client, running.api, running.token(), ROUNDS)
        seconds = time.monotonic() - began
        ended = [client.jobs.wait(job_id, timeout=300) for job_id in outcome.jobs]
        listed = sum(1 for _ in client.jobs.list(page_size=200))
    return [
        Figure(f"rounds of {CLIENTS} + 1 submissions with one key", outcome.rounds, "rounds"),
        Figure("rounds with another outcome than one job for all", len(outcome.violations), "rounds", 0),
        Figure("jobs beyond one a round", listed - outcome.rounds, "jobs", 0),
        Figure("jobs that did not complete", sum(job.status != "completed" for job in ended), "jobs", 0),
        Figure("submissions answered", outcome.rounds * (CLIENTS + 2) / seconds, "per s"),
    ]


def _identity(answer: httpx.Response) -> str:
    """What must be the same in every answer; the status may have moved on between two of them."""
    document = answer.json()
    return "|".join(str(document.get(name)) for name in ("job_id", "created_at", "estimated_duration"))
