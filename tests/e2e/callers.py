"""Callers that ask a deployment for predictions all the while, over HTTP."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any, Self

import httpx

from aimatrix.client import Deployment
from tests.e2e import scripts
from tests.e2e.conftest import Cloud


class Callers:
    """Ask until they are told to stop.

    Args:
        token: whose they are.
        headers: of every request.

    Attributes:
        answers: what became of each request: how often which status came, of which variant.
    """

    def __init__(
        self,
        cloud: Cloud,
        deployment: Deployment,
        token: str,
        threads: int = 2,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.answers: Counter[Any] = Counter()
        self._url = f"{cloud.api}/deployments/{deployment.id}/invocations"
        self._headers = {"Authorization": f"Bearer {token}", **(headers or {})}
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def until_answered(self, more: int) -> None:
        """Wait until so many more requests were answered."""
        before = self.answers.total()
        scripts.until(lambda: self.answers.total() >= before + more)

    def _ask(self, number: int) -> None:
        with httpx.Client(headers=self._headers, timeout=30) as client:
            while not self._over.is_set():
                number += 1
                answer = client.post(self._url, json={"inputs": [[number]]})
                self.answers[answer.status_code, answer.headers.get("x-variant")] += 1
