"""The front door: the one address a user needs.

`/api/v1/**` goes to the deployed API, `/issuer/**` answers what a verifier of tokens asks for, `/healthz` says that the door
is open. `upstream` keeps connections to the AWS services, `app` decides where a request goes, `__main__` serves it.
"""
