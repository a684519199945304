"""Packaging a trained model: what did the script leave, can it be served, and what goes into `model.tar.gz`?

One call, made by the agent once the script has ended well::

    prepared = prepare(
        Path("/opt/ml/model"),
        output_dir=Path("/opt/ml/output/data"),
        staging_dir=scratch / "model",
        script_dir=Path("/opt/ml/code"),
        framework="sklearn",
        python="/usr/bin/python3",
        logged_model=scratch / "mlflow-model",
    )

The life of a model here, a module a step:

1. `candidates` lists what could be the model, best first, from file names and a few leading bytes (`formats`).
   Nothing is unpickled and no framework is imported.
2. `staging` copies (by hard link) the files that belong to the model, and nothing that a symbolic link reaches outside.
3. `probe` asks a short-lived child, run by the training environment's own Python, to load the model and say what it
   expects. A child that hangs or crashes costs the signature, never the job.
4. `package` adds `code/inference.py`, `code/requirements.txt` and `aimatrix-model.json`.

Standard library only and Python 3.9 or later: this package travels in the agent's bundle into any image.
"""

from __future__ import annotations

from trainer.model.packaging import prepare
from trainer.model.prepared import KINDS, Prepared
from trainer.model.staging import left_out

__all__ = ["KINDS", "Prepared", "left_out", "prepare"]
