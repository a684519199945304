"""Backup, restore, move: everything a tenant owns as a folder, and back into an installation that does not know the tenant.

    layout.py        the folder: what lies where, the manifest
    wire.py          items as lines of JSON, and back
    verifying.py     the folder against its checksums; needs no installation and nothing but the standard library
    belongings.py    which items of which table are a tenant's, how they are found, and which are left out
    installation.py  an installation as an operator sees it: tables, bucket and keys; the only module that imports boto3
    exporting.py     an installation → a folder
    ledgers.py       jobs in motion, with their ledgers whole
    receipt_keys.py  the public keys that receipts are checked with
    objects.py       the bucket's part of both
    settling.py      what was open when it was exported, as it is where nothing runs
    accounts.py      the counters of the quotas, from the records of the jobs
    importing.py     a folder → an installation
    claims.py        which tenants were imported, and whether whole
    commands.py      what `aimatrix export` and `aimatrix import` do

An operator's tool, with the operator's own credentials: what is in a folder (the ledger, the audit log) is nothing that the
API would give to a tenant.
"""
