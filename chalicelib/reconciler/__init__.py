"""The reconciler: does what is recorded agree with what runs?

`sweep.py` goes through all that is open and all that runs, `jobs.py` and `deployments.py` compare and repair, `repair.py`
says what was done, `gateways.py` asks Step Functions, SageMaker and Batch, `store.py` keeps the last report, `service.py`
and `routes.py` are for administrators, `tasks.py` for the schedule and for executions that ended badly.
"""
