"""Facts about AWS that the service keeps as data, and what writes them into `chalicelib/data/`.

Run by hand, with access to the source, when AWS changes something; never at build or run time:

- `python -m infra.facts.images`: AWS's container images, from the SageMaker SDK (extra `images`). Needs no account.
- `python -m infra.facts.instances`: prices of the instance types, from the AWS Price List API. Needs credentials.
"""
