"""The template: what runs the service on AWS, and on a laptop.

The tour, from the inside out:

- `names`: every physical name, derived from the stack's name, and the functions that exist.
- `permissions`: who may do what, one readable table. `wildcards`: the few places where AWS itself leaves no choice.
- `api`, `functions`, `tables`, `secrets`, `bus`, `storage`, `logs`, `machines`, `training`, `batch`, `events`: one
  CloudFormation fragment per capability, plain dictionaries.
- `template`: composes the fragments; `chalice_config`: what Chalice reads, generated from the same tables.
- `build`: `python -m infra.build` makes the template, the Lambda zip and the agent's bundle, out of `dependencies`
  (wheels for Lambda), `pruning` and `elf` (what of them goes in) and `archive` (a zip that is the same bytes every time).
- `package` and `deploy`: bring a build into an account, or into the embedded cloud.
- `check`: cfn-lint, asl-validator, `integrations` (state machines against botocore's models), `assertions` (our rules).
"""
