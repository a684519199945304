"""`python3 agent.zip train --root /opt/ml`: what a training container runs."""

from __future__ import annotations

import os
import sys

USAGE = """usage: python3 agent.zip train [--root DIR]

Runs the training script that AIMATRIX_SPEC_URI names in a container laid out as SageMaker does (DIR: /opt/ml).
"""


def main(arguments: list[str]) -> int:
    """Returns the process's exit code: the script's own, or 2 for wrong usage."""
    words = list(arguments)
    root = "/opt/ml"
    if "--root" in words[:-1]:
        at = words.index("--root")
        root = words[at + 1]
        del words[at : at + 2]
    if words in (["--help"], ["-h"]):
        sys.stdout.write(USAGE)
        return 0
    if words != ["train"]:
        sys.stderr.write(USAGE)
        return 2
    from pathlib import Path

    from trainer.agent import train
    from trainer.console import Console

    return train(Path(root), os.environ, Console())


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # Nothing is left to tidy up; threads that wait for a server, and the interpreter's own shutdown, need not be waited for.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
