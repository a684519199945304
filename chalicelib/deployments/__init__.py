"""Deployments: a model name in an environment, behind one SageMaker endpoint that is updated in place.

`deployment.py` the noun and its states · `request.py` the shape · `rules.py` what a valid configuration obeys ·
`store.py` records in DynamoDB · `service.py` deploy, list, get, undeploy · `revising.py` the one way to a next revision ·
`weighing.py` one with other weights ·
`history.py` the revisions that have settled · `rolling_back.py` to one of them · `invocations.py` predictions ·
`scaling.py`, `scaling_report.py` instances that follow the load ·
`gateways.py` Step Functions and SageMaker behind small interfaces · `plan.py` the calls to SageMaker, as data ·
`planning.py`, `waiting.py`, `smoke.py` and `finishing.py` what the state machines ask for, a step each · `views.py` a
deployment as a document · `routes.py` and `tasks.py` the thin edges.
"""
