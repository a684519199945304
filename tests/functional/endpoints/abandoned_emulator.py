"""An emulator in a process of its own, to be killed: deploys one endpoint on the state directory it is given, and waits.

python -m tests.functional.endpoints.abandoned_emulator STATE
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.functional.endpoints.hosting_harness import World, hosting


async def main(state: Path) -> None:
    async with hosting(World(state)) as hosted:
        await hosted.deploy("iris")
        print("in service", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
