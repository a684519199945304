"""Tenants: what keeps them apart where our own checks end.

`roles.py` gives each tenant roles of its own for its containers; what they may do stands in the template.
"""
