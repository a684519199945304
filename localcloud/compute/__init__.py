"""The compute emulator: SageMaker and AWS Batch on one machine, with real processes behind the real APIs.

A request's way: `app.py` finds the operation in botocore's model (`protocol.py`), validates it (`validation.py`), asks the
control plane whether the caller may (`control.py`), and hands it to the part that registered the operation
(`operations.py`). Parts: `training/`, `batch/`, and the hosting of endpoints. They stand on one `Host` (`host.py`), made
in `wiring.py`.

A job's way: `jobs/layout.py` makes its directory, `jobs/channels.py` fetches its data with its role's credentials,
`processes.py` starts it under a guardian (`guardian.py`), `log_shipping.py` moves what it prints to CloudWatch Logs,
`jobs/archive.py` packs what it leaves, and every change is in `store.py` before anybody hears of it.
"""
