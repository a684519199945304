"""Twenty readers follow one job that prints 200,000 lines, their connections cut at random: each sees each line once.

A cut closes the connection in the middle of an answer; the reader asks again from the last cursor that it has whole.
"""

from __future__ import annotations

import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from benchmarks.cloud import cloud, trivial_request
from benchmarks.figures import Figure

FOLLOWERS, LINES = 20, 200_000
CUT = 0.2
SEED = 11
SCRIPT = f"for number in range({LINES}):\n    print('line', number)\n"
_SECONDS = 3000


@dataclass
class Reader:
    """
    Attributes:
        expected: the number of the line that comes next.
        wrong: lines that came twice, or in the place of another.
        ended: the service said that there is no more.
    """

    chance: random.Random
    expected: int = 0
    wrong: int = 0
    cuts: int = 0
    ended: bool = False

    def follow(self, http: httpx.Client, path: str) -> None:
        cursor: str | None = None
        until = time.monotonic() + _SECONDS
        while not self.ended and time.monotonic() < until:
            parameters = {"follow": "true", **({"cursor": cursor} if cursor else {})}
            with http.stream("GET", path, params=parameters) as answer:
                answer.raise_for_status()
                if self.chance.random() < CUT:
                    self.cuts += 1
                    next(answer.iter_raw(), b"")
                    continue
                body = answer.read()
            for line in body.decode().splitlines():
                entry = json.loads(line)
                if entry["source"] == "script":
                    self.take(entry["message"])
            cursor = answer.headers["x-next-cursor"]
            self.ended = answer.headers["x-stream-end"] == "true"

    def take(self, message: str) -> None:
        if message != f"line {self.expected}":
            self.wrong += 1
        self.expected += 1


def measure() -> list[Figure]:
    with cloud() as running, running.client() as client:
        job = client.jobs.submit(trivial_request(client, SCRIPT))
        readers = [Reader(random.Random(SEED + number)) for number in range(FOLLOWERS)]  # noqa: S311
        headers = {"Authorization": f"Bearer {running.token()}", "Accept": "application/x-ndjson"}
        limits = httpx.Limits(max_connections=FOLLOWERS)
        began = time.monotonic()
        with (
            httpx.Client(headers=headers, timeout=120, trust_env=False, limits=limits) as http,
            ThreadPoolExecutor(FOLLOWERS) as pool,
        ):
            path = f"{running.api}/training/jobs/{job.job_id}/logs"
            for done in [pool.submit(reader.follow, http, path) for reader in readers]:
                done.result()
        seconds = time.monotonic() - began
    return [
        Figure(
            f"followers of {LINES:,} lines that were told of the end",
            sum(each.ended for each in readers),
            "",
            FOLLOWERS,
            more_is_better=True,
            digits=0,
        ),
        Figure(
            "lines that came twice or out of their place", sum(each.wrong for each in readers), "lines", 0, digits=0
        ),
        Figure("lines that did not come", sum(abs(LINES - each.expected) for each in readers), "lines", 0, digits=0),
        Figure("connections cut", sum(each.cuts for each in readers), "", digits=0),
        Figure("lines read by all together", FOLLOWERS * LINES / seconds, "per s", digits=0),
    ]
