"""How a user's own server hears of events: webhooks, as the Standard Webhooks specification has them.

`webhook.py` the record, `delivery.py` one event on its way to one webhook · `addresses.py` where a webhook may lead,
`post.py` one request there, `signature.py` how it is signed, `vault.py` the secrets · `intake.py` makes deliveries of
events, `sending.py` attempts them, lane by lane · `store.py` the table `webhooks` · `service.py`, `request.py`, `views.py`,
`routes.py` the REST of it · `tasks.py` what the queue and the clock call, `gateways.py` the queue.
"""
