"""Lineage: from data over a job and its model to the deployments that serve it, and back.

Nothing is kept for it: the records of the rooms refer to each other, and each reference can be read both ways.
"""
