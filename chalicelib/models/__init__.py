"""Models: one version of a named model each, from a finished job or registered from outside.

`model.py` the noun and its states · `request.py` the shapes · `manifest.py` what a job's manifest says of its model ·
`store.py` records in DynamoDB · `registration.py` a job's model into both registries · `external.py` the files of a
model that was made elsewhere · `service.py` register such a one, list, get, deprecate · `views.py` a model as a
document · `routes.py` and `tasks.py` the thin edges. MLflow's side is in `chalicelib/tracking/`.
"""
