"""Why a job waits, and whose turn it is.

A pool is what an operator allows of one kind of machine at once, counted in GPUs, or in vCPUs where there are none. A job
that does not fit waits in the state machine, with a task token; whoever ends sees to it that the next is admitted.

`pool.py` the limit and its counters · `entry.py` a job's place in a pool · `share.py` how much an owner has used lately ·
`order.py` whose turn it is · `forecast.py` who goes before, and until when · `items.py` and `store.py` DynamoDB ·
`admission.py` enter, wait, admit, leave · `preemption.py` who gives way to a critical job · `upkeep.py` what the minute's
schedule looks after · `answer.py` what is said of a wait · `queue.py` why a job waits, or would · `batch_queue.py` the same
in a queue of Batch, with `container_queues.py` and `service_queues.py` for what Batch says of its two kinds · `service.py`
an operator's view of the pools · `account.py` and `importing.py` limits from the AWS account's own quotas · `gateways.py`
task tokens, Service Quotas · `routes.py` and `tasks.py` the thin edges.
"""
