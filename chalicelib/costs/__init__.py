"""What a job will cost, costs, and has cost.

`estimate.py` how long a job will take, by its past runs · `prices.py` what AWS charges, from where and since when ·
`bill.py` what its machines and disks cost · `counts.py` and `meter.py` what the control plane itself used for it ·
`usage.py` the log of what was used, and its monthly sums · `receipt.py` the sealed bill of one job · `issuing.py` issues
it · `signer.py` and `history.py` KMS and Step Functions · `service.py` who may see what · `store.py` the table ·
`export.py` CSV · `views.py` and `routes.py` the thin edge.
"""
