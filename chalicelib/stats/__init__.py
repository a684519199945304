"""Statistics: what runs, who uses how much, how good models are, what became of a framework's jobs.

Nothing is counted when it is asked for: each answer reads records that are kept where their facts arise. Quotas keep what
users use, metrics how many there are, models who serves them; the day's counters of a framework are added to in the
transactions that record and end jobs.

`framework.py` counters of a day and their sums · `store.py` the counters · `service.py` who may see what, and what it is
read from · `views.py` and `routes.py` the thin edge.
"""
