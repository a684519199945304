"""Rollouts: another version of a model takes over an endpoint's requests in steps that anyone can read.

`rollout.py` the noun and its states · `request.py` the shape · `rules.py` what a valid plan obeys · `gates.py` what may
stop it, judged from numbers · `following.py` what comes next: the whole of the decisions, pure · `traffic.py` CloudWatch
behind a small interface · `driving.py` a turn: look, decide, do · `store.py` and `items.py` records in DynamoDB ·
`service.py` start, list, get, pause, resume, promote, abort · `views.py` a rollout as a document · `routes.py` and
`tasks.py` the thin edges.
"""
