"""How much a user and a tenant may use, exactly.

A job reserves its worst case in the transaction that creates it and is settled to what it used in the transaction that
ends it: no counter is ever ahead of or behind the records.

`quota.py` limits, amounts and what follows from them · `charge.py` what a job may cost at most and what it cost ·
`store.py` accounts in DynamoDB · `service.py` reserve, settle · `refusal.py` why not, and when · `accounts.py` show
accounts, set limits · `check.py` recomputes every counter from the records, `position.py` where it stopped, `rounds.py` all
tenants once a day · `routes.py` and `tasks.py` the thin edges.
"""
