"""Wires everything once: clients into stores, stores into services. Nothing is made before it is asked for.

Layers, each of which knows those above it: `stores.py` ← `identity.py` ← `capacity.py` ← `jobs.py` ← `models.py` ←
`events.py` ← `webhooks.py` ← `experiments.py` ← `rollouts.py` ← `auto_deployment.py` ← `platform.py`, which is the whole.
A room's modules are imported when its service is first used: a function that plans jobs never loads deployments.
"""

from chalicelib.bootstrap.platform import Platform

__all__ = ["Platform"]
