"""The control plane: all that goes into the Lambda zip.

A tour. Each folder is a room and answers one question whole.

    identity/     who is calling, and what that allows
    api_keys/     how a program gets in without a token
    audit/        who did what, and how a change of that is found
    uploads/      how files come in
    jobs/         how a training job is checked, planned, followed and ended
    reconciler/   whether what is recorded agrees with what runs
    capacity/     whose turn it is, and why a job waits
    models/       how a trained model becomes a registered version
    tracking/     how we speak to MLflow
    events/       what happened, for whoever listens
    webhooks/     how a user's own server hears of it
    tenants/      what keeps tenants apart where our checks end
    costs/        what a job will cost, costs, and has cost
    stats/        what runs, who uses how much, and what became of jobs
    deployments/  how a model version becomes an endpoint
    experiments/  which of several variants is better, and when that is known
    api/          how REST says all this

Inside a room the arrows go one way:

    routes | tasks  →  service, lifecycle  →  store, gateways  →  the noun

`routes.py` holds what API Gateway calls, `tasks.py` what state machines, events and subscriptions call; both are thin.
The noun (`job.py`, `model.py`) is frozen and does no I/O. `store.py` is the only place with DynamoDB expressions. Rooms
meet through another room's service, wired in `bootstrap/`.

Beside the rooms stand the few things that all of them use: `settings.py` what the template says, `errors.py` what can go
wrong, `aws.py` the clients, `calls.py` what they were asked, `table.py` DynamoDB, `objects.py` S3, `shape.py` request
bodies, `cursor.py` positions, `idempotency.py` keys of requests, `assignment.py` which variant a key gets, `clock.py` time
and ids, `log.py` the logger.

The life of one job: `POST /training/jobs` → `jobs/service.py` checks, records, starts the state machine `train_job` →
`jobs/lifecycle.py` plans an attempt → SageMaker or Batch runs it → the agent's log lines come back through
`jobs/reports.py` → `models/` registers what was trained → `jobs/lifecycle.py` finishes the job.
"""
