"""What a user of the service installs: a typed client and the command line over it.

``aimatrix.client``  talks to a running service, wherever it is; needs nothing but httpx and platformdirs.
``aimatrix.cli``     the command ``aimatrix``: one module a verb, thin over the client.

Nothing in here imports the service. Only the verbs that start the embedded cloud import ``localcloud``, when they run.
"""
