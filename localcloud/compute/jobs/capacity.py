"""How many jobs run at once on this machine: first come, first served."""

from __future__ import annotations

import asyncio


class Slots:
    """A fair counting semaphore that can be asked how full it is."""

    def __init__(self, count: int) -> None:
        self._semaphore = asyncio.Semaphore(count)
        self.count = count
        self.used = 0

    async def acquire(self) -> None:
        await self._semaphore.acquire()
        self.used += 1

    def release(self) -> None:
        self.used -= 1
        self._semaphore.release()
