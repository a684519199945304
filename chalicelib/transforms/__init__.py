"""Batch transform: a model over a dataset in the artifact store, without an endpoint.

`transform.py` is the value, `service.py` begins, lists and cancels, `planning.py` and `finishing.py` are the first and the
last step of the machine `transform_data`.
"""
