"""Experiments: variants compared by outcomes, looked at at any time, decided once.

`experiment.py` the noun · `metric.py` what is measured, and its counters · `statistics/` the arithmetic · `look.py` what one
look makes of the counters, `report.py` what it found as a document, `wording.py` the reason in a plain sentence ·
`request.py` the shapes · `rules.py` what a valid request obeys · `planning.py` the power calculation · `items.py` and
`store.py` records in DynamoDB · `service.py` create, list, get, stop · `outcomes.py` counts that come in, and the look that
follows · `joining.py` single exposures and outcomes · `allocation.py` what each variant gets · `traffic.py`,
`traffic_store.py` and `steering.py` an endpoint's requests, split so · `views.py` documents · `routes.py` and `tasks.py` the
thin edges.
"""
