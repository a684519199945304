"""Retraining: what is uploaded below a prefix trains the next version of a model.

`upload.py` reads what S3 tells · `collecting.py` gathers uploads into runs, each once · `starting.py` makes a job of a run ·
`ending.py` follows what becomes of the job · `policy.py`, `run.py` are the values, `store.py` and `items.py` keep them ·
`service.py` is for those who set policies · `schema.py` compares new data with the data before
"""
