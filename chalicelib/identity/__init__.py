"""Who is calling, and what that allows.

`caller.py` is the value that every service gets; `permissions.py` the one table of who may do what; `tokens.py` verifies a
token against the issuer's keys, and `store.py` keeps those for other processes; `authorizer.py` is the Lambda that API
Gateway asks.
"""
