"""AWS Batch's queues for SageMaker training jobs: service environments, quota shares, service jobs.

`catalog.py` the environments and shares · `rules.py` which job starts and which gives way, purely · `record.py` what is
known about a service job · `part.py` the operations, and how a service job becomes a training job and follows it.
"""
