"""Everything that is swept: each handler of the API and each function of the template, with a world to run it in.

`faulty.py` what a handler is, and how its calls are struck · `services.py` the services on an embedded cloud, and worlds ·
`jobs.py`, `models.py`, `deployments.py`, `administration.py`, `streams.py` the handlers, by room · `left_out.py` what is
not swept, and why.
"""
