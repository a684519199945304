"""Training jobs, from the request to the terminal status.

`job.py` the nouns · `request.py` the request's shape · `rules.py` what a valid request obeys · `secrets.py` variables that
are secret · `suspicion.py` what looks like a secret and is not marked as one · `variables.py` names of variables ·
`instances.py` and `images.py` what it runs on · `plan.py` the call to SageMaker or Batch, as data · `store.py` records in
DynamoDB · `service.py` submit, list, get, cancel · `lifecycle.py` what the state machine asks for · `reports.py` what the
agent's log lines say · `logs.py` what the script printed · `routes.py` and `tasks.py` the thin edges.
"""
