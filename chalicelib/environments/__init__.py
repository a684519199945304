"""What an environment asks of those who change what it serves: who, when, with whose approval, by which gates.

Everybody who changes a deployment asks `guard.py` first. What a version is approved for is kept beside the version
(`approvals.py`), what an environment asks for beside the deployments (`store.py`).
"""
