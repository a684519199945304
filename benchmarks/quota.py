"""Thirty-two clients against a limit of five: how many get in, and whether the counters are what the records say."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from aimatrix.client import Client
from benchmarks.cloud import cloud, trivial_request
from benchmarks.figures import Figure

CLIENTS, LIMIT, ROUNDS = 32, 5, 100
ROUND_SECONDS = 120.0
USER = "bench"
_WAITS = "import signal\nprint('waiting', flush=True)\nsignal.pause()\n"


@dataclass(frozen=True)
class Outcome:
    """What all rounds came to.

    Attributes:
        wrong_rounds: in which not exactly `LIMIT` jobs were admitted.
        differences: counters that were not what the records say, over all rounds.
        refusals: answers 429; each must name the limit.
        unexpected: answers that are neither.
    """

    rounds: int
    wrong_rounds: int
    differences: int
    refusals: int
    unexpected: tuple[str, ...]


def hammer(client: Client, api: str, user_token: str, admin_token: str, user: str, rounds: int) -> Outcome:
    """Submit with all clients at once, look, cancel what got in, wait for its end, look again; so many times."""
    body = trivial_request(client, _WAITS).to_document()
    limits = httpx.Limits(max_connections=CLIENTS)
    wrong = differences = refusals = 0
    unexpected: list[str] = []
    with (
        httpx.Client(base_url=api, headers=_bearer(user_token), timeout=60, limits=limits) as http,
        httpx.Client(base_url=api, headers=_bearer(admin_token), timeout=60) as admin,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        answered(admin.put(f"/admin/quotas/users/{user}", json={"max_concurrent_jobs": LIMIT}), 200)
        for _ in range(rounds):
            answers = list(pool.map(lambda _: http.post("/training/jobs", json=body), range(CLIENTS)))
            admitted = [each.json()["job_id"] for each in answers if each.status_code == 201]
            refused = [each for each in answers if each.status_code == 429 and "max_concurrent_jobs" in each.text]
            unexpected += [
                f"{each.status_code} {each.text[:200]}"
                for each in answers
                if each.status_code != 201 and each not in refused
            ]
            wrong += len(admitted) != LIMIT
            refusals += len(refused)
            for job_id in admitted:
                answered(http.delete(f"/training/jobs/{job_id}"), 204)
            for job_id in admitted:
                _await_cancelled(http, job_id)
            report = answered(admin.get("/admin/quotas/check"), 200)
            differences += len(report["differences"]) + len(report["in_motion"])
    return Outcome(rounds, wrong, differences, refusals, tuple(unexpected))


def measure() -> list[Figure]:
    with cloud() as running, running.client() as client:
        began = time.monotonic()
        outcome = hammer(client, running.api, running.token(), running.token("root", "ADMIN"), USER, ROUNDS)
        seconds = time.monotonic() - began
    return [
        Figure(f"rounds of {CLIENTS} clients, limit {LIMIT}", outcome.rounds, "rounds"),
        Figure("of them in which not exactly 5 were admitted", outcome.wrong_rounds, "rounds", 0),
        Figure("counters that differ from the records, after all rounds", outcome.differences, "counters", 0),
        Figure("answers that are neither 201 nor a 429 with its limit", len(outcome.unexpected), "answers", 0),
        Figure("submissions decided", outcome.rounds * CLIENTS / seconds, "per s"),
    ]


def answered(response: httpx.Response, status: int) -> Any:
    if response.status_code != status:
        raise AssertionError(
            f"{response.request.method} {response.request.url}: {response.status_code} {response.text}"
        )
    return response.json() if response.content else None


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _await_cancelled(http: httpx.Client, job_id: str) -> None:
    deadline = time.monotonic() + ROUND_SECONDS
    while answered(http.get(f"/training/jobs/{job_id}"), 200)["status"] != "cancelled":
        if time.monotonic() > deadline:
            raise AssertionError(f"the cancelled job {job_id} did not end")
        time.sleep(0.1)
