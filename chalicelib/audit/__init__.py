"""Who did what, from where, when, and how it ended: append-only, chained by hashes per tenant.

`entry.py` the noun: actions, subjects, what a row says · `chain.py` hashes, and how a broken chain is found: standard
library only, the client uses it too · `store.py` rows in DynamoDB · `recorder.py` what other rooms call · `sealing.py` puts
rows in order · `service.py` search, read, verify · `routes.py` and `tasks.py` the thin edges.

A room that changes something takes a write from the recorder into its own transaction, so that there is no change without a
row, and names its action in `entry.py`:

    self.store.create(job, key, fingerprint, self.audit.entry(caller, Action.SUBMIT_JOB, subject("job", job.job_id)))

Refusals need nothing: the protocol tells the recorder of every error of an operation whose name is an action.
"""
