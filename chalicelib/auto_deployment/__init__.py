"""Models that are good enough are deployed by themselves, by a policy of their name.

`policy.py` the noun, and what it says of a model · `request.py` the shape · `store.py` records in DynamoDB · `service.py`
set, list, get, remove · `deploying.py` what follows when a model becomes ready · `views.py` a policy as a document ·
`routes.py` and `tasks.py` the thin edges.
"""
