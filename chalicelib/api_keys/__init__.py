"""How a program gets in without a token: API keys, sent as `X-API-Key`.

A key acts as the user who made it, with a part of what that user may do, until it expires or is revoked. Its secret is
shown once and kept by nobody: the record holds a keyed hash.

`key.py` the record, the key as text, and the hash · `store.py` the table `keys` · `service.py` create, list and revoke ·
`authentication.py` who presents a key · `gateways.py` the pepper · `request.py`, `views.py`, `routes.py` the REST of it.
"""
