"""Makes sure that the deployed API answers users before the cloud is called ready.

That the template was deployed says that its parts exist, not that they work together. Two requests through the front door
take the ways that a user's take: one that anybody may make, and one that needs a token, which the API's authorizer verifies
with the issuer's key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from http import HTTPStatus

import urllib3

LONGEST_SECONDS = 10.0
PAUSE_SECONDS = 0.1
REQUEST_SECONDS = 30.0
SHOWN_CHARACTERS = 300

Get = Callable[[str, Mapping[str, str]], tuple[int, str]]
"""Asks for a URL with these headers; answers status and body.

Raises:
    ConnectionError: nobody answered.
"""


class NotAnsweringError(Exception):
    """The API did not answer as it should; the message has its last answer."""


def await_api(
    api_url: str,
    token: Callable[[], str],
    get: Get,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Ask until both requests have succeeded.

    Args:
        api_url: the API's address, at the front door.
        token: makes a user's token; called when the first request has succeeded.

    Raises:
        NotAnsweringError: not in time.
    """
    deadline = now() + LONGEST_SECONDS
    _await_ok(f"{api_url}/health", {}, get, deadline, now, sleep)
    headers = {"Authorization": f"Bearer {token()}"}
    _await_ok(f"{api_url}/training/jobs?limit=1", headers, get, deadline, now, sleep)


def _await_ok(
    url: str,
    headers: Mapping[str, str],
    get: Get,
    deadline: float,
    now: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    while True:
        try:
            status, body = get(url, headers)
            answer = f"{status} {' '.join(body.split())[:SHOWN_CHARACTERS]}"
        except ConnectionError as error:
            status, answer = 0, str(error)
        if status == HTTPStatus.OK:
            return
        if now() > deadline:
            raise NotAnsweringError(f"the API does not answer as it should: GET {url}: {answer}")
        sleep(PAUSE_SECONDS)


def http_get(url: str, headers: Mapping[str, str]) -> tuple[int, str]:
    """The real `Get`."""
    try:
        response = urllib3.request(
            "GET", url, headers=dict(headers), timeout=REQUEST_SECONDS, retries=False, redirect=False
        )
    except urllib3.exceptions.HTTPError as error:
        raise ConnectionError(f"no answer ({type(error).__name__})") from error
    return response.status, response.data.decode(errors="replace")
