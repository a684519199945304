"""The reconciler: does what is recorded agree with what runs?

`sweep.py` compares and repairs, `repair.py` says what it did, `gateways.py` asks Step Functions, SageMaker and Batch,
`store.py` keeps the last report, `service.py` and `routes.py` are for administrators, `tasks.py` for the schedule and for
executions that ended badly.
"""
