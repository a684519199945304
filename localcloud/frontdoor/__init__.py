"""The front door: the one address a user needs.

`/api/v1/**` goes to the deployed API, `/issuer/**` answers what a verifier of tokens asks for, `/healthz` says that the door
is open. `app` decides where a request goes, `__main__` serves it.
"""
