"""Serving a packaged model the way SageMaker does: `GET /ping`, `POST /invocations`, four functions in between.

- `protocol`: what a request and an answer look like.
- `loaded`, `kinds/`: how a model of each kind is loaded and asked.
- `functions`: SageMaker's `model_fn`, `input_fn`, `predict_fn`, `output_fn`.
- `generate`: joins the modules above into the `code/inference.py` that each `model.tar.gz` carries.
- `server`: the process that hosts an unpacked `model.tar.gz` on a laptop, where AWS's inference image isn't.

Python 3.9 or later and the standard library; numpy and frameworks only where a model needs them.
"""
