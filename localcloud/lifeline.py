"""Ends a child when its parent is gone, even if the parent was killed and could not say goodbye.

The parent keeps the writing end of a pipe open and gives the reading end to the child. The kernel closes the writing end
with the parent, however it died; the child sees end-of-file and leaves.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping

ENV = "AIMATRIX_LIFELINE_FD"


def watch(environ: Mapping[str, str], on_parent_gone: Callable[[], None]) -> bool:
    """Call `on_parent_gone` in a thread of its own as soon as the parent has died.

    Returns:
        False when no parent asked for it: a part started by hand lives on its own.
    """
    number = environ.get(ENV)
    if number is None:
        return False
    descriptor = int(number)
    os.set_inheritable(descriptor, False)

    def wait() -> None:
        while os.read(descriptor, 64):
            continue
        on_parent_gone()

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
    return True
