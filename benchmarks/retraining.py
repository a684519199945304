"""Ten thousand uploads in a minute become one run, of all of them; a single one becomes a job soon.

Objects are put by boto3, as any program does that knows nothing of this service.
"""

from __future__ import annotations

import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import httpx

from benchmarks.cloud import Cloud, cloud, trivial_request
from benchmarks.figures import Figure

OBJECTS, THREADS, SINGLE = 10_000, 16, 5
DEBOUNCE, SINGLE_DEBOUNCE = 20, 1
ROW = b"age,churned\n30,0\n"


def measure() -> list[Figure]:
    with cloud() as running, running.client() as client:
        running.raise_quota()
        script = trivial_request(client).script_path
        return [*_single(running, script), *_storm(running, script)]


def _single(running: Cloud, script: str) -> list[Figure]:
    policy, seconds = _policy(running, script, "single", SINGLE_DEBOUNCE), []
    for number in range(1, SINGLE + 1):
        began = time.time()
        _put(running, policy, f"{number}.csv")
        run = _ended(running, policy, number)
        seconds.append(datetime.fromisoformat(run["submitted_at"]).timestamp() - began)
    return [
        Figure(f"upload → job accepted, beyond {SINGLE_DEBOUNCE} s debounce", statistics.median(seconds) - 1, "s"),
    ]


def _storm(running: Cloud, script: str) -> list[Figure]:
    policy = _policy(running, script, "storm", DEBOUNCE)
    s3 = running.boto("s3")
    bucket, _, prefix = policy["source"]["uri_prefix"].removeprefix("s3://").partition("/")
    began = time.monotonic()
    with ThreadPoolExecutor(THREADS) as threads:
        for _ in threads.map(
            lambda number: s3.put_object(Bucket=bucket, Key=f"{prefix}{number:05d}.csv", Body=ROW), range(OBJECTS)
        ):
            pass
    put = time.monotonic() - began
    run = _ended(running, policy, 1, seconds=1800)
    told = _lines(running, "gathered")
    runs = _get(running, f"retraining-policies/{policy['id']}/runs")["runs"]
    return [
        Figure("10,000 uploads: put in", put, "s", digits=1),
        Figure("the same: runs", len(runs), "", 1, digits=0),
        Figure("the same: objects that are not in the run", OBJECTS - run["objects"], "", 0, digits=0),
        Figure("the same: objects that its job was not given", OBJECTS - run["data"]["objects"], "", 0, digits=0),
        Figure("the same: calls of the function that took them", len(told), "", digits=0),
        Figure("the same: upload of the last → job accepted", _since(run, began + put), "s", digits=1),
    ]


def _since(run: dict[str, Any], moment: float) -> float:
    """From a moment of the monotonic clock until a run's job was accepted."""
    return datetime.fromisoformat(run["submitted_at"]).timestamp() - (time.time() - (time.monotonic() - moment))


def _policy(running: Cloud, script: str, name: str, debounce: int) -> dict[str, Any]:
    place = script[: script.index("/users/bench/") + len("/users/bench/")]
    body = {
        "name": name,
        "source": {"type": "s3", "uri_prefix": f"{place}data/{name}/"},
        "debounce": debounce,
        "job": {"name": name, "framework": "custom", "config": {"script_path": script}},
    }
    answer = httpx.post(f"{running.api}/retraining-policies", json=body, headers=_headers(running), timeout=60)
    answer.raise_for_status()
    made: dict[str, Any] = answer.json()
    return made


def _put(running: Cloud, policy: dict[str, Any], name: str) -> None:
    bucket, _, prefix = policy["source"]["uri_prefix"].removeprefix("s3://").partition("/")
    running.boto("s3").put_object(Bucket=bucket, Key=f"{prefix}{name}", Body=ROW)


def _ended(running: Cloud, policy: dict[str, Any], number: int, seconds: float = 120) -> dict[str, Any]:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        path = f"retraining-policies/{policy['id']}/runs/{number}"
        answer = httpx.get(f"{running.api}/{path}", headers=_headers(running), timeout=60)
        if answer.status_code == httpx.codes.OK and answer.json()["status"] not in {
            "gathering",
            "starting",
            "training",
        }:
            found: dict[str, Any] = answer.json()
            if found["status"] != "succeeded":
                raise RuntimeError(f"run {number} has {found['status']}: {found.get('reason')}")
            return found
        time.sleep(0.5)
    raise TimeoutError(f"run {number} of {policy['name']} has not ended in {seconds:g} s")


def _get(running: Cloud, path: str) -> Any:
    answer = httpx.get(f"{running.api}/{path}", headers=_headers(running), timeout=60)
    answer.raise_for_status()
    return answer.json()


def _headers(running: Cloud) -> dict[str, str]:
    return {"Authorization": f"Bearer {running.token()}"}


def _lines(running: Cloud, message: str) -> list[dict[str, Any]]:
    """What the function has logged under this message."""
    logs = running.boto("logs")
    (group,) = (
        each["logGroupName"]
        for each in logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/")["logGroups"]
        if each["logGroupName"].endswith("-retrain")
    )
    found = []
    for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group, filterPattern=f'"{message}"'):
        found += [json.loads(event["message"]) for event in page["events"] if f'"{message}"' in event["message"]]
    return found
